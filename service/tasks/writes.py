"""One user's tasks, read as a queryset and written by database functions.

Each write is one call of a function that names the owner. The function first locks the owner's row, so the writes of
one user run one after another and cannot deadlock. Then it reads, decides and writes, and advances the owner's
revision and clock. The lock is held until the commit, so revisions become visible in order.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Mapping, Sequence
from datetime import date
from typing import NamedTuple

from service.database.expected import Expected
from service.database.functions import call, call_by
from service.database.items import Reference, StoredItem
from service.database.operations import Operation, Quotas
from service.database.scoping import Connection, Row
from service.database.uids import new_uid
from service.errors import TaskNotFoundError, TaskQuotaError, TrashFullError, UnavailableError
from service.tasks import outcomes, plans
from service.tasks.batch import writes as batch
from service.tasks.outcomes import NO_QUOTAS
from service.tasks.queryset import TaskQuerySet, stored
from service.tasks.selection import Lists
from service.users.queryset import PAGE

CREATE = call("create_task", 17)
UPDATE = call_by("update_task", 20, place=4, find="task_id_of")
COMPLETE = call_by("complete_task", 7, place=4, find="task_id_of")
DELETE = call_by("delete_task", 7, place=4, find="task_id_of")
DELETE_MANY = call("delete_tasks", 8)
RESTORE = call_by("restore_task", 5, place=4, find="task_id_of")
DESTROY = call_by("destroy_tasks", 5, place=4, find="task_id_of")

# Valid values by name: title, description, completed, priority (0 to 3), tags, due_date, due_at, and the folded keys of
# title, description and tags (`service.web.text.with_keys`); list_id and parent_id, which are ids or uids as text, or
# NONE; `placed` and `place`, which `seat_task.sql` describes; for a new task, the `uid` that the client chose; `repeat`
# and the `plan` that `service.tasks.plans` adds.
TaskChanges = Mapping[str, object]
SEAT = ("list_id", "parent_id", "placed", "place")
NONE = "none"  # no list (the inbox), or no parent


class Emptied(NamedTuple):
    """The number of destroyed tasks, and whether the trash is empty now."""

    deleted: int
    done: bool


class UserTasks(TaskQuerySet):
    """The tasks of one user, and their writes. A write must not follow a verb of the queryset.

    A write raises UnavailableError if the database is not available. It is never performed in part, but it may have
    been performed if its response was lost.
    """

    __slots__ = ()

    @property
    def _unnarrowed(self) -> Connection:
        """The connection, for a write. Raises TypeError after a verb, because the database function would ignore it."""
        if self._shape != ():
            raise TypeError("a write names its tasks itself; call it without a verb before it")
        return self._connection

    def _call(self, text: str, *arguments: object) -> Awaitable[Row]:
        """Call a database function for the owner."""
        return self._unnarrowed.call(text, *self._owner, *arguments)

    async def create(self, values: TaskChanges, *, quota: int) -> StoredItem:
        """Create a task; `values` must contain a title.

        If a live task has the uid in `values`, returns that task as it is. Raises UidInTrashError if a deleted one has
        it, TaskQuotaError if there are `quota` live tasks, and InvalidInputError for a list, parent or neighbour that
        is not there or not possible.
        """
        sent = values.get
        uid = sent("uid")
        row = await self._call(
            CREATE, quota, uid or new_uid(),
            values["title"], values["title_key"], sent("description"), sent("description_key"),
            values.get("completed", False), values.get("priority", 0), values.get("tags", ()),
            values.get("tag_keys", ()),
            _text(sent("due_date")), _text(sent("due_at")),
            uid is not None, _seat(values),
        )  # fmt: skip
        if row["outcome"] not in outcomes.DONE:
            raise outcomes.error(row["outcome"], values, Quotas(quota, 0))
        return stored(row)._replace(known=True) if row["outcome"] == "known" else stored(row)

    async def update(  # type: ignore[override]  # reason: Tortoise's method would bypass the function
        self,
        task_id: Reference,
        changes: TaskChanges,
        expected: Expected | None = None,
        *,
        quotas: Quotas = NO_QUOTAS,
    ) -> StoredItem:
        """Set the columns in `changes`. If nothing changes, the version and the time stay the same.

        Raises TaskNotFoundError, VersionMismatchError if the task's version is not as `expected`, and InvalidInputError
        for a list, parent or neighbour that is not there or not possible. If a completed task that repeats is opened
        again, raises SuccessorChangedError if its successor has changed. If its successor does not fit into `quotas`,
        raises TaskQuotaError or TrashFullError.
        """
        if not changes:
            found = await self.find(task_id)
            if expected and not expected.admits(found.version):
                raise expected.mismatch(found.version, found.document)
            return found
        row = await self._update(task_id, changes, expected)
        return await self._settled(Operation("update", task_id, changes, expected), row, quotas)

    async def _update(self, task_id: Reference, changes: TaskChanges, expected: Expected | None) -> Row:
        sent = changes.get
        return await self._write(
            UPDATE, task_id, expected,
            sent("title"), sent("title_key"),
            "description" in changes, sent("description"), sent("description_key"),
            sent("completed"), sent("priority"), sent("tags"), sent("tag_keys"),
            "due_date" in changes, _text(sent("due_date")), "due_at" in changes, _text(sent("due_at")),
            _seat(changes),
        )  # fmt: skip

    async def _settled(self, operation: Operation, row: Row, quotas: Quotas) -> StoredItem:
        """Return the task after `operation`, whose outcome is `row`. If the task repeats, write it with a plan."""
        assert operation.reference is not None  # noqa: S101 - these operations name a task
        for _ in range(plans.TRIES):
            if row["outcome"] != plans.UNPLANNED:
                break
            changes = plans.planned(operation, row["document"], quotas).changes
            row = await self._update(operation.reference, changes, operation.expected)
        if row["outcome"] == plans.UNPLANNED:
            raise UnavailableError("contention")
        if row["outcome"] != "done":
            raise outcomes.error(row["outcome"], operation.changes, quotas, row["document"])
        return stored(row)

    async def toggle(
        self, task_id: Reference, expected: Expected | None = None, *, quotas: Quotas = NO_QUOTAS
    ) -> StoredItem:
        """Complete a pending task, or reopen a completed one. Raises the errors of `update`."""
        row = await self._write(COMPLETE, task_id, expected, None)
        return await self._settled(Operation("complete", task_id, expected=expected), row, quotas)

    async def complete(
        self,
        task_id: Reference,
        completed: bool,  # noqa: FBT001 - the value to set
        expected: Expected | None = None,
        *,
        quotas: Quotas = NO_QUOTAS,
    ) -> StoredItem:
        """Complete the task, or reopen it. Raises the errors of `update`."""
        row = await self._write(COMPLETE, task_id, expected, completed)
        return await self._settled(Operation("complete", task_id, {"completed": completed}, expected), row, quotas)

    async def skip(
        self, task_id: Reference, expected: Expected | None = None, *, quotas: Quotas = NO_QUOTAS
    ) -> StoredItem:
        """Move a repeating task to its next slot. Raises the errors of `update`, and NothingToSkipError."""
        row = await self._update(task_id, plans.TO_BE_PLANNED, expected)
        return await self._settled(Operation("skip", task_id, expected=expected), row, quotas)

    async def delete(  # type: ignore[override]  # reason: as with `update`
        self, task_id: Reference, expected: Expected | None = None, *, trash_quota: int
    ) -> None:
        """Move the task and its subtasks to the trash. Raises the errors of `update`, and TrashFullError."""
        row = await self._write(DELETE, task_id, expected, trash_quota)
        if row["outcome"] == "full":
            raise TrashFullError(trash_quota)

    async def _write(
        self, texts: Mapping[type, str], task_id: Reference, expected: Expected | None, *values: object
    ) -> Row:
        """Call a database function that writes one task. Raises TaskNotFoundError and VersionMismatchError."""
        versions, excluded = expected.arrays if expected else (None, None)
        row = await self._call(texts[type(task_id)], task_id, versions, excluded, *values)
        if row["outcome"] == "missing":
            raise TaskNotFoundError
        if row["outcome"] == "mismatch":
            assert expected is not None  # noqa: S101 - only an expected version can mismatch
            raise expected.mismatch(row["task_version"], row["document"])
        return row

    async def perform(self, operations: Sequence[Operation], *, atomic: bool, quotas: Quotas) -> list[batch.Outcome]:
        """Perform many writes in one transaction. Returns and raises the same as `batch.perform`."""
        return await batch.perform(self._unnarrowed, self._owner, operations, atomic=atomic, quotas=quotas)

    async def delete_many(self, *, completed: bool | None, trash_quota: int, lists: Lists | None = None) -> int:
        """Move the live tasks of these lists to the trash, or only those with this completion. Returns their number.

        By default, these are all lists but the archived ones, and the inbox, as in `of_lists`.

        Raises TrashFullError, and moves none, if the trash would have more than `trash_quota` tasks.
        """
        row = await self._call(DELETE_MANY, completed, trash_quota, *(lists or (None, None, None)))
        if row["deleted"] < row["wanted"]:
            raise TrashFullError(trash_quota)
        return int(row["deleted"])

    async def restore(self, task_id: Reference, *, quota: int) -> StoredItem:
        """Restore the task from the trash. Raises TaskNotFoundError, and TaskQuotaError at `quota` live tasks."""
        row = await self._call(RESTORE[type(task_id)], task_id, quota)
        if row["outcome"] == "missing":
            raise TaskNotFoundError
        if row["outcome"] == "full":
            raise TaskQuotaError(quota)
        return stored(row)

    async def destroy(self, task_id: Reference) -> None:
        """Permanently remove the task. Raises TaskNotFoundError if it is not in the trash."""
        if not await self._destroy(task_id):
            raise TaskNotFoundError

    async def destroy_all(self, *, within: float) -> Emptied:
        """Permanently remove all tasks in the trash, page by page. Stops after about `within` seconds."""
        ends, deleted = time.monotonic() + within, 0
        while True:
            destroyed = await self._destroy(None)
            deleted += destroyed
            if destroyed < PAGE:
                return Emptied(deleted, done=True)
            if time.monotonic() > ends:
                return Emptied(deleted, done=False)

    async def _destroy(self, task_id: Reference | None) -> int:
        row = await self._call(DESTROY[str if isinstance(task_id, str) else int], task_id, PAGE)
        return int(row["destroyed"])


def _seat(values: TaskChanges) -> Sequence[object] | None:
    """Return the list, the parent, the place and the plan in `values` for the function; None without any of them."""
    plan = values.get("plan", ())
    seat = [*map(values.get, SEAT), *plan]  # type: ignore[misc]  # reason: mypy knows only `object`
    return seat if any(part is not None for part in seat) else None


def _text(value: object) -> object:
    """Format a day or a time as text, because asyncpg sends the first and the last of the calendar as infinity."""
    return value.isoformat() if isinstance(value, date) else value
