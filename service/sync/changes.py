"""Read the changes of one user's tasks since a position, for the change feed and the event stream.

Every write takes its version from the owner's row and holds the lock on that row until it commits, so versions commit
in order. A reader that has seen revision n has seen all earlier revisions too. It can ask for the changes after n and
misses none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pypika_tortoise.terms import Term

from service.database.expressions import Sql, Writer, where
from service.database.functions import DOCUMENT
from service.database.scoping import Connection
from service.errors import SyncPositionGoneError
from service.users.queryset import POSITION, START, SyncPosition, position_of

if TYPE_CHECKING:
    from service.tasks.queryset import TaskQuerySet

# The tombstone that replaces a deleted task.
TOMBSTONE = (
    """'{"id":' || tasks.id || ',"uid":"' || tasks.uid || '","version":' || tasks.version || ',"deleted":true}'"""
)

# Reads several users at once, for the event streams; no request runs it.
POSITIONS = f"""
SELECT id, {POSITION["beginning"]} AS beginning, revision FROM users WHERE id = ANY ($1::text[])
"""  # noqa: S608 - constants only


class Change(NamedTuple):
    """A task in its newest state: its version, and the JSON `document` of the task or its tombstone."""

    version: int
    document: str


class ChangePage(NamedTuple):
    """Changes ordered by version, the position after them, and whether more changes are available now.

    `forgotten` is the newest revision whose tombstone has been removed.
    """

    changes: list[Change]
    next: SyncPosition
    has_more: bool
    forgotten: int

    def position(self, change: Change) -> SyncPosition:
        """Return the position after `change`, which is one of this page."""
        return _at(self.next.beginning, change.version, self.forgotten)


async def changes_since(tasks: TaskQuerySet, since: SyncPosition, limit: int) -> ChangePage:
    """Return the first `limit` changes of `tasks` after the position `since`. From START, these are all live tasks.

    Raises SyncPositionGoneError for a position with another beginning (the user was erased since then), for a revision
    in the future, and for a revision after which a tombstone has been removed.
    """
    rows = await tasks.fetch_rows(_changed, *since, limit)
    owner = rows[0]
    reached = position_of(owner) if owner["beginning"] else START
    if owner["gone"]:
        raise SyncPositionGoneError(reached.beginning, reached.revision)
    changes = [Change(row["version"], row["document"]) for row in rows if row["version"]]
    forgotten = owner["forgotten"] or 0
    if len(changes) <= limit:
        return ChangePage(changes, reached, has_more=False, forgotten=forgotten)
    changes.pop()
    following = _at(reached.beginning, changes[-1].version, forgotten)
    return ChangePage(changes, following, has_more=True, forgotten=forgotten)


def _changed(tasks: TaskQuerySet, sql: Writer, beginning: Term, revision: Term, forgotten: Term, limit: Term) -> str:  # noqa: PLR0913, PLR0917 - the parts of a position, and a limit
    """Build the SQL text that reads the first `limit` changes of `tasks` after a position, and one more.

    The result has one row for each task that changed after the revision, with the owner's columns, all from one
    snapshot. If no task changed, it has one row without a task. The owner's columns are null before the first write.
    START has an empty `beginning`.

    The version is not indexed, because every write changes it: an update can stay on its page (HOT), and no index
    grows. So `page` scans the ids and versions of one user. If the revision has not moved, it does not scan at all.

    A full sync, from START, returns live tasks only. Its pages may end at a revision before `forgotten`, the newest
    revision of a removed tombstone. The reader has still missed nothing, provided that no more tombstones are removed
    before its next page. Such a position therefore contains the value of `forgotten` at the time of its page, and is
    valid while the value stays the same.
    """
    page = tasks.filter(
        where("tasks.version > {}", revision),
        where("tasks.deleted_at IS NULL OR {}::text <> ''", beginning),
        where("{} < (SELECT revision FROM owner)", revision),
    )
    page = page.order_by("version").limited(Sql("(SELECT {}::bigint + 1)", limit))
    owner = tasks.owner.columns(**POSITION, forgotten="users.forgotten")
    since, seen = sql(beginning), sql(revision)
    return f"""
        WITH owner AS MATERIALIZED ({sql(owner)}), page AS MATERIALIZED ({sql(page.columns(id="tasks.id"))})
        SELECT owner.beginning, owner.revision, owner.forgotten,
               {since} <> '' AND NOT coalesce(
                   owner.beginning = {since} AND {seen} <= owner.revision
                   AND (owner.forgotten <= {seen} OR owner.forgotten = {sql(forgotten)}::bigint),
                   false
               ) AS gone,
               tasks.version,
               CASE WHEN tasks.deleted_at IS NULL THEN {DOCUMENT} ELSE {TOMBSTONE} END AS document
        FROM (SELECT) AS always
        LEFT JOIN owner ON true
        LEFT JOIN tasks ON tasks.user_id = {sql(tasks.owner_term)} AND tasks.id = ANY (ARRAY(SELECT id FROM page))
        ORDER BY tasks.version
    """  # noqa: S608 - values are arguments, all else is ours


async def positions_of_several_users(connection: Connection, user_ids: list[str]) -> dict[str, SyncPosition]:
    """Return the position of each of `user_ids`; START before the first write.

    Requests must not call this function, because it reads several owners. Raises UnavailableError, even if only one of
    several database nodes is unavailable.
    """
    rows = await connection.fetch_rows(POSITIONS, user_ids)
    return dict.fromkeys(user_ids, START) | {row["id"]: position_of(row) for row in rows}


def _at(beginning: str, revision: int, forgotten: int) -> SyncPosition:
    return SyncPosition(beginning, revision, forgotten if revision < forgotten else 0)
