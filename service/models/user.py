"""A user: a row made from a verified token's claims, the owner of tasks and the counter of their writes; and its end.

An erasure takes one short transaction after which nothing of the user can be reached, and then removes the rows of the
trash page by page. In between the user's row says in `erased` up to which version tasks are gone: everything that reads
the trash leaves them out, and the daily upkeep removes what an interrupted erasure has left.
"""

from __future__ import annotations

import time
from typing import ClassVar

from tortoise import fields

from service.models.scoping import Database, OwnedModel, ScopedManager, database
from service.models.task_sql import PAGE, advance

LIVE_AT_ONCE = 10_000  # live tasks that one transaction removes; as many as the default TASK_QUOTA allows

# Where there are more live tasks, the rest is removed first, so that the transaction that follows is always short.
LIVE_PAGE = f"""
WITH target AS (
    SELECT id, version FROM tasks WHERE user_id = $1 AND id = ANY (ARRAY(
        SELECT id FROM tasks WHERE user_id = $1 AND deleted_at IS NULL ORDER BY id LIMIT {PAGE} OFFSET {LIVE_AT_ONCE}
    )) AND deleted_at IS NULL
    ORDER BY id FOR UPDATE
), owner AS (
    UPDATE users SET {advance(claims=False)}, task_count = users.task_count - (SELECT count(*) FROM target),
        forgotten = greatest(users.forgotten, (SELECT max(version) FROM target))
    WHERE id = $1 AND EXISTS (SELECT FROM target)
    RETURNING id
), gone AS (
    DELETE FROM tasks USING owner WHERE tasks.user_id = $1 AND tasks.id = ANY (ARRAY(SELECT id FROM target))
    RETURNING tasks.id
)
SELECT count(*) AS gone FROM gone
"""  # noqa: S608 - constants only

# The statements of the transaction. Two erasures of one user would wait for each other's tasks, so one goes first. All
# other writers lock the task before the owner, so the live tasks are locked first, in the order of their ids. The last
# statement also sees a task that was created since then, as it begins after the owner's row is locked.
LOCK_ERASURE = """
SELECT pg_advisory_xact_lock(hashtextextended(concat_ws(chr(31), 'erase', id), 0)) FROM users WHERE id = $1
"""

LOCK_LIVE = """
WITH target AS (
    SELECT id FROM tasks WHERE user_id = $1 AND deleted_at IS NULL ORDER BY id FOR UPDATE
)
SELECT count(*) AS live FROM target
"""

# The user begins anew: another beginning, which refuses every known position and ETag, and no counts. The revision goes
# on, so that versions written from now on are greater than `erased`.
MARK = """
UPDATE users SET revision = users.revision + 1, forgotten = users.revision + 1, erased = users.revision + 1,
    created_at = greatest(now(), users.created_at + interval '1 microsecond'), written_at = now(),
    email = NULL, name = NULL, task_count = 0, trash_count = 0, answer_count = 0, answer_bytes = 0
WHERE id = $1
RETURNING erased
"""

REMOVE_LIVE = """
WITH answers AS (
    DELETE FROM idempotency_keys WHERE user_id = $1
), live AS (
    DELETE FROM tasks WHERE user_id = $1 AND deleted_at IS NULL RETURNING id
)
SELECT count(*) AS gone FROM live
"""

# A page of what is erased and still there: the rows within PAGE versions from the first one on. Versions are unique, so
# this is a short range of an index, where an ORDER BY with a LIMIT may sort all rows for each page. A row that another
# sweep is removing counts, so that neither stops early.
SWEEP = f"""
WITH first AS MATERIALIZED (
    SELECT min(version) AS version FROM tasks WHERE user_id = $1
), found AS MATERIALIZED (
    SELECT id FROM tasks
    WHERE user_id = $1 AND version <= (SELECT erased FROM users WHERE id = $1)
      AND version >= (SELECT version FROM first) AND version < (SELECT version FROM first) + {PAGE}
), target AS (
    SELECT id FROM tasks WHERE user_id = $1 AND id = ANY (ARRAY(SELECT id FROM found)) ORDER BY id FOR UPDATE
), gone AS (
    DELETE FROM tasks WHERE user_id = $1 AND id = ANY (ARRAY(SELECT id FROM target))
)
SELECT count(*) AS found FROM found
"""  # noqa: S608 - constants only

