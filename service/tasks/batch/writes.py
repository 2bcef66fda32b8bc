"""Many writes of one user at once, in the order in which they were asked for: one call of a database function."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Literal, NamedTuple

import msgspec
from msgspec import Raw, Struct

from service.database.expected import Expected
from service.database.functions import call
from service.database.scoping import Connection
from service.database.uids import new_uid
from service.errors import (
    BatchFailedError,
    DoableError,
    TaskNotFoundError,
    TaskQuotaError,
    TrashFullError,
)

Owner = tuple[str, str | None, str | None]  # id, e-mail, name
# What became of an operation: the task's JSON, None for one that went to the trash, or why nothing was done.
Outcome = str | None | DoableError

BATCH = call("perform_batch", 7)
NULL = b"null"


class Quotas(NamedTuple):
    """How many tasks one user may have: live ones, and in the trash."""

    tasks: int
    trash: int


class Operation(NamedTuple):
    """One write: of a new task, or of the one with `task_id`, if that is as `expected`.

    `changes` are values by column, already valid, as in `UserTasks.create` and `update`; `complete` without `completed`
    among them toggles.
    """

    verb: Literal["create", "update", "complete", "delete", "restore"]
    task_id: int | None = None
    changes: Mapping[str, object] = MappingProxyType({})
    expected: Expected | None = None


class _Answer(Struct):
    """What `perform_batch` returns, as `perform_once` keeps it."""

    outcomes: list[str] | None
    versions: list[int | None] | None
    documents: list[Raw] | None  # to the last byte as they were


async def perform(
    connection: Connection, owner: Owner, operations: Sequence[Operation], *, atomic: bool, quotas: Quotas
) -> list[Outcome]:
    """Do `operations`, all of them in one transaction; return what became of each, in their order.

    Each sees what those before it did. With `atomic`, raises BatchFailedError for the first that cannot be done, and
    nothing is written. A task that is created meanwhile is not there, not even one of this batch's own.
    """
    row = await connection.call(BATCH, *owner, *quotas, atomic, encode(operations))
    outcomes = read(operations, quotas, row["outcomes"], row["versions"], row["documents"])
    return all_or_none(outcomes) if atomic else outcomes


def all_or_none(outcomes: list[Outcome]) -> list[Outcome]:
    """The outcomes of an atomic batch. Raises BatchFailedError if one of them is a failure."""
    if outcomes and isinstance(failed := outcomes[-1], DoableError):
        raise BatchFailedError(len(outcomes) - 1, failed)
    return outcomes


def read(
    operations: Sequence[Operation],
    quotas: Quotas,
    outcomes: Sequence[str] | None,
    versions: Sequence[int | None] | None,
    documents: Sequence[str | None] | None,
) -> list[Outcome]:
    """Return what became of `operations`, by the columns of `perform_batch`."""
    # There are fewer outcomes than operations where one of an atomic batch has failed.
    done = zip(outcomes or (), versions or (), documents or (), strict=True)
    return [_outcome(operation, quotas, *one) for operation, one in zip(operations, done, strict=False)]


def read_answer(operations: Sequence[Operation], quotas: Quotas, answer: str) -> list[Outcome]:
    """Return what became of `operations`, by the answer of `perform_once`."""
    kept = msgspec.json.decode(answer, type=_Answer)
    documents = [None if document == NULL else bytes(document).decode() for document in kept.documents or ()]
    return read(operations, quotas, kept.outcomes, kept.versions, documents)


def _outcome(
    operation: Operation, quotas: Quotas, outcome: str, version: int | None, document: str | None
) -> Outcome:  # fmt: skip
    if outcome == "missing":
        return TaskNotFoundError()
    if outcome == "mismatch":
        assert operation.expected is not None  # noqa: S101 - without versions nothing can mismatch
        assert version is not None and document is not None  # noqa: S101, PT018 - they are the task's
        return operation.expected.mismatch(version, document)
    if outcome == "full":
        return TrashFullError(quotas.trash) if operation.verb == "delete" else TaskQuotaError(quotas.tasks)
    return document


def encode(operations: Sequence[Operation]) -> str:
    """The operations as `perform_batch` takes them; `columns` names those that are set, also if to null."""
    return msgspec.json.encode([_fields(operation) for operation in operations]).decode()


def _fields(operation: Operation) -> dict[str, object]:
    expected, excluded = operation.expected.arrays if operation.expected else (None, None)
    return {
        "verb": operation.verb, "id": operation.task_id, "expected": expected, "excluded": excluded,
        "uid": new_uid() if operation.verb == "create" else None, "columns": [*operation.changes],
        **operation.changes,
    }  # fmt: skip
