"""A user's writes under an idempotency key: the writes of `UserTasks` that POST requests perform."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec import Struct

from service.database.expected import Expected
from service.database.functions import call
from service.database.items import Reference, StoredItem
from service.errors import DoableError
from service.idempotency.models import KeyedScope
from service.lists.outcomes import Quotas
from service.tasks.batch import writes as batch
from service.tasks.batch.writes import Operation, Outcome
from service.tasks.writes import TaskChanges

PERFORM = call("perform_once", 14)


class KeyedTasks(KeyedScope):
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
        outcomes = await self._outcomes(operations, quotas, atomic=atomic)
        return batch.all_or_none(outcomes) if atomic else outcomes

    async def _one(self, operation: Operation, quotas: Quotas) -> StoredItem:
        """Perform an atomic batch of one operation."""
        (outcome,) = await self._outcomes([operation], quotas, atomic=True)
        if isinstance(outcome, DoableError):
            raise outcome
        document = outcome.document
        assert document is not None  # noqa: S101 - only a deletion has no document
        marks = msgspec.json.decode(document, type=_Marks)
        return StoredItem(marks.id, marks.version, marks.uid, document, outcome.known)

    async def _outcomes(self, operations: Sequence[Operation], quotas: Quotas, *, atomic: bool) -> list[Outcome]:
        answer = await self._once(PERFORM, *quotas, atomic, batch.encode(operations))
        return batch.read_answer(operations, quotas, answer)


class _Marks(Struct):
    """The members of a task's JSON that the response headers need."""

    id: int
    version: int
    uid: str
