"""Perform many writes of one user in their order, with one call of a database function."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from service.database.functions import call
from service.database.items import StoredItem
from service.database.operations import Operation, Quotas, Result, encode, results, stored_of
from service.database.scoping import Connection
from service.errors import (
    BatchFailedError,
    DoableError,
    FieldError,
    InvalidInputError,
    TrashFullError,
    UnavailableError,
)
from service.lists import outcomes as outcomes_of_lists
from service.tasks import outcomes as outcomes_of_tasks
from service.tasks import plans
from service.tasks.batch.planning import add_plans

Owner = tuple[str, str | None, str | None]  # id, e-mail, name

BATCH = call("perform_batch", 7)
MOST_ATTEMPTS = 10  # of a batch; each one costs as much as the whole batch
TOO_OFTEN = FieldError(
    "operations", "write the same repeating tasks too often; send one operation for each of them, or several batches"
)


class Written(NamedTuple):
    """The result of an operation: the JSON of the task or list, or None after a deletion.

    `known` means that a creation found the item with the client's uid, and wrote nothing.
    """

    document: str | None
    known: bool = False

    @property
    def stored(self) -> StoredItem:
        """The item that the operation wrote or found. There must be one."""
        assert self.document is not None  # noqa: S101 - only a deletion has no document
        return stored_of(self.document, known=self.known)


Outcome = Written | DoableError


async def perform(
    connection: Connection, owner: Owner, operations: Sequence[Operation], *, atomic: bool, quotas: Quotas
) -> list[Outcome]:
    """Perform `operations` in their order, in one transaction. Returns the result of each.

    Each operation sees the writes of the earlier ones. It finds an item that the batch itself has created by the uid,
    not by the id. With `atomic`, raises BatchFailedError for the first operation that fails, and nothing is written.
    """

    async def attempt(operations: Sequence[Operation]) -> list[Result]:
        row = await connection.call(BATCH, *owner, *quotas, atomic, encode(operations))
        return results(row["outcomes"], row["versions"], row["documents"])

    return await settle(operations, attempt, atomic=atomic, quotas=quotas)


async def settle(
    operations: Sequence[Operation], attempt: Callable[[Sequence[Operation]], Awaitable[list[Result]]], *,
    atomic: bool, quotas: Quotas,
) -> list[Outcome]:  # fmt: skip
    """Perform `operations` by `attempt`, and add the plans for repeating tasks. Returns and raises as `perform`.

    An attempt performs all operations, and writes nothing if one of them needs a plan. If another write of the owner
    changes the task of the first such operation, the attempt does not count. Raises InvalidInputError after
    MOST_ATTEMPTS that count.
    """
    sent, reached, attempts = [*operations], -1, 0
    for _ in range(MOST_ATTEMPTS + plans.TRIES):
        done = await attempt(sent)
        first = next((index for index, result in enumerate(done) if result.outcome == plans.UNPLANNED), None)
        if first is None:
            return await _read(operations, quotas, done, atomic=atomic)
        attempts += first != reached
        reached = first
        if attempts > MOST_ATTEMPTS:
            raise InvalidInputError([TOO_OFTEN])
        await add_plans(sent, operations, done, quotas)
    raise UnavailableError("contention")


async def _read(
    operations: Sequence[Operation], quotas: Quotas, done: Sequence[Result], *, atomic: bool
) -> list[Outcome]:
    """Convert the results of `operations`. Raises BatchFailedError if an operation of an `atomic` batch failed."""
    found: list[Outcome] = []
    # There are fewer results than operations if an operation of an atomic batch has failed.
    for operation, result in zip(operations, done, strict=False):
        found.append(_outcome(operation, quotas, result))
        if result.outcome == plans.REFUSED:  # the reason takes as long as a plan
            await asyncio.sleep(0)
    if atomic and found and isinstance(failed := found[-1], DoableError):
        raise BatchFailedError(len(found) - 1, failed)
    return found


def _outcome(operation: Operation, quotas: Quotas, result: Result) -> Outcome:
    if result.outcome in outcomes_of_tasks.DONE:
        return Written(result.document, result.outcome == "known")
    return error(operation, quotas, result)


def error(operation: Operation, quotas: Quotas, result: Result) -> DoableError:
    """Return the error of an operation whose outcome is not in DONE."""
    if operation.verb.endswith("_list"):
        return outcomes_of_lists.of_operation(operation, quotas, result)
    if result.outcome == "mismatch":
        assert operation.expected is not None  # noqa: S101 - only an expected version can mismatch
        assert result.version is not None and result.document is not None  # noqa: S101, PT018 - they are the task's
        return operation.expected.mismatch(result.version, result.document)
    if result.outcome == plans.REFUSED:
        return plans.reason(operation, result.document, quotas)
    if result.outcome == "full" and operation.verb == "delete":
        return TrashFullError(quotas.trash)
    return outcomes_of_tasks.error(result.outcome, operation.changes, quotas, result.document)
