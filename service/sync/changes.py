"""What changed of one user's tasks since a position: the one statement behind the change feed and the event stream.

Every write takes its version from the owner's row and holds that row's lock until it commits, so versions commit in
order: a reader that has seen revision n has seen all before it, and can ask for the changes after n and miss none.

A revision alone does not say whose history it counts: after an erasure the same user starts from 1 again. A position
therefore holds the user's beginning too.
"""

from __future__ import annotations

from typing import NamedTuple

from service.database.functions import DOCUMENT
from service.database.scoping import Connection, Row
from service.errors import SyncPositionGoneError
from service.tasks.statements import BEGINNING

# What a deleted task becomes.
TOMBSTONE = (
    """'{"id":' || tasks.id || ',"uid":"' || tasks.uid || '","version":' || tasks.version || ',"deleted":true}'"""
)

# A row for each task that changed after a revision, each with the owner's columns, out of one snapshot; one row without
# a task where nothing changed. The owner's columns are null before the first write. `$2` is the beginning that the
# position names and `$3` its revision; the position START names no beginning.
#
# No index holds the version, which every write changes: an update then stays on its page, and no index grows. So the
# page is picked from one user's range by ids and versions alone, and not even that while the revision has not moved.
#
# A full sync, from START, begins with live tasks alone. Its pages may end at a revision that is older than what was
# forgotten. Nothing was missed until then as long as nothing more is forgotten, so such a position carries what was
# forgotten when its page was read, `$4`, and is good while that is the same.
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

# For the streams of several users at once; no request runs it.
POSITIONS = f"""
SELECT id, {BEGINNING} AS beginning, revision FROM users WHERE id = ANY ($1::text[])
"""  # noqa: S608 - constants only


class SyncPosition(NamedTuple):
    """How far a reader has come: the user's `beginning`, empty before the first write, and a `revision` since then.

    Within a full sync the revision may be older than what was `forgotten` when the page was read; else that is 0.
    """

    beginning: str = ""
    revision: int = 0
    forgotten: int = 0

    def __str__(self) -> str:
        """Write the position as clients are given it: opaque to them, `0` before the first write."""
        text = f"{self.beginning}-{self.revision}" if self.beginning else "0"
        return f"{text}-{self.forgotten}" if self.forgotten else text


START = SyncPosition()  # of a user without a row, and of a full sync


class Change(NamedTuple):
    """A task at its newest state: the JSON `document` of it, or of its tombstone, and the version that it has there."""

    version: int
    document: str


class ChangePage(NamedTuple):
    """Changes in the order of versions; the position to go on from; whether there is more already.

    `forgotten` is the newest revision of which a trace was lost.
    """

    changes: list[Change]
    next: SyncPosition
    has_more: bool
    forgotten: int

    def position(self, change: Change) -> SyncPosition:
        """Return the position to go on from after `change`, one of this page."""
        return _at(self.next.beginning, change.version, self.forgotten)


async def read_changes(connection: Connection, user_id: str, since: SyncPosition, limit: int) -> ChangePage:
    """Return the `limit` first changes of `user_id` after the position `since`; from START on, all live tasks.

    Raises SyncPositionGoneError for a position of another beginning (the user was erased since), for a revision that
    was never reached, and for one after which a task was deleted of which no trace is left.
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

    Not for requests: it names several owners. Raises UnavailableError, also when only one of several machines is away.
    """
    rows = await connection.fetch_rows(POSITIONS, user_ids)
    return dict.fromkeys(user_ids, START) | {row["id"]: _position(row) for row in rows}


def _position(row: Row) -> SyncPosition:
    return SyncPosition(row["beginning"], row["revision"])


def _at(beginning: str, revision: int, forgotten: int) -> SyncPosition:
    return SyncPosition(beginning, revision, forgotten if revision < forgotten else 0)
