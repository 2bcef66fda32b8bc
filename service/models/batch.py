"""Many writes of one user at once, in the order in which they were asked for: one call of a database function."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Literal, NamedTuple

import msgspec

from service.errors import (
    BatchFailedError,
    DoableError,
    TaskNotFoundError,
    TaskQuotaError,
    TrashFullError,
    VersionMismatchError,
)
from service.models.functions import call
from service.models.scoping import Connection
from service.models.uids import new_uid

Owner = tuple[str, str | None, str | None]  # id, e-mail, name
# What became of an operation: the task's JSON, None for one that went to the trash, or why nothing was done.
Outcome = str | None | DoableError

BATCH = call("perform_batch", 7)


class Quotas(NamedTuple):
    """How many tasks one user may have: live ones, and in the trash."""

    tasks: int
    trash: int


class Operation(NamedTuple):
    """One write: of a new task, or of the one with `task_id` if that is at the version `expected`, where one is.

    `changes` are values by column, already valid, as in `UserTasks.create` and `update`.
    """

    verb: Literal["create", "update", "delete", "restore"]
    task_id: int | None = None
    changes: Mapping[str, object] = MappingProxyType({})
    expected: int | None = None


async def perform(
    connection: Connection, owner: Owner, operations: Sequence[Operation], *, atomic: bool, quotas: Quotas
) -> list[Outcome]:
    """Do `operations`, all of them in one transaction; return what became of each, in their order.

    Each sees what those before it did. With `atomic`, raises BatchFailedError for the first that cannot be done, and
    nothing is written. A task that is created meanwhile is not there, not even one of this batch's own.
    """
    row = await connection.call(BATCH, *owner, *quotas, atomic, _json(operations))
    answers = [row[column] or () for column in ("outcomes", "versions", "documents")]
    done = zip(*answers, strict=True)  # fewer than were asked for, where one of an atomic batch has failed
    outcomes = [_outcome(operation, quotas, *one) for operation, one in zip(operations, done, strict=False)]
    if atomic and outcomes and isinstance(failed := outcomes[-1], DoableError):
        raise BatchFailedError(len(outcomes) - 1, failed)
    return outcomes


def _outcome(operation: Operation, quotas: Quotas, outcome: str, version: int, document: str) -> Outcome:
    if outcome == "missing":
        return TaskNotFoundError()
    if outcome == "mismatch":
        return VersionMismatchError(version, document)
    if outcome == "full":
        return TrashFullError(quotas.trash) if operation.verb == "delete" else TaskQuotaError(quotas.tasks)
    return document


def _json(operations: Sequence[Operation]) -> str:
    """The operations as `perform_batch` takes them; `columns` names those that are set, also if to null."""
    return msgspec.json.encode([
        {
            "verb": operation.verb, "id": operation.task_id, "expected": operation.expected,
            "uid": new_uid() if operation.verb == "create" else None, "columns": [*operation.changes],
            **operation.changes,
        }
        for operation in operations
    ]).decode()  # fmt: skip
