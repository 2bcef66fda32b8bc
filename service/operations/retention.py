"""Upkeep across all users: what no request may do. Each deleting statement still names one owner."""

from __future__ import annotations

from datetime import timedelta

from service.database.functions import call
from service.database.scoping import Connection
from service.idempotency.models import ANSWERS_KEPT
from service.users.models import User

# Rows that one call purges at most, so that no transaction of upkeep is long.
BATCH = 1_000

# The next owner, in the order of ids, whose trash holds something too old. Walks the trash alone (index tasks_trash).
NEXT_OWNER = """
SELECT user_id FROM tasks
WHERE deleted_at IS NOT NULL AND deleted_at < now() - $1::interval AND user_id > $2
ORDER BY user_id LIMIT 1
"""

PURGE = call("purge_trash", 3)

# The next user whose erasure was interrupted (index users_erased).
NEXT_ERASED = "SELECT id AS user_id FROM users WHERE erased > 0 AND id > $1 ORDER BY id LIMIT 1"

# As above, of the answers that are kept (index idempotency_keys_age).
NEXT_OWNER_OF_ANSWERS = """
SELECT user_id FROM idempotency_keys
WHERE created_at < now() - $1::interval AND user_id > $2
ORDER BY user_id LIMIT 1
"""

FORGET_ANSWERS = call("forget_answers", 3)


async def purge_trash_of_all_users(older_than: timedelta, connection: Connection, *, limit: int = BATCH) -> int:
    """Remove for good what has lain in anybody's trash for longer than `older_than`, the `limit` first of it.

    Returns how many tasks went; fewer than `limit` means that nothing is left to purge. Live tasks and revisions are
    not touched. Each owner's `forgotten` and `trash_count` are.

    Raises UnavailableError when the database cannot answer now.
    """
    return await _purge(NEXT_OWNER, PURGE, older_than, connection, limit)


async def purge_answers_of_all_users(connection: Connection, *, limit: int = BATCH) -> int:
    """Remove the answers that were given longer than ANSWERS_KEPT ago, of everybody; returns and raises as above."""
    return await _purge(NEXT_OWNER_OF_ANSWERS, FORGET_ANSWERS, ANSWERS_KEPT, connection, limit)


async def finish_erasures_of_all_users(connection: Connection, *, limit: int = BATCH) -> int:
    """Go on with every erasure that was interrupted, up to about `limit` rows.

    Returns how many rows went; fewer than `limit` means that no erasure is left to finish. Raises as above.
    """
    removed, owner = 0, ""
    while removed < limit:
        found = await connection.fetch_first(NEXT_ERASED, owner)
        if found is None:
            break
        rows = await User.objects.for_user(found["user_id"], using=connection).sweep()
        removed += rows
        owner = owner if rows else found["user_id"]
    return removed


async def _purge(next_owner: str, purge: str, older_than: timedelta, connection: Connection, limit: int) -> int:
    """Walk over the owners in the order of their ids, and purge each one's."""
    purged, owner = 0, ""
    while purged < limit:
        found = await connection.fetch_first(next_owner, older_than, owner)
        if found is None:
            break
        owner = found["user_id"]
        row = await connection.call(purge, owner, older_than, limit - purged)
        purged += int(row["purged"])
    return purged
