"""A user's writes under an idempotency key: the writes of `UserTasks` that POST requests perform."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence

from service.database.expected import Expected
from service.database.items import Reference, StoredItem
from service.database.operations import Operation, Quotas, Result
from service.errors import BatchFailedError
from service.idempotency.operations import KeyedOperations
from service.tasks.batch import writes as batch
from service.tasks.batch.writes import Outcome, Written
from service.tasks.plans import TO_BE_PLANNED
from service.tasks.writes import TaskChanges


class KeyedTasks(KeyedOperations):
    """The tasks of one user, written under one key.

    Each method performs the write of the same name in `UserTasks`, and raises the same errors.
    """

    async def create(self, values: TaskChanges, *, quota: int) -> StoredItem:
        """Create a task."""
        return await self._one(Operation("create", changes=values), Quotas(quota, 0))

    async def toggle(self, task_id: Reference, expected: Expected | None = None, *, quotas: Quotas) -> StoredItem:
        """Complete a pending task or reopen a completed one."""
        return await self._one(Operation("complete", task_id, expected=expected), quotas)

    async def complete(
        self,
        task_id: Reference,
        completed: bool,  # noqa: FBT001 - the value to set
        expected: Expected | None = None,
        *,
        quotas: Quotas,
    ) -> StoredItem:
        """Complete the task, or reopen it."""
        return await self._one(Operation("complete", task_id, {"completed": completed}, expected), quotas)

    async def skip(self, task_id: Reference, expected: Expected | None = None, *, quotas: Quotas) -> StoredItem:
        """Move a repeating task to the next slot of its series."""
        return await self._one(Operation("skip", task_id, TO_BE_PLANNED, expected), quotas)

    async def restore(self, task_id: Reference, *, quota: int) -> StoredItem:
        """Restore a task from the trash."""
        return await self._one(Operation("restore", task_id), Quotas(quota, 0))

    async def perform(self, operations: Sequence[Operation], *, atomic: bool, quotas: Quotas) -> list[Outcome]:
        """Perform many writes in one transaction."""

        def attempt(operations: Sequence[Operation]) -> Awaitable[list[Result]]:
            return self._perform(operations, atomic=atomic, quotas=quotas)

        return await batch.settle(operations, attempt, atomic=atomic, quotas=quotas)

    async def _one(self, operation: Operation, quotas: Quotas) -> StoredItem:
        """Perform an atomic batch of one operation."""
        try:
            (written,) = await self.perform([operation], atomic=True, quotas=quotas)
        except BatchFailedError as failed:
            raise failed.cause from None
        assert isinstance(written, Written)  # noqa: S101 - an atomic batch raises
        return written.stored
