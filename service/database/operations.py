"""Operations of a batch, as the database functions `perform_batch` and `perform_once` take and answer them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Literal, NamedTuple

import msgspec
from msgspec import Raw, Struct

from service.database.expected import Expected
from service.database.items import Reference, StoredItem
from service.database.uids import new_uid

MAXIMUM_LISTS = 500  # live lists of one user
NULL = b"null"
Verb = Literal[
    "create",
    "update",
    "complete",
    "skip",
    "delete",
    "restore",
    "create_list",
    "update_list",
    "delete_list",
    "restore_list",
]


class Quotas(NamedTuple):
    """The maximum number of live tasks of one user, and of tasks and lists in the trash."""

    tasks: int
    trash: int


class Operation(NamedTuple):
    """One write: of a new item, or of the task or list `reference` if its version is as `expected`.

    `changes` are valid values by name, as in `create` and `update` of `UserTasks` and `UserLists`. The verb `complete`
    toggles if there is no `completed` in `changes`.
    """

    verb: Verb
    reference: Reference | None = None
    changes: Mapping[str, object] = MappingProxyType({})
    expected: Expected | None = None


class Result(NamedTuple):
    """The result of an operation: the outcome, and the version and the JSON of the item. See the functions."""

    outcome: str
    version: int | None
    document: str | None

    @property
    def stored(self) -> StoredItem:
        """The item that the operation wrote or found."""
        assert self.document is not None  # noqa: S101 - only a deletion has no document
        return stored_of(self.document, known=self.outcome == "known")


def stored_of(document: str, *, known: bool) -> StoredItem:
    """Return the item with this JSON."""
    marks = msgspec.json.decode(document, type=_Marks)
    return StoredItem(marks.id, marks.version, marks.uid, document, known)


class _Marks(Struct):
    """The members of an item's JSON that the response headers need."""

    id: int
    version: int
    uid: str


class _Answer(Struct):
    """The result of `perform_batch`, as `perform_once` stores it."""

    outcomes: list[str] | None
    versions: list[int | None] | None
    documents: list[Raw] | None  # unchanged, byte for byte


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


def results(
    outcomes: Sequence[str] | None, versions: Sequence[int | None] | None, documents: Sequence[str | None] | None
) -> list[Result]:
    """Convert the columns of `perform_batch`."""
    return [*map(Result, outcomes or (), versions or (), documents or ())]


def decode(answer: str) -> list[Result]:
    """Convert the answer of `perform_once`."""
    kept = msgspec.json.decode(answer, type=_Answer)
    documents = [None if document == NULL else bytes(document).decode() for document in kept.documents or ()]
    return results(kept.outcomes, kept.versions, documents)