# The row goes last, unless the user has written since. A write that comes in between moves the revision, which is
# compared again once the row is locked. (`min` reads one end of an index, where EXISTS may scan the table.)
REMOVE_OWNER = """
DELETE FROM users
WHERE id = $1 AND erased > 0 AND revision = erased AND (SELECT min(version) FROM tasks WHERE user_id = $1) IS NULL
"""

CLEAR_MARK = """
UPDATE users SET erased = 0
WHERE id = $1 AND erased > 0
  AND coalesce((SELECT min(version) FROM tasks WHERE user_id = $1), erased + 1) > erased
"""


class UserManager(ScopedManager["User"]):
    """Closed to every query; a user's row is written by the statements of `UserTasks`, and erased here."""

    async def erase(self, user_id: str, *, within: float) -> bool:
        """Erase the user: tasks, trash, idempotency keys and the row itself. Also right for a user without data.

        Once the data cannot be reached, its removal goes on for `within` seconds. Returns whether all of it is gone;
        where it is not, a second call and the daily upkeep go on. Raises UnavailableError when the database cannot
        answer now, which a second call resumes as well.
        """
        ends = time.monotonic() + within
        while await _count("gone", LIVE_PAGE, user_id):
            if time.monotonic() > ends:
                return False
        async with database().transaction(user_id) as session:
            await session.fetch_row(LOCK_ERASURE, user_id)
            await session.fetch_row(LOCK_LIVE, user_id)
            if await session.fetch_row(MARK, user_id) is None:
                return True
            await session.fetch_row(REMOVE_LIVE, user_id)
        while await sweep(user_id, database()):
            if time.monotonic() > ends:
                return False
        return True


async def sweep(user_id: str, connection: Database) -> int:
    """Remove a page of what is erased and return how many rows it had; with the last page the user's row goes too."""
    row = await connection.fetch_row(SWEEP, user_id)
    found = int(row["found"]) if row else 0
    if not found:
        await connection.fetch_row(REMOVE_OWNER, user_id)
        await connection.fetch_row(CLEAR_MARK, user_id)
    return found


async def _count(column: str, statement: str, user_id: str) -> int:
    row = await database().fetch_row(statement, user_id)
    return int(row[column]) if row else 0


class User(OwnedModel):
    """One user of this service. Better Auth keeps its own table, often in another database; this is not it."""

    id = fields.CharField(max_length=255, primary_key=True, description="the token's subject")
    email = fields.TextField(null=True, description="as the last writing token claimed it")
    name = fields.TextField(null=True, description="as the last writing token claimed it")
    created_at = fields.DatetimeField(description="the first write")
    revision = fields.BigIntField(default=0, description="advances by one with each write; every version comes from it")
    written_at = fields.DatetimeField(description="the last write; strictly increases with the revision")
    forgotten = fields.BigIntField(default=0, description="the newest revision of a deleted task that is gone for good")
    task_count = fields.IntField(default=0, description="live tasks, kept exact by each write for the quota")
    trash_count = fields.IntField(default=0, description="tasks in the trash, kept exact by each write for the quota")
    answer_count = fields.IntField(default=0, description="kept answers to idempotency keys, for the quota")
    answer_bytes = fields.BigIntField(default=0, description="the size of these answers, for the quota")
    erased = fields.BigIntField(default=0, description="tasks up to this version are erased, and still to be removed")

    objects: ClassVar[UserManager]

    class Meta:
        table = "users"
        manager = UserManager()


User.objects = UserManager(User)
