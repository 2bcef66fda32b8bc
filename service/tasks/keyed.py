"""A user's writes under an idempotency key: the writes of `UserTasks` that POST requests perform."""

from __future__ import annotations

from collections.abc import Sequence

from service.database.expected import Expected
from service.database.items import Reference, StoredItem
from service.database.operations import Operation, Quotas
from service.idempotency.operations import KeyedOperations
from service.tasks import outcomes
from service.tasks.batch import writes as batch
from service.tasks.batch.writes import Outcome
from service.tasks.writes import TaskChanges


class KeyedTasks(KeyedOperations):
    """The tasks of one user, written under one key.

    Each method performs the write of the same name in `UserTasks`, and raises the same errors.
    """

    async def create(self, values: TaskChanges, *, quota: int) -> StoredItem:
        """Create a task."""
        return await self._one(Operation("create", changes=values), Quotas(quota, 0))

    async def toggle(self, task_id: Reference, expected: Expected | None = None) -> StoredItem:
        """Complete a pending task or reopen a completed one."""
        return await self._one(Operation("complete", task_id, expected=expected), Quotas(0, 0))

    async def complete(self, task_id: Reference, completed: bool, expected: Expected | None = None) -> StoredItem:  # noqa: FBT001 - the value to set
        """Complete the task, or reopen it."""
        return await self._one(Operation("complete", task_id, {"completed": completed}, expected), Quotas(0, 0))

    async def restore(self, task_id: Reference, *, quota: int) -> StoredItem:
        """Restore a task from the trash."""
        return await self._one(Operation("restore", task_id), Quotas(quota, 0))

    async def perform(self, operations: Sequence[Operation], *, atomic: bool, quotas: Quotas) -> list[Outcome]:
        """Perform many writes in one transaction."""
        done = await self._perform(operations, atomic=atomic, quotas=quotas)
        return batch.read(operations, quotas, done, atomic=atomic)

    async def _one(self, operation: Operation, quotas: Quotas) -> StoredItem:
        """Perform an atomic batch of one operation."""
        (result,) = await self._perform([operation], atomic=True, quotas=quotas)
        if result.outcome not in outcomes.DONE:
            raise batch.error(operation, quotas, result)
        return result.stored
