"""One user's trash: the tasks that were deleted and can still come back, and the SQL that it takes.

Locks are taken as in `task_sql`: tasks first, in the order of their ids, then the owner. What is destroyed leaves one
trace, the owner's `forgotten`: the newest version that went. A reader who has seen less cannot be told any more that
the task was deleted, and has to read everything anew.
"""

from __future__ import annotations

import time
from typing import NamedTuple

from service.errors import TaskNotFoundError, TaskQuotaError
from service.models.listing import Page, Position, Walk, page_of, select
from service.models.scoping import UserScope
from service.models.task_sql import PAGE, advance
from service.models.user_tasks import StoredTask

# What an erasure has still to remove (see `user`) is in no trash any more. Writers compare `erased` once more under the
# lock on the owner's row, where an erasure may have come first.
TRASHED = "user_id = $1 AND deleted_at IS NOT NULL AND version > (SELECT erased FROM users WHERE id = $1)"
LAST_DELETED_FIRST = Walk("deleted_at", "timestamptz", descending=True)

# The quota is decided under the lock on the owner's row. A target without a task is one for which there was no room.
RESTORE = f"""
WITH target AS (
    SELECT id, version FROM tasks WHERE {TRASHED} AND id = $4 FOR NO KEY UPDATE
), owner AS (
    UPDATE users SET {advance()}, task_count = users.task_count + 1, trash_count = users.trash_count - 1
    WHERE id = $1 AND task_count < $5 AND users.erased < (SELECT version FROM target)
    RETURNING revision, written_at
), task AS (
    UPDATE tasks SET deleted_at = NULL, updated_at = owner.written_at, version = owner.revision
    FROM owner WHERE tasks.user_id = $1 AND tasks.id = $4
    RETURNING tasks.*
)
SELECT target.id, task.version, document FROM target LEFT JOIN task USING (id)
"""  # noqa: S608 - constants only


def _destroy(which: str) -> str:
    """A statement that destroys the part of the trash that `which` (a condition) names, and counts it.

    Arrays in place of joins: a join may compare all with all, where the planner takes the trash for a small one.
    """
    return f"""
WITH found AS MATERIALIZED (
    SELECT id FROM tasks WHERE {TRASHED} {which}
), target AS (
    SELECT id, version FROM tasks
    WHERE user_id = $1 AND deleted_at IS NOT NULL AND id = ANY (ARRAY(SELECT id FROM found))
    ORDER BY id FOR UPDATE
), owner AS (
    UPDATE users SET {advance()}, trash_count = users.trash_count - (SELECT count(*) FROM target),
        forgotten = greatest(users.forgotten, (SELECT max(version) FROM target))
    WHERE id = $1 AND users.erased < (SELECT min(version) FROM target)
    RETURNING revision
), destroyed AS (
    DELETE FROM tasks USING owner WHERE tasks.user_id = $1 AND tasks.id = ANY (ARRAY(SELECT id FROM target))
    RETURNING tasks.id
)
SELECT count(*) AS destroyed, (SELECT count(*) FROM found) AS found FROM destroyed
"""  # noqa: S608 - constants only


DESTROY = _destroy("AND id = $4")
# Those within PAGE versions from the first one on: a short range of an index, see `user.SWEEP`.
FIRST = f"(SELECT min(version) FROM tasks WHERE {TRASHED})"  # noqa: S608 - constants only
DESTROY_PAGE = _destroy(f"AND version >= {FIRST} AND version < {FIRST} + {PAGE}")


def statement(
    user_id: str, limit: int | None, after: Position | None, *, count: bool
) -> tuple[str, tuple[object, ...]]:  # fmt: skip
    """The SQL that lists a trash, what was deleted last first, and its arguments, the owner first."""
    text = select(TRASHED, LAST_DELETED_FIRST, "$2" if limit else None, ("$3", "$4") if after else None, count=count)
    return text, (user_id, *((limit, *(after or ())) if limit else ()))


class Emptied(NamedTuple):
    """How many tasks were destroyed, and whether all that was in the trash is."""

    deleted: int
    done: bool


class UserTrash(UserScope):
    """The deleted tasks of one user, and nobody else's. Every method raises UnavailableError as `UserTasks` does."""

    async def list(self, *, limit: int | None = None, after: Position | None = None, count: bool = False) -> Page:
        """What is in the trash, newest deletion first: all of it, or `limit` tasks that come `after` a position."""
        text, arguments = statement(self.user_id, limit, after, count=count)
        row = await self._speaker.fetch_read(text, *arguments)
        assert row is not None  # noqa: S101 - an aggregate always has one row
        return page_of(row)

    async def restore(self, task_id: int, *, quota: int) -> StoredTask:
        """Give the task back as it was. Raises TaskNotFoundError, or TaskQuotaError at `quota` live tasks."""
        row = await self._speaker.fetch_row(RESTORE, *self._owner, task_id, quota)
        if row is None:
            raise TaskNotFoundError
        if row["version"] is None:
            raise TaskQuotaError(quota)
        return StoredTask(row["id"], row["version"], row["document"])

    async def destroy(self, task_id: int) -> None:
        """Remove the task for good. Raises TaskNotFoundError for one that is not in the trash."""
        destroyed, _ = await self._destroy(DESTROY, task_id)
        if not destroyed:
            raise TaskNotFoundError

    async def destroy_all(self, *, within: float) -> Emptied:
        """Remove all that is in the trash for good, page by page, for about `within` seconds at most."""
        ends, deleted = time.monotonic() + within, 0
        while True:
            destroyed, found = await self._destroy(DESTROY_PAGE)
            deleted += destroyed
            if not found:
                return Emptied(deleted, done=True)
            if time.monotonic() > ends:
                return Emptied(deleted, done=False)

    async def _destroy(self, text: str, *arguments: int) -> tuple[int, int]:
        row = await self._speaker.fetch_row(text, *self._owner, *arguments)
        assert row is not None  # noqa: S101 - an aggregate always has one row
        return row["destroyed"], row["found"]
