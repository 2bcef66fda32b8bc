"""Perform many writes of one user in their order, with one call of a database function."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Literal, NamedTuple

import msgspec
from msgspec import Raw, Struct

from service.database.expected import Expected
from service.database.functions import call
from service.database.items import Reference
from service.database.scoping import Connection
from service.database.uids import new_uid
from service.errors import BatchFailedError, DoableError, TrashFullError
from service.lists import outcomes as outcomes_of_lists
from service.lists.outcomes import MAXIMUM_LISTS, Quotas
from service.tasks import outcomes as outcomes_of_tasks

Owner = tuple[str, str | None, str | None]  # id, e-mail, name


class Written(NamedTuple):
    """The result of an operation: the JSON of the task or list, or None after a deletion.

    `known` means that a creation found the item with the client's uid, and wrote nothing.
    """

    document: str | None
    known: bool = False


Outcome = Written | DoableError

BATCH = call("perform_batch", 7)
NULL = b"null"


class Operation(NamedTuple):
    """One write: of a new item, or of the task or list `reference` if its version is as `expected`.

    `changes` are valid values by name, as in `create` and `update` of `UserTasks` and `UserLists`. The verb `complete`
    toggles if there is no `completed` in `changes`.
    """

    verb: Literal[
        "create", "update", "complete", "delete", "restore", "create_list", "update_list", "delete_list", "restore_list"
    ]
    reference: Reference | None = None
    changes: Mapping[str, object] = MappingProxyType({})
    expected: Expected | None = None


class _Answer(Struct):
    """The result of `perform_batch`, as `perform_once` stores it."""

    outcomes: list[str] | None
    versions: list[int | None] | None
    documents: list[Raw] | None  # unchanged, byte for byte


async def perform(
    connection: Connection, owner: Owner, operations: Sequence[Operation], *, atomic: bool, quotas: Quotas
) -> list[Outcome]:
    """Perform `operations` in their order, in one transaction. Returns the result of each.

    Each operation sees the writes of the earlier ones. It finds an item that the batch itself has created by the uid,
    not by the id. With `atomic`, raises BatchFailedError for the first operation that fails, and nothing is written.
    """
    row = await connection.call(BATCH, *owner, *quotas, atomic, encode(operations))
    outcomes = read(operations, quotas, row["outcomes"], row["versions"], row["documents"])
    return all_or_none(outcomes) if atomic else outcomes


def all_or_none(outcomes: list[Outcome]) -> list[Outcome]:
    """Return the outcomes of an atomic batch. Raises BatchFailedError if the last one is an error."""
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
    """Convert the columns of `perform_batch` to the outcomes of `operations`."""
    # There are fewer outcomes than operations if an operation of an atomic batch has failed.
    done = zip(outcomes or (), versions or (), documents or (), strict=True)
    return [_outcome(operation, quotas, *one) for operation, one in zip(operations, done, strict=False)]


def read_answer(operations: Sequence[Operation], quotas: Quotas, answer: str) -> list[Outcome]:
    """Convert the answer of `perform_once` to the outcomes of `operations`."""
    kept = msgspec.json.decode(answer, type=_Answer)
    documents = [None if document == NULL else bytes(document).decode() for document in kept.documents or ()]
    return read(operations, quotas, kept.outcomes, kept.versions, documents)


def _outcome(
    operation: Operation, quotas: Quotas, outcome: str, version: int | None, document: str | None
) -> Outcome:  # fmt: skip
    if outcome in outcomes_of_tasks.DONE:
        return Written(document, outcome == "known")
    if outcome == "mismatch":
        assert operation.expected is not None  # noqa: S101 - only an expected version can mismatch
        assert version is not None and document is not None  # noqa: S101, PT018 - a mismatch includes the item
        return operation.expected.mismatch(version, document)
    if operation.verb.endswith("_list"):
        return outcomes_of_lists.error(outcome, operation.changes, version, quotas=quotas)
    if outcome == "full" and operation.verb == "delete":
        return TrashFullError(quotas.trash)
    return outcomes_of_tasks.error(outcome, operation.changes, quota=quotas.tasks)


def encode(operations: Sequence[Operation]) -> str:
    """Encode the operations for `perform_batch` as JSON. `columns` lists the columns to set, even to null."""
    return msgspec.json.encode([_fields(operation) for operation in operations]).decode()


def _fields(operation: Operation) -> dict[str, object]:
    expected, excluded = operation.expected.arrays if operation.expected else (None, None)
    named = operation.changes.get("uid")
    return {
        **operation.changes, "verb": operation.verb, "expected": expected, "excluded": excluded,
        "uid": named or (new_uid() if operation.verb.startswith("create") else None), "is_named": named is not None,
        "id" if isinstance(operation.reference, int) else "ref": operation.reference, "columns": [*operation.changes],
        **({"list_quota": MAXIMUM_LISTS} if operation.verb.endswith("_list") else {}),
    }  # fmt: skip
