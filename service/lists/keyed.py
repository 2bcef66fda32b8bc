"""A user's writes of lists under an idempotency key: the writes of `UserLists` that POST requests perform."""

from __future__ import annotations

from service.database.items import Reference, StoredItem
from service.database.operations import Operation, Quotas
from service.idempotency.operations import KeyedOperations
from service.lists import outcomes
from service.lists.outcomes import NO_QUOTAS
from service.lists.writes import ListChanges


class KeyedLists(KeyedOperations):
    """The lists of one user, written under one key.

    Each method performs the write of the same name in `UserLists`, and raises the same errors.
    """

    async def create(self, values: ListChanges) -> StoredItem:
        """Create a list."""
        return await self._one(Operation("create_list", changes=values), NO_QUOTAS)

    async def restore(self, list_id: Reference, *, task_quota: int) -> StoredItem:
        """Restore a list from the trash."""
        return await self._one(Operation("restore_list", list_id), Quotas(task_quota, 0))

    async def _one(self, operation: Operation, quotas: Quotas) -> StoredItem:
        """Perform an atomic batch of one operation."""
        (result,) = await self._perform([operation], atomic=True, quotas=quotas)
        if result.outcome not in outcomes.DONE:
            raise outcomes.of_operation(operation, quotas, result)
        return result.stored
