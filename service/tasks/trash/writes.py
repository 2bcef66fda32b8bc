"""One user's trash: the tasks that were deleted and can still come back.

What is destroyed leaves one trace, the owner's `forgotten`: the newest version that went. A reader who has seen less
cannot be told any more that the task was deleted, and has to read everything anew.
"""

from __future__ import annotations

import time
from typing import NamedTuple

from service.database.functions import TRASHED_DOCUMENT, call
from service.database.scoping import UserScope
from service.errors import TaskNotFoundError, TaskQuotaError
from service.tasks.selection import Page, Position, Walk, page_of, select
from service.tasks.statements import PAGE
from service.tasks.writes import StoredTask

# What an erasure has still to remove (see `user`) is in no trash any more.
TRASHED = "user_id = $1 AND deleted_at IS NOT NULL AND version > (SELECT erased FROM users WHERE id = $1)"
LAST_DELETED_FIRST = Walk("deleted_at", "timestamptz", descending=True, indexed=True)

RESTORE = call("restore_task", 5)
DESTROY = call("destroy_tasks", 5)


def statement(
    user_id: str, limit: int | None, after: Position | None, *, count: bool
) -> tuple[str, tuple[object, ...]]:  # fmt: skip
    """The SQL that lists a trash, what was deleted last first, and its arguments, the owner first."""
    text = select(
        TRASHED_DOCUMENT,
        TRASHED,
        LAST_DELETED_FIRST,
        "$2" if limit else None,
        ("$3", "$4") if after else None,
        count=count,
    )
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
        row = await self._connection.fetch_one(text, *arguments)
        return page_of(row)

    async def restore(self, task_id: int, *, quota: int) -> StoredTask:
        """Give the task back as it was. Raises TaskNotFoundError, or TaskQuotaError at `quota` live tasks."""
        row = await self._connection.call(RESTORE, *self._owner, task_id, quota)
        if row["outcome"] == "missing":
            raise TaskNotFoundError
        if row["outcome"] == "full":
            raise TaskQuotaError(quota)
        return StoredTask(row["task_id"], row["task_version"], row["task_uid"], row["document"])

    async def destroy(self, task_id: int) -> None:
        """Remove the task for good. Raises TaskNotFoundError for one that is not in the trash."""
        if not await self._destroy(task_id):
            raise TaskNotFoundError

    async def destroy_all(self, *, within: float) -> Emptied:
        """Remove all that is in the trash for good, page by page, for about `within` seconds at most."""
        ends, deleted = time.monotonic() + within, 0
        while True:
            destroyed = await self._destroy(None)
            deleted += destroyed
            if destroyed < PAGE:
                return Emptied(deleted, done=True)
            if time.monotonic() > ends:
                return Emptied(deleted, done=False)

    async def _destroy(self, task_id: int | None) -> int:
        row = await self._connection.call(DESTROY, *self._owner, task_id, PAGE)
        return int(row["destroyed"])
