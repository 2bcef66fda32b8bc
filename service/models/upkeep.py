"""Upkeep across all users: what no request may do. Each deleting statement still names one owner (see `task_sql`)."""

from __future__ import annotations

from datetime import timedelta

from service.models.scoping import Database

# Tasks that one call purges at most, so that no transaction of upkeep is long.
BATCH = 1_000

# The next owner, in the order of ids, whose trash holds something too old. Walks the trash alone (index tasks_trash).
NEXT_OWNER = """
SELECT user_id FROM tasks
WHERE deleted_at IS NOT NULL AND deleted_at < now() - $1::interval AND user_id > $2
ORDER BY user_id LIMIT 1
"""

PURGE = """
WITH purged AS (
    DELETE FROM tasks
    WHERE user_id = $1 AND deleted_at < now() - $2::interval AND id IN (
        SELECT id FROM tasks WHERE user_id = $1 AND deleted_at < now() - $2::interval
        ORDER BY deleted_at, id LIMIT $3
    )
    RETURNING id
)
SELECT count(*) AS purged FROM purged
"""


async def purge_trash_of_all_users(older_than: timedelta, connection: Database, *, limit: int = BATCH) -> int:
    """Remove for good what has lain in anybody's trash for longer than `older_than`, the `limit` first of it.

    Returns how many tasks went; fewer than `limit` means that nothing is left to purge. Live tasks, quotas and
    revisions are not touched: a task in the trash counts for nothing.

    Raises UnavailableError when the database cannot answer now.
    """
    purged, owner = 0, ""
    while purged < limit:
        found = await connection.fetch_row(NEXT_OWNER, older_than, owner)
        if found is None:
            break
        owner = found["user_id"]
        row = await connection.fetch_row(PURGE, owner, older_than, limit - purged)
        purged += int(row["purged"]) if row else 0
    return purged
