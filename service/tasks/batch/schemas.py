"""The operations of a batch as types. Each operation is validated by itself and has its own errors."""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

from msgspec import UNSET, Meta, Struct, UnsetType

from service.database.expected import MAXIMUM_BIGINT, Expected
from service.database.items import Reference, read_uid
from service.database.operations import Operation
from service.errors import FieldError, InvalidInputError
from service.lists import schemas as schemas_of_lists
from service.lists.schemas import ListDraft, ListFields
from service.tasks import schemas
from service.tasks.fields import Completed
from service.tasks.plans import TO_BE_PLANNED
from service.tasks.schemas import TaskDraft, TaskFields
from service.tasks.writes import TaskChanges
from service.web import validation
from service.web.fields import IfVersion
from service.web.pacing import Pace

MAXIMUM_OPERATIONS = 100


def read_id(sent: Reference) -> Reference:
    """Return an id, or a uid in lower case. Raises ValueError for any other text."""
    return read_uid(sent) if isinstance(sent, str) else sent


Id = Annotated[
    Annotated[int, Meta(ge=1, le=MAXIMUM_BIGINT)] | Annotated[str, Meta(extra_json_schema={"format": "uuid"})],
    Meta(extra={"rule": "a task's id, a positive 64-bit integer, or its uid", "read": read_id},
         description="The task's id or uid.", examples=[42]),
]  # fmt: skip

ListId = Annotated[
    Annotated[int, Meta(ge=1, le=MAXIMUM_BIGINT)] | Annotated[str, Meta(extra_json_schema={"format": "uuid"})],
    Meta(extra={"rule": "a list's id, a positive 64-bit integer, or its uid", "read": read_id},
         description="The list's id or uid.", examples=[12]),
]  # fmt: skip
Destination = Annotated[
    Literal["inbox", "trash"] | UnsetType | None,
    Meta(extra={"rule": "inbox, trash or null"},
         description="Where to move the tasks of the list. Required if the list has tasks."),
]  # fmt: skip


class CreateOperation(Struct, kw_only=True, forbid_unknown_fields=True, tag_field="op", tag="create"):
    """Creates a task, as `POST /api/{user_id}/tasks`."""

    task: TaskDraft

    def read(self) -> Operation:
        """Convert to a write. Raises InvalidInputError."""
        return Operation("create", changes=_columns("task", self.task))


class UpdateOperation(Struct, kw_only=True, forbid_unknown_fields=True, tag_field="op", tag="update"):
    """Changes a task, as `PATCH /api/{user_id}/tasks/{task_id}`. Omitted fields keep their values."""

    id: Id
    changes: TaskFields
    if_version: IfVersion = UNSET

    def read(self) -> Operation:
        """Convert to a write."""
        return Operation("update", _named(self), _columns("changes", self.changes), _expected(self.if_version))


class CompleteOperation(Struct, kw_only=True, forbid_unknown_fields=True, tag_field="op", tag="complete"):
    """Completes or reopens a task, as `POST /api/{user_id}/tasks/{task_id}/complete` with a body. Never toggles."""

    id: Id
    completed: Completed
    if_version: IfVersion = UNSET

    def read(self) -> Operation:
        """Convert to a write."""
        return Operation("complete", _named(self), {"completed": self.completed}, _expected(self.if_version))


class SkipOperation(Struct, kw_only=True, forbid_unknown_fields=True, tag_field="op", tag="skip"):
    """Moves a repeating task to its next occurrence, as `POST /api/{user_id}/tasks/{task_id}/skip`."""

    id: Id
    if_version: IfVersion = UNSET

    def read(self) -> Operation:
        """Convert to a write."""
        return Operation("skip", _named(self), TO_BE_PLANNED, _expected(self.if_version))


class DeleteOperation(Struct, kw_only=True, forbid_unknown_fields=True, tag_field="op", tag="delete"):
    """Moves a task to the trash, as `DELETE /api/{user_id}/tasks/{task_id}`."""

    id: Id
    if_version: IfVersion = UNSET

    def read(self) -> Operation:
        """Convert to a write."""
        return Operation("delete", _named(self), expected=_expected(self.if_version))


class RestoreOperation(Struct, kw_only=True, forbid_unknown_fields=True, tag_field="op", tag="restore"):
    """Restores a task, as `POST /api/{user_id}/trash/{task_id}/restore`."""

    id: Id

    def read(self) -> Operation:
        """Convert to a write."""
        return Operation("restore", _named(self))


class CreateListOperation(Struct, kw_only=True, forbid_unknown_fields=True, tag_field="op", tag="create_list"):
    """Creates a list, as `POST /api/{user_id}/lists`."""

    list: ListDraft

    def read(self) -> Operation:
        """Convert to a write. Raises InvalidInputError."""
        return Operation("create_list", changes=_columns("list", self.list))


class UpdateListOperation(Struct, kw_only=True, forbid_unknown_fields=True, tag_field="op", tag="update_list"):
    """Changes a list, as `PATCH /api/{user_id}/lists/{list_id}`. Omitted fields keep their values."""

    id: ListId
    changes: ListFields
    if_version: IfVersion = UNSET

    def read(self) -> Operation:
        """Convert to a write."""
        columns = _columns("changes", self.changes)
        return Operation("update_list", _named(self), columns, _expected(self.if_version))


