"""What changed of one user's tasks since a revision: the one statement behind the change feed and the event stream.

Every write takes its version from the owner's row and holds that row's lock until it commits, so versions commit in
order: whoever has seen revision n has seen all before it, and may ask for what came after n without missing anything.
"""

from __future__ import annotations

from typing import NamedTuple

from service.errors import SyncPositionGoneError
from service.models.scoping import Speaker, database

# A range of the index tasks_version, in its order, and the owner's row out of the same snapshot.
#
# A full sync (`$2 = 0`) begins from nothing, so it holds live tasks alone. Its first page is longer by what is not
# newer than what was forgotten: it must not end at a position that the next page would be refused for.
CHANGES = """
WITH owner AS MATERIALIZED (
    SELECT revision, forgotten FROM users WHERE id = $1
), size AS MATERIALIZED (
    SELECT $3::bigint + CASE WHEN $2::bigint > 0 THEN 0 ELSE (
        SELECT count(*) FROM tasks
        WHERE user_id = $1 AND version <= (SELECT forgotten FROM owner) AND deleted_at IS NULL
    ) END AS rows
), page AS MATERIALIZED (
    SELECT * FROM tasks
    WHERE user_id = $1 AND version > $2 AND (deleted_at IS NULL OR $2 > 0)
    ORDER BY version LIMIT (SELECT rows + 1 FROM size)
)
SELECT coalesce((SELECT revision FROM owner), 0) AS revision,
       coalesce((SELECT forgotten FROM owner), 0) AS forgotten,
       (SELECT rows FROM size) AS rows,
       array_agg(version) AS versions,
       array_agg(CASE WHEN deleted_at IS NULL THEN document
                 ELSE '{"id":' || id || ',"version":' || version || ',"deleted":true}' END) AS documents
FROM page
"""

REVISION = "SELECT revision FROM users WHERE id = $1"

# For whoever waits for changes of several users at once; asked by no request.
REVISIONS = "SELECT array_agg(id) AS ids, array_agg(revision) AS revisions FROM users WHERE id = ANY ($1::text[])"


class Change(NamedTuple):
    """A task at its newest state: the JSON `document` of it, or of its tombstone, and the version that it has there."""

    version: int
    document: str


class ChangePage(NamedTuple):
    """Changes in the order of versions; the revision to go on from; whether there is more already."""

    changes: list[Change]
    next: int
    has_more: bool


async def read_changes(speaker: Speaker, user_id: str, since: int, limit: int) -> ChangePage:
    """The `limit` first changes of `user_id` after revision `since`; from 0 on it is all live tasks.

    Raises SyncPositionGoneError for a revision that was never reached, and for one after which a task was deleted of
    which no trace is left.
    """
    row = await speaker.fetch_read(CHANGES, user_id, since, limit)
    assert row is not None  # noqa: S101 - an aggregate always has one row
    revision: int = row["revision"]
    if since > revision or 0 < since < row["forgotten"]:
        raise SyncPositionGoneError(revision)
    changes = [*map(Change, row["versions"] or (), row["documents"] or ())]
    if len(changes) <= row["rows"]:
        return ChangePage(changes, revision, has_more=False)
    changes.pop()
    return ChangePage(changes, changes[-1].version, has_more=True)


async def read_revision(speaker: Speaker, user_id: str) -> int:
    """The revision that `user_id` has reached; 0 before the first write."""
    row = await speaker.fetch_read(REVISION, user_id)
    return row["revision"] if row else 0


async def revisions_of_several_users(user_ids: list[str]) -> dict[str, int]:
    """The revision of each of `user_ids` that has ever written. Not for requests: it names more than one owner."""
    row = await database().fetch_read(REVISIONS, user_ids)
    return dict(zip(row["ids"] or (), row["revisions"] or (), strict=True)) if row else {}
