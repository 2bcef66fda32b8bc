"""Read the changes of one user's tasks since a position, for the change feed and the event stream.

Every write takes its version from the owner's row and holds the lock on that row until it commits, so versions commit
in order. A reader that has seen revision n has seen all earlier revisions too. It can ask for the changes after n and
misses none.

A revision alone does not identify a history: after an erasure, the same user can start from 1 again. A position
therefore also contains the time at which the user's history began.
"""

from __future__ import annotations

from typing import NamedTuple

from service.database.functions import DOCUMENT
from service.database.scoping import Connection, Row
from service.errors import SyncPositionGoneError
from service.tasks.statements import BEGINNING

# The tombstone that replaces a deleted task.
TOMBSTONE = (
    """'{"id":' || tasks.id || ',"uid":"' || tasks.uid || '","version":' || tasks.version || ',"deleted":true}'"""
)

# The result has one row for each task that changed after the revision, with the owner's columns, all from one snapshot.
# If no task changed, it has one row without a task. The owner's columns are null before the first write. `$2` is the
# beginning in the position, and `$3` is its revision; START has an empty beginning.
#
# The version is not indexed, because every write changes it: an update can stay on its page (HOT), and no index grows.
# So `page` scans the ids and versions of one user. If the revision has not moved, it does not scan at all.
#
# A full sync, from START, returns live tasks only. Its pages may end at a revision before `forgotten`, the newest
# revision of a removed tombstone. The reader has still missed nothing, provided that no more tombstones are removed
# before its next page. Such a position therefore contains the value of `forgotten` at the time of its page, `$4`, and
# is valid while the value stays the same.
CHANGES = f"""
WITH owner AS MATERIALIZED (
    SELECT {BEGINNING} AS beginning, revision, forgotten FROM users WHERE id = $1
), page AS MATERIALIZED (
    SELECT id FROM tasks
    WHERE user_id = $1 AND version > $3 AND (deleted_at IS NULL OR $2::text <> '')
      AND $3 < (SELECT revision FROM owner)
    ORDER BY version LIMIT (SELECT $5::bigint + 1)
)
SELECT owner.beginning, owner.revision, owner.forgotten,
       $2 <> '' AND NOT coalesce(
           owner.beginning = $2 AND $3 <= owner.revision AND (owner.forgotten <= $3 OR owner.forgotten = $4::bigint),
           false
       ) AS gone,
       tasks.version,
       CASE WHEN tasks.deleted_at IS NULL THEN {DOCUMENT} ELSE {TOMBSTONE} END AS document
FROM (SELECT) AS always
LEFT JOIN owner ON true
LEFT JOIN tasks ON tasks.user_id = $1 AND tasks.id = ANY (ARRAY(SELECT id FROM page))
ORDER BY tasks.version
"""  # noqa: S608 - constants only

POSITION = f"SELECT {BEGINNING} AS beginning, revision FROM users WHERE id = $1"  # noqa: S608 - constants only

# Reads several users at once, for the event streams; no request runs it.
POSITIONS = f"""
SELECT id, {BEGINNING} AS beginning, revision FROM users WHERE id = ANY ($1::text[])
"""  # noqa: S608 - constants only


class SyncPosition(NamedTuple):
    """The progress of a reader: the `beginning` of the user's history, and a `revision` in it.

    The beginning is empty before the first write. During a full sync, the revision may be older than `forgotten`, the
    newest revision of a removed tombstone when the page was read. In all other positions `forgotten` is 0.
    """

    beginning: str = ""
    revision: int = 0
    forgotten: int = 0

    def __str__(self) -> str:
        """Format the position for clients, to which it is opaque. It is `0` before the first write."""
        text = f"{self.beginning}-{self.revision}" if self.beginning else "0"
        return f"{text}-{self.forgotten}" if self.forgotten else text


START = SyncPosition()  # the position of a user without a row, and the start of a full sync


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


async def read_changes(connection: Connection, user_id: str, since: SyncPosition, limit: int) -> ChangePage:
    """Return the first `limit` changes of `user_id` after the position `since`. From START, these are all live tasks.

    Raises SyncPositionGoneError for a position with another beginning (the user was erased since then), for a revision
    in the future, and for a revision after which a tombstone has been removed.
    """
    rows = await connection.fetch_rows(CHANGES, user_id, *since, limit)
    owner = rows[0]
    reached = _position(owner) if owner["beginning"] else START
    if owner["gone"]:
        raise SyncPositionGoneError(reached.beginning, reached.revision)
    changes = [Change(row["version"], row["document"]) for row in rows if row["version"]]
    forgotten = owner["forgotten"] or 0
    if len(changes) <= limit:
        return ChangePage(changes, reached, has_more=False, forgotten=forgotten)
    changes.pop()
    following = _at(reached.beginning, changes[-1].version, forgotten)
    return ChangePage(changes, following, has_more=True, forgotten=forgotten)


async def read_position(connection: Connection, user_id: str) -> SyncPosition:
    """Return the position that `user_id` has reached; START before the first write."""
    row = await connection.fetch_first(POSITION, user_id)
    return _position(row) if row else START


async def positions_of_several_users(connection: Connection, user_ids: list[str]) -> dict[str, SyncPosition]:
    """Return the position of each of `user_ids`; START before the first write.

    Requests must not call this function, because it reads several owners. Raises UnavailableError, even if only one of
    several database nodes is unavailable.
    """
    rows = await connection.fetch_rows(POSITIONS, user_ids)
    return dict.fromkeys(user_ids, START) | {row["id"]: _position(row) for row in rows}


def _position(row: Row) -> SyncPosition:
    return SyncPosition(row["beginning"], row["revision"])


def _at(beginning: str, revision: int, forgotten: int) -> SyncPosition:
    return SyncPosition(beginning, revision, forgotten if revision < forgotten else 0)