class DeleteListOperation(Struct, kw_only=True, forbid_unknown_fields=True, tag_field="op", tag="delete_list"):
    """Moves a list to the trash, as `DELETE /api/{user_id}/lists/{list_id}`."""

    id: ListId
    tasks: Destination = UNSET
    if_version: IfVersion = UNSET

    def read(self) -> Operation:
        """Convert to a write."""
        changes = {"contents": self.tasks} if self.tasks else {}
        return Operation("delete_list", _named(self), changes, _expected(self.if_version))


class RestoreListOperation(Struct, kw_only=True, forbid_unknown_fields=True, tag_field="op", tag="restore_list"):
    """Restores a list, as `POST /api/{user_id}/trash/lists/{list_id}/restore`."""

    id: ListId

    def read(self) -> Operation:
        """Convert to a write."""
        return Operation("restore_list", _named(self))


Sent = (
    CreateOperation
    | UpdateOperation
    | CompleteOperation
    | SkipOperation
    | DeleteOperation
    | RestoreOperation
    | CreateListOperation
    | UpdateListOperation
    | DeleteListOperation
    | RestoreListOperation
)
OnOneItem = (
    UpdateOperation
    | CompleteOperation
    | SkipOperation
    | DeleteOperation
    | RestoreOperation
    | UpdateListOperation
    | DeleteListOperation
    | RestoreListOperation
)
KINDS: dict[object, type[Sent]] = {kind.__struct_config__.tag: kind for kind in get_args(Sent)}
VERBS = "must be create, update, complete, skip, delete, restore, create_list, update_list, delete_list or restore_list"
COUNTED = Meta(min_length=1, max_length=MAXIMUM_OPERATIONS)
LISTED = Meta(
    extra_json_schema={"examples": [[{"op": "create", "task": {"title": "Water the plants"}}]]},
    extra={"rule": f"a list of 1 to {MAXIMUM_OPERATIONS} operations"},
    description="The operations, in their order. Each one sees the writes of the earlier ones.",
)
ATOMIC = Meta(
    extra={"rule": "true or false"},
    description="Whether a failing operation rolls back all others. If false, each operation succeeds or fails alone.",
)


class UnreadBatch(Struct, kw_only=True, forbid_unknown_fields=True):
    """A batch whose operations are not validated yet."""

    atomic: Annotated[bool, ATOMIC] = True
    operations: Annotated[Annotated[list[Any], COUNTED], LISTED]


class TaskBatch(UnreadBatch, kw_only=True, forbid_unknown_fields=True):
    """A batch of operations, which are performed in their order."""

    operations: Annotated[Annotated[list[Sent], COUNTED], LISTED]


async def read(body: bytes) -> tuple[list[Operation | InvalidInputError], bool]:
    """Read the operations of a batch, and whether it is atomic.

    If it is not atomic, an invalid operation is returned as its error. Yields to the event loop between two operations,
    because the first slots of a series may take milliseconds. Raises MalformedInputError and InvalidInputError.
    """
    pace = Pace()
    sent = validation.decode(body, UnreadBatch)
    operations: list[Operation | InvalidInputError] = []
    faults: list[FieldError] = []
    left = validation.MAXIMUM_FAULTS  # for the whole request
    for index, one in enumerate(sent.operations):
        await pace.keep()
        operation = _read(one, left)
        operations.append(operation)
        if isinstance(operation, InvalidInputError):
            left -= len(operation.errors)
            if sent.atomic:
                faults += validation.within(f"operations[{index}]", operation.errors)
                if left <= 0:
                    break
    if faults:
        raise InvalidInputError(faults)
    return operations, sent.atomic


def _read(sent: object, left: int) -> Operation | InvalidInputError:
    """Read an operation, or return its error with at most `left` faults; if `left` is 0, with one general fault."""
    if not isinstance(sent, dict):
        return InvalidInputError([FieldError("", "must be a JSON object")])
    named = sent.get("op")
    kind = KINDS.get(named) if isinstance(named, str) else None
    if kind is None:
        return InvalidInputError([FieldError("op", VERBS)])
    try:
        return validation.convert(sent, kind, strict=True, most=left).read()
    except InvalidInputError as error:
        return InvalidInputError(error.errors[:left] if left > 0 else [validation.UNNAMED])
    except ValueError:  # of `read_id`
        return InvalidInputError([FieldError("id", validation.rule(kind, "id"))])


def _named(operation: OnOneItem) -> Reference:
    """Return the item that the operation names. Raises InvalidInputError."""
    try:
        return read_id(operation.id)
    except ValueError:
        raise InvalidInputError([FieldError("id", validation.rule(type(operation), "id"))]) from None


def _expected(if_version: int | UnsetType) -> Expected | None:
    return Expected([if_version]) if if_version else None


def _columns(name: str, sent: TaskFields | ListFields) -> TaskChanges:
    try:
        if isinstance(sent, ListFields):
            return schemas_of_lists.columns_of(sent)
        return schemas.columns_of(sent) if isinstance(sent, TaskDraft) else schemas.changes_of(sent)
    except InvalidInputError as error:
        raise InvalidInputError(validation.within(name, error.errors)) from None
