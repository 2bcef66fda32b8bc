"""Operations under an idempotency key."""

from __future__ import annotations

from collections.abc import Sequence

from service.database.functions import call
from service.database.operations import Operation, Quotas, Result, decode, encode
from service.idempotency.models import KeyedScope

PERFORM = call("perform_once", 14)


class KeyedOperations(KeyedScope):
    """The data of one user, written by operations under one key."""

    async def _perform(self, operations: Sequence[Operation], *, atomic: bool, quotas: Quotas) -> list[Result]:
        """Perform `operations` in one transaction, or return the results of the first request with the key.

        With `atomic`, the first operation that fails rolls all of them back, and its result is the last one.
        """
        return decode(await self._once(PERFORM, *quotas, atomic, encode(operations)))
