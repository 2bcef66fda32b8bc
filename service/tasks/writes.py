"""One user's tasks, read as a queryset and written by database functions.

Each write is one call of a function that names the owner. The function locks the owner's row first, so one user's
writes follow one another and cannot wait for each other in a circle. Then it reads, decides and writes, and advances
the owner's revision and clock. The lock is held until the commit, so revisions become visible in order.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Mapping, Sequence
from datetime import date
from typing import NamedTuple

from service.database.expected import Expected
from service.database.functions import call
from service.database.scoping import Connection, Row
from service.database.uids import new_uid
from service.errors import TaskNotFoundError, TaskQuotaError, TrashFullError
from service.tasks.batch import writes as batch
from service.tasks.queryset import StoredTask, TaskQuerySet, stored
from service.transfer import writes as importing
from service.users.queryset import PAGE

CREATE = call("create_task", 15)
UPDATE = call("update_task", 19)
COMPLETE = call("complete_task", 7)
DELETE = call("delete_task", 7)
DELETE_MANY = call("delete_tasks", 5)
RESTORE = call("restore_task", 5)
DESTROY = call("destroy_tasks", 5)

# Values by column name: title, description, completed, priority (0 to 3), tags, due_date, due_at, and the keys of the
# texts among them (`service.web.text.with_keys`). Already valid.
TaskChanges = Mapping[str, object]


class Emptied(NamedTuple):
    """How many tasks were destroyed, and whether all that was in the trash is."""

    deleted: int
    done: bool


class UserTasks(TaskQuerySet):
    """The tasks of one user, and the writes to them; a write takes no verb before it.

    A write raises UnavailableError when the database cannot answer now. Nothing is half-written then, though a write
    whose answer got lost may have been done.
    """

    __slots__ = ()

    @property
    def _unnarrowed(self) -> Connection:
        """The connection, for a write. Raises TypeError after a verb, which a function would not see."""
        if self._shape != ():
            raise TypeError("a write names what it writes; it takes no verb before it")
        return self._connection

    def _call(self, text: str, *arguments: object) -> Awaitable[Row]:
        """Call a function for the owner."""
        return self._unnarrowed.call(text, *self._owner, *arguments)

    async def create(self, values: TaskChanges, *, quota: int) -> StoredTask:
        """Create a task; `values` holds at least a title. Raises TaskQuotaError at `quota` live tasks."""
        row = await self._call(
            CREATE, quota, new_uid(),
            values["title"], values["title_key"], values.get("description"), values.get("description_key"),
            values.get("completed", False), values.get("priority", 0), values.get("tags", ()),
            values.get("tag_keys", ()), _text(values.get("due_date")), _text(values.get("due_at")),
        )  # fmt: skip
        if row["outcome"] == "full":
            raise TaskQuotaError(quota)
        return stored(row)

    async def add_all(self, tasks: bytearray, count: int, *, quotas: batch.Quotas, skip_known: bool) -> importing.Added:
        """Create the `count` tasks of a JSON array, or none of them. Raises as `importing.add_tasks` does."""
        return await importing.add_tasks(
            self._unnarrowed, self._owner, tasks, count, quotas=quotas, skip_known=skip_known
        )

    async def update(  # type: ignore[override]  # reason: Tortoise's own would write past the function
        self, task_id: int, changes: TaskChanges, expected: Expected | None = None
    ) -> StoredTask:
        """Set the columns in `changes`; what holds already moves neither version nor time.

        Raises TaskNotFoundError, and VersionMismatchError for a task that is not as `expected`.
        """
        if not changes:
            found = await self.find(task_id)
            if expected and not expected.admits(found.version):
                raise expected.mismatch(found.version, found.document)
            return found
        sent = changes.get
        return stored(await self._write(
            UPDATE, task_id, expected,
            sent("title"), sent("title_key"),
            "description" in changes, sent("description"), sent("description_key"),
            sent("completed"), sent("priority"), sent("tags"), sent("tag_keys"),
            "due_date" in changes, _text(sent("due_date")), "due_at" in changes, _text(sent("due_at")),
        ))  # fmt: skip

    async def toggle(self, task_id: int, expected: Expected | None = None) -> StoredTask:
        """Complete a pending task or reopen a completed one. Raises as `update` does."""
        return stored(await self._write(COMPLETE, task_id, expected, None))

    async def complete(self, task_id: int, completed: bool, expected: Expected | None = None) -> StoredTask:  # noqa: FBT001 - what it sets
        """Complete the task, or reopen it, unless it is so already. Raises as `update` does."""
        return stored(await self._write(COMPLETE, task_id, expected, completed))

    async def delete(  # type: ignore[override]  # reason: as with `update`
        self, task_id: int, expected: Expected | None = None, *, trash_quota: int
    ) -> None:
        """Move the task to the trash. Raises as `update` does, and TrashFullError at `trash_quota` tasks there."""
        row = await self._write(DELETE, task_id, expected, trash_quota)
        if row["outcome"] == "full":
            raise TrashFullError(trash_quota)

    async def _write(self, text: str, task_id: int, expected: Expected | None, *values: object) -> Row:
        """Call a function that writes one task; raise TaskNotFoundError and VersionMismatchError."""
        versions, excluded = expected.arrays if expected else (None, None)
        row = await self._call(text, task_id, versions, excluded, *values)
        if row["outcome"] == "missing":
            raise TaskNotFoundError
        if row["outcome"] == "mismatch":
            assert expected is not None  # noqa: S101 - without versions nothing can mismatch
            raise expected.mismatch(row["task_version"], row["document"])
        return row

    async def perform(
        self, operations: Sequence[batch.Operation], *, atomic: bool, quotas: batch.Quotas
    ) -> list[batch.Outcome]:
        """Do many writes in one transaction; what it gives and raises is told in `batch.perform`."""
        return await batch.perform(self._unnarrowed, self._owner, operations, atomic=atomic, quotas=quotas)

    async def delete_many(self, *, completed: bool | None, trash_quota: int) -> int:
        """Move all tasks, or only those with this completion, to the trash; return how many.

        Raises TrashFullError, and moves none, when there would be more than `trash_quota` tasks in the trash.
        """
        row = await self._call(DELETE_MANY, completed, trash_quota)
        if row["deleted"] < row["wanted"]:
            raise TrashFullError(trash_quota)
        return int(row["deleted"])

    async def restore(self, task_id: int, *, quota: int) -> StoredTask:
        """Give the task back as it was. Raises TaskNotFoundError, or TaskQuotaError at `quota` live tasks."""
        row = await self._call(RESTORE, task_id, quota)
        if row["outcome"] == "missing":
            raise TaskNotFoundError
        if row["outcome"] == "full":
            raise TaskQuotaError(quota)
        return stored(row)

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
        row = await self._call(DESTROY, task_id, PAGE)
        return int(row["destroyed"])


def _text(value: object) -> object:
    """A day or a moment as text: asyncpg takes the calendar's first and last for minus and plus infinity."""
    return value.isoformat() if isinstance(value, date) else value
