"""Read the changes of one user's tasks and lists since a position, for the change feeds and the event streams.

Every write takes its version from the owner's row and holds the lock on that row until it commits, so versions commit
in order. A reader that has seen revision n has seen all earlier revisions too. It can ask for the changes after n and
misses none.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

from pypika_tortoise.terms import Term

from service.database.expressions import Writer, where
from service.database.functions import DOCUMENT, LIST_DOCUMENT
from service.database.querysets import OwnedQuerySet
from service.database.scoping import Connection, Row
from service.errors import SyncPositionGoneError
from service.lists.models import List
from service.lists.queryset import ListQuerySet
from service.tasks.models import Task
from service.tasks.queryset import TaskQuerySet
from service.users.queryset import POSITION, START, SyncPosition, position_of

# Reads several users at once, for the event streams; no request runs it.
POSITIONS = f"""
SELECT id, {POSITION["beginning"]} AS beginning, revision FROM users WHERE id = ANY ($1::text[])
"""  # noqa: S608 - constants only


class Noun(NamedTuple):
    """A kind of items: its name in changes and events, its table, and the JSON of a live item as an SQL expression."""

    name: str
    table: str
    model: type[Task | List]
    rows: type[OwnedQuerySet[Any]]
    document: str


TASK = Noun("task", "tasks", Task, TaskQuerySet, DOCUMENT)
LIST = Noun("list", "lists", List, ListQuerySet, LIST_DOCUMENT)


class Feed:
    """A change feed: the nouns that it reports, and whether each change has a `type`, the name of its noun.

    All feeds of a user have the same positions.
    """

    def __init__(self, *nouns: Noun, typed: bool) -> None:
        """Prepare the statement of the feed. It exists once, because the cache of texts compares it by identity."""
        self.statement = partial(_changed, nouns=nouns)
        self._typed = typed

    def change(self, row: Row) -> Change:
        """Return the change in a row of the statement."""
        noun, document = row["noun"], row["document"]
        return Change(row["version"], f'{{"type":"{noun}",{document[1:]}' if self._typed else document, noun)


class Change(NamedTuple):
    """An item in its newest state: its version, its JSON or its tombstone as `document`, and the name of its noun."""

    version: int
    document: str
    noun: str


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


async def changes_since(tasks: TaskQuerySet, since: SyncPosition, limit: int, feed: Feed) -> ChangePage:
    """Return the first `limit` changes in `feed` of the owner of `tasks` after a position. From START: all live items.

    Raises SyncPositionGoneError for a position with another beginning (the user was erased since then), for a revision
    in the future, and for a revision after which a tombstone has been removed.
    """
    rows = await tasks.fetch_rows(feed.statement, *since, limit)
    owner = rows[0]
    reached = position_of(owner) if owner["beginning"] else START
    if owner["gone"]:
        raise SyncPositionGoneError(reached.beginning, reached.revision)
    changes = [feed.change(row) for row in rows if row["version"]]
    forgotten = owner["forgotten"] or 0
    if len(changes) <= limit:
        return ChangePage(changes, reached, has_more=False, forgotten=forgotten)
    changes.pop()
    following = _at(reached.beginning, changes[-1].version, forgotten)
    return ChangePage(changes, following, has_more=True, forgotten=forgotten)


def _changed(  # noqa: PLR0913, PLR0917 - the parts of a position, a limit, and the nouns
    tasks: TaskQuerySet,
    sql: Writer,
    beginning: Term,
    revision: Term,
    forgotten: Term,
    limit: Term,
    nouns: Sequence[Noun],
) -> str:
    """Build the SQL text that reads the first `limit` changes of some nouns after a position, and one more.

    The result has one row for each item that changed after the revision, with the owner's columns, all from one
    snapshot. If no item changed, it has one row without an item. The owner's columns are null before the first write.
    START has an empty `beginning`.

    The version is not indexed, because every write changes it: an update can stay on its page (HOT), and no index
    grows. So `page` scans the ids and versions of one user. If the revision has not moved, it does not scan at all. No
    list has the id of a task, because each id is the revision of one creation.

    A full sync, from START, returns live items only. Its pages may end at a revision before `forgotten`, the newest
    revision of a removed tombstone. The reader has still missed nothing, provided that no more tombstones are removed
    before its next page. Such a position therefore contains the value of `forgotten` at the time of its page, and is
    valid while the value stays the same.
    """

    def after(noun: Noun) -> str:
        rows = tasks.of_the_same_owner(noun.rows, noun.model).filter(
            where(f"{noun.table}.version > {{}}", revision),
            where(f"{noun.table}.deleted_at IS NULL OR {{}}::text <> ''", beginning),
            where("{} < (SELECT revision FROM owner)", revision),
        )
        return sql(rows.columns(id=f"{noun.table}.id", version=f"{noun.table}.version"))

    owner = tasks.owner.columns(**POSITION, forgotten="users.forgotten")
    since, seen = sql(beginning), sql(revision)
    return f"""
        WITH owner AS MATERIALIZED ({sql(owner)}), page AS MATERIALIZED (
            SELECT id FROM ({" UNION ALL ".join(map(after, nouns))}) AS later
            ORDER BY version LIMIT ({sql(limit)}::bigint + 1)
        )
        SELECT owner.beginning, owner.revision, owner.forgotten,
               {since} <> '' AND NOT coalesce(
                   owner.beginning = {since} AND {seen} <= owner.revision
                   AND (owner.forgotten <= {seen} OR owner.forgotten = {sql(forgotten)}::bigint),
                   false
               ) AS gone,
               changed.noun, changed.version, changed.document
        FROM (SELECT) AS always
        LEFT JOIN owner ON true
        LEFT JOIN ({" UNION ALL ".join(_documents(noun, sql(tasks.owner_term)) for noun in nouns)}) AS changed ON true
        ORDER BY changed.version
    """  # noqa: S608 - values are arguments, all else is ours


def _documents(noun: Noun, owner: str) -> str:
    """Return the SELECT of the items of a page, each as its JSON or, if it is deleted, as its tombstone."""
    table = noun.table
    tombstone = (
        f"""'{{"id":' || {table}.id || ',"uid":"' || {table}.uid || '","version":' || {table}.version """
        """|| ',"deleted":true}'"""
    )
    return f"""
        SELECT '{noun.name}' AS noun, {table}.version,
               CASE WHEN {table}.deleted_at IS NULL THEN {noun.document} ELSE {tombstone} END AS document
        FROM {table} WHERE {table}.user_id = {owner} AND {table}.id = ANY (ARRAY(SELECT id FROM page))
    """  # noqa: S608 - as above


async def positions_of_several_users(connection: Connection, user_ids: list[str]) -> dict[str, SyncPosition]:
    """Return the position of each of `user_ids`; START before the first write.

    Requests must not call this function, because it reads several owners. Raises UnavailableError, even if only one of
    several database nodes is unavailable.
    """
    rows = await connection.fetch_rows(POSITIONS, user_ids)
    return dict.fromkeys(user_ids, START) | {row["id"]: position_of(row) for row in rows}


def _at(beginning: str, revision: int, forgotten: int) -> SyncPosition:
    return SyncPosition(beginning, revision, forgotten if revision < forgotten else 0)


TASKS = Feed(TASK, typed=False)
ITEMS = Feed(TASK, LIST, typed=True)
