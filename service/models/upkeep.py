"""Upkeep across all users: what no request may do. Each deleting statement still names one owner (see `task_sql`)."""

from __future__ import annotations

from datetime import timedelta

from service.models.idempotency import ANSWERS_KEPT
from service.models.scoping import Database

# Rows that one call purges at most, so that no transaction of upkeep is long.
BATCH = 1_000

# The next owner, in the order of ids, whose trash holds something too old. Walks the trash alone (index tasks_trash).
NEXT_OWNER = """
SELECT user_id FROM tasks
WHERE deleted_at IS NOT NULL AND deleted_at < now() - $1::interval AND user_id > $2
ORDER BY user_id LIMIT 1
"""

# The owner's `forgotten` tells readers whose last look is older that they cannot be told of these deletions any more.
# Locks are taken as everywhere: tasks in the order of their ids, then the owner.
PURGE = """
WITH target AS (
    SELECT id, version FROM tasks
    WHERE user_id = $1 AND deleted_at < now() - $2::interval AND id IN (
        SELECT id FROM tasks WHERE user_id = $1 AND deleted_at < now() - $2::interval
        ORDER BY deleted_at, id LIMIT $3
    )
    ORDER BY id FOR UPDATE
), owner AS (
    UPDATE users SET forgotten = greatest(users.forgotten, (SELECT max(version) FROM target))
    WHERE id = $1 AND EXISTS (SELECT FROM target)
    RETURNING id
), purged AS (
    DELETE FROM tasks USING owner, target WHERE tasks.user_id = $1 AND tasks.id = target.id
    RETURNING tasks.id
)
SELECT count(*) AS purged FROM purged
"""

# As above, of the answers that are kept (index idempotency_keys_age).
NEXT_OWNER_OF_ANSWERS = """
SELECT user_id FROM idempotency_keys
WHERE created_at < now() - $1::interval AND user_id > $2
ORDER BY user_id LIMIT 1
"""

FORGET_ANSWERS = """
WITH purged AS (
    DELETE FROM idempotency_keys
    WHERE user_id = $1 AND created_at < now() - $2::interval AND (route, key) IN (
        SELECT route, key FROM idempotency_keys WHERE user_id = $1 AND created_at < now() - $2::interval
        ORDER BY created_at LIMIT $3
    )
    RETURNING key
)
SELECT count(*) AS purged FROM purged
"""


async def purge_trash_of_all_users(older_than: timedelta, connection: Database, *, limit: int = BATCH) -> int:
    """Remove for good what has lain in anybody's trash for longer than `older_than`, the `limit` first of it.

    Returns how many tasks went; fewer than `limit` means that nothing is left to purge. Live tasks, quotas and
    revisions are not touched: a task in the trash counts for nothing. Each owner's `forgotten` is.

    Raises UnavailableError when the database cannot answer now.
    """
    return await _purge(NEXT_OWNER, PURGE, older_than, connection, limit)


async def purge_answers_of_all_users(connection: Database, *, limit: int = BATCH) -> int:
    """Remove the answers that were given longer than ANSWERS_KEPT ago, of everybody; returns and raises as above."""
    return await _purge(NEXT_OWNER_OF_ANSWERS, FORGET_ANSWERS, ANSWERS_KEPT, connection, limit)


async def _purge(next_owner: str, purge: str, older_than: timedelta, connection: Database, limit: int) -> int:
    """Walk over the owners in the order of their ids, and purge each one's."""
    purged, owner = 0, ""
    while purged < limit:
        found = await connection.fetch_row(next_owner, older_than, owner)
        if found is None:
            break
        owner = found["user_id"]
        row = await connection.fetch_row(purge, owner, older_than, limit - purged)
        purged += int(row["purged"]) if row else 0
    return purged
