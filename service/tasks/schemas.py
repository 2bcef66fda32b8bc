"""The types of requests and responses. They validate requests and are the schemas of the OpenAPI document."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Literal, NamedTuple

from msgspec import UNSET, Meta, Struct, UnsetType

from service.errors import FieldError, InvalidInputError
from service.tasks import plans
from service.tasks.fields import (
    CLEANERS,
    CLEANERS_OF_DRAFTS,
    MAXIMUM_DESCRIPTION,
    MAXIMUM_TAGS,
    MAXIMUM_TITLE,
    Completed,
    Description,
    DueAt,
    DueDate,
    ListId,
    ParentId,
    Priority,
    Tags,
    Title,
)
from service.tasks.repeat_schemas import Repetition, TaskRepeat
from service.tasks.writes import NONE, TaskChanges
from service.web import ordering, positions, validation
from service.web.fields import NOTHING, IfVersion, ReadOnly, Uid, clean
from service.web.openapi.shapes import example_of
from service.web.ordering import After, Before, Position
from service.web.text import with_keys


class TaskFields(Struct, kw_only=True, forbid_unknown_fields=True):
    """The fields of a task in requests."""

    title: Title | UnsetType = UNSET
    description: Description = UNSET
    completed: Completed | UnsetType = UNSET
    priority: Priority = UNSET
    tags: Tags = UNSET
    due_date: DueDate = UNSET
    due_at: DueAt = UNSET
    list_id: ListId = UNSET
    parent_id: ParentId = UNSET
    position: Position = UNSET
    after: After = UNSET
    before: Before = UNSET
    repeat: Repetition = UNSET
    type: ReadOnly = UNSET
    id: ReadOnly = UNSET
    uid: ReadOnly = UNSET
    user_id: ReadOnly = UNSET
    completed_at: ReadOnly = UNSET
    created_at: ReadOnly = UNSET
    updated_at: ReadOnly = UNSET
    deleted_at: ReadOnly = UNSET
    version: ReadOnly = UNSET
    series: ReadOnly = UNSET
    occurrence: ReadOnly = UNSET
    next_due: ReadOnly = UNSET
    series_start: ReadOnly = UNSET
    occurrence_number: ReadOnly = UNSET


class TaskPatch(TaskFields, kw_only=True, forbid_unknown_fields=True):
    """Any subset of a task. An omitted field keeps its value; null sets a field to its default (RFC 7396)."""

    if_version: IfVersion = UNSET


class TaskDraft(TaskFields, kw_only=True, forbid_unknown_fields=True):
    """A task to create. Only the title is required."""

    title: Title
    uid: Uid = UNSET


class TaskCompletion(Struct, kw_only=True, forbid_unknown_fields=True):
    """The completion to set. Without `completed`, the completion is toggled."""

    completed: Completed | UnsetType = UNSET
    id: ReadOnly = UNSET
    uid: ReadOnly = UNSET
    user_id: ReadOnly = UNSET
    completed_at: ReadOnly = UNSET
    created_at: ReadOnly = UNSET
    updated_at: ReadOnly = UNSET
    version: ReadOnly = UNSET
    if_version: IfVersion = UNSET


class TaskCondition(Struct, kw_only=True, forbid_unknown_fields=True):
    """The condition of a write that has no other fields."""

    if_version: IfVersion = UNSET


class Patch(NamedTuple):
    """The columns to change, and the expected version of the task, if there is one."""

    changes: TaskChanges
    if_version: int | None


class Task(Struct, kw_only=True):
    """A task in responses."""

    id: Annotated[int, Meta(ge=1, description="The owner's revision at its creation; never reused.", examples=[42])]
    uid: Annotated[
        str,
        Meta(
            description="A UUID that is unique among the owner's tasks; immutable.",
            examples=["019aceef-9a40-7c1e-8f3a-5b1d6c2e9f04"],
            extra_json_schema={"format": "uuid"},
        ),
    ]
    user_id: Annotated[str, Meta(description="The owner.", examples=["dFz1UQm3T0yLbXkA"])]
    title: Annotated[str, Meta(min_length=1, max_length=MAXIMUM_TITLE, examples=["Water the plants"])]
    description: Annotated[str, Meta(max_length=MAXIMUM_DESCRIPTION, examples=["The ones on the balcony too"])] | None
    completed: Annotated[bool, Meta(examples=[False])]
    completed_at: Annotated[datetime, Meta(tz=True, description="The time of completion.")] | None
    priority: Annotated[Literal["none", "low", "medium", "high"], Meta(examples=["medium"])]
    tags: Annotated[list[str], Meta(max_length=MAXIMUM_TAGS, examples=[["home", "garden"]])]
    due_date: Annotated[date, Meta(examples=["2026-12-24"])] | None
    due_at: Annotated[datetime, Meta(tz=True)] | None
    list_id: Annotated[int, Meta(ge=1, description="The list; null for the inbox.", examples=[12])] | None
    parent_id: Annotated[int, Meta(ge=1, description="The task that this is a subtask of.")] | None
    position: Annotated[
        str, Meta(max_length=positions.LONGEST, description="The order key among siblings.", examples=["Zz"])
    ]
    created_at: Annotated[datetime, Meta(tz=True, examples=["2026-12-01T09:30:00.000000Z"])]
    updated_at: Annotated[
        datetime, Meta(tz=True, description="The time of the last change.", examples=["2026-12-01T09:30:00.000000Z"])
    ]
    version: Annotated[int, Meta(ge=1, description="The owner's revision at this task's last change.", examples=[7])]
    repeat: TaskRepeat | None
    series: Annotated[str, Meta(description="The UUID of its series.", extra_json_schema={"format": "uuid"})] | None
    occurrence: Annotated[str, Meta(description="The slot of this task in its series, a day or a timestamp.")] | None
    next_due: Annotated[str, Meta(description="The slot after it; null for the last one.")] | None
    series_start: Annotated[str, Meta(description="The first slot of the series, in its time zone.")] | UnsetType = (
        UNSET
    )
    occurrence_number: Annotated[int, Meta(ge=1, description="The number of the slot, from 1.")] | UnsetType = UNSET


EXAMPLE = example_of(Task)


class DeletedCount(Struct):
    """The number of tasks, or of tasks and lists, that the request deleted."""

    deleted: Annotated[int, Meta(ge=0)]


def read_draft(body: bytes) -> TaskChanges:
    """Read the columns of the task to create. Raises MalformedInputError or InvalidInputError."""
    return columns_of(validation.decode(body, TaskDraft))


def read_patch(body: bytes) -> Patch:
    """Read the changes of a task. Raises MalformedInputError or InvalidInputError."""
    sent = validation.decode(body, TaskPatch)
    return Patch(changes_of(sent), sent.if_version or None)


def changes_of(sent: TaskFields) -> TaskChanges:
    """Return the columns to change. `due_date` clears `due_at`, and vice versa. Raises InvalidInputError."""
    columns = dict(columns_of(sent))
    if columns.get("due_date") is not None:
        columns["due_at"] = None
    elif columns.get("due_at") is not None:
        columns["due_date"] = None
    return {**columns, **plans.TO_BE_PLANNED} if "repeat" in columns else columns


def read_completion(body: bytes) -> tuple[bool | None, int | None]:
    """Read the completion to set (None to toggle it) and the expected version. Raises the errors of `read_patch`."""
    sent = TaskCompletion() if body.strip() in NOTHING else validation.decode(body, TaskCompletion)
    return None if sent.completed is UNSET else sent.completed, sent.if_version or None


def read_condition(body: bytes) -> int | None:
    """Read the expected version of the task; None if there is none. Raises the errors of `read_patch`."""
    return None if body.strip() in NOTHING else validation.decode(body, TaskCondition).if_version or None


def columns_of(task: TaskFields) -> TaskChanges:
    """Convert fields to columns: trim and check the values, and add the folded keys. An omitted field has no column."""
    columns, faults = clean(task, CLEANERS_OF_DRAFTS if isinstance(task, TaskDraft) else CLEANERS)
    if columns.get("due_date") is not None and columns.get("due_at") is not None:
        faults.append(FieldError("due_at", "cannot be set together with due_date; send one of them"))
    faults += ordering.place(columns)
    if isinstance(task, TaskDraft):  # the defaults of a new task
        for name, default in (("uid", None), ("list_id", NONE), ("parent_id", NONE)):
            if columns.get(name) == default:
                columns.pop(name, None)
    if faults:
        raise InvalidInputError(faults)
    if isinstance(task, TaskDraft) and (repeat := columns.pop("repeat", None)):
        columns["plan"] = plans.plan_new(repeat, columns)
    return with_keys(columns)
