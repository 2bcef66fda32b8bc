"""Upkeep for all users, which no request may run. Each statement that deletes still names one owner."""

from __future__ import annotations

from datetime import timedelta
from typing import NamedTuple

from service.database.functions import call
from service.database.scoping import Connection
from service.idempotency.models import ANSWERS_KEPT
from service.users.models import User

# The maximum number of rows that one call deletes, so that the writes of their owner wait only for a moment.
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


class Purged(NamedTuple):
    """The deletion of one user's rows: the user, the number of rows, and whether none of that user is left."""

    owner: str
    rows: int
    is_done: bool


async def purge_trash(older_than: timedelta, connection: Connection, after: str = "") -> Purged | None:
    """Delete tasks that have been in the trash for longer than `older_than`, of the next user after the id `after`.

    Delete at most BATCH tasks. Return None if there is no such user. Live tasks and revisions stay unchanged;
    `forgotten` and `trash_count` of the owner change.

    Raises UnavailableError if the database cannot answer.
    """
    return await _purge(NEXT_OWNER, PURGE, older_than, connection, after)


async def purge_lists(older_than: timedelta, connection: Connection, after: str = "") -> Purged | None:
    """Delete lists that have been in the trash for longer than `older_than`. Returns and raises as `purge_trash`."""
    return await _purge(NEXT_OWNER_OF_LISTS, PURGE_LISTS, older_than, connection, after)


async def purge_answers(connection: Connection, after: str = "") -> Purged | None:
    """Delete stored responses that are older than ANSWERS_KEPT. Returns and raises as `purge_trash`."""
    return await _purge(NEXT_OWNER_OF_ANSWERS, FORGET_ANSWERS, ANSWERS_KEPT, connection, after)


async def continue_erasure(connection: Connection, after: str = "") -> Purged | None:
    """Delete one page of the next interrupted erasure. Returns and raises as `purge_trash`."""
    found = await connection.fetch_first(NEXT_ERASED, after)
    if found is None:
        return None
    rows = await User.objects.for_user(found["user_id"], using=connection).sweep()
    return Purged(found["user_id"], rows, is_done=rows == 0)


async def _purge(
    next_owner: str, purge: str, older_than: timedelta, connection: Connection, after: str
) -> Purged | None:
    found = await connection.fetch_first(next_owner, older_than, after)
    if found is None:
        return None
    row = await connection.call(purge, found["user_id"], older_than, BATCH)
    return Purged(found["user_id"], row["purged"], is_done=row["purged"] < BATCH)
