"""Upkeep for all users, which no request may run. Each statement that deletes still names one owner."""

from __future__ import annotations

from datetime import timedelta

from service.database.functions import call
from service.database.scoping import Connection
from service.idempotency.models import ANSWERS_KEPT
from service.users.models import User

# The maximum number of rows that one call deletes, so that its transaction is short.
BATCH = 1_000

# The next owner, in the order of ids, with a task in the trash that is too old. Uses the index tasks_trash.
NEXT_OWNER = """
SELECT user_id FROM tasks
WHERE deleted_at IS NOT NULL AND deleted_at < now() - $1::interval AND user_id > $2
ORDER BY user_id LIMIT 1
"""

PURGE = call("purge_trash", 3)

# The next owner with a list in the trash that is too old. Uses the index lists_trash.
NEXT_OWNER_OF_LISTS = NEXT_OWNER.replace("FROM tasks", "FROM lists")

PURGE_LISTS = "SELECT destroyed AS purged FROM destroy_lists($1, NULL, $3, now() - $2::interval, false)"

# The next user whose erasure was interrupted. Uses the index users_erased.
NEXT_ERASED = "SELECT id AS user_id FROM users WHERE erased > 0 AND id > $1 ORDER BY id LIMIT 1"

# The next owner with a stored response that is too old. Uses the index idempotency_keys_age.
NEXT_OWNER_OF_ANSWERS = """
SELECT user_id FROM idempotency_keys
WHERE created_at < now() - $1::interval AND user_id > $2
ORDER BY user_id LIMIT 1
"""

FORGET_ANSWERS = call("forget_answers", 3)


async def purge_trash_of_all_users(older_than: timedelta, connection: Connection, *, limit: int = BATCH) -> int:
    """Delete at most `limit` tasks, of all users, that have been in the trash for longer than `older_than`.

    Return the number of deleted tasks. A number below `limit` means that none is left to purge. Live tasks and
    revisions stay unchanged; `forgotten` and `trash_count` of each owner change.

    Raises UnavailableError if the database cannot answer.
    """
    return await _purge(NEXT_OWNER, PURGE, older_than, connection, limit)


async def purge_lists_of_all_users(older_than: timedelta, connection: Connection, *, limit: int = BATCH) -> int:
    """Delete lists that have been in the trash for longer than `older_than`. Returns and raises as above."""
    return await _purge(NEXT_OWNER_OF_LISTS, PURGE_LISTS, older_than, connection, limit)


async def purge_answers_of_all_users(connection: Connection, *, limit: int = BATCH) -> int:
    """Delete stored responses, of all users, that are older than ANSWERS_KEPT. Returns and raises as above."""
    return await _purge(NEXT_OWNER_OF_ANSWERS, FORGET_ANSWERS, ANSWERS_KEPT, connection, limit)


async def finish_erasures_of_all_users(connection: Connection, *, limit: int = BATCH) -> int:
    """Continue interrupted erasures, for about `limit` rows.

    Return the number of deleted rows. A number below `limit` means that no erasure is left. Raises as above.
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
    """Purge the rows of each owner, in the order of their ids."""
    purged, owner = 0, ""
    while purged < limit:
        found = await connection.fetch_first(next_owner, older_than, owner)
        if found is None:
            break
        owner = found["user_id"]
        row = await connection.call(purge, owner, older_than, limit - purged)
        purged += int(row["purged"])
    return purged
