"""The types of requests and responses. They validate requests and are the schemas of the OpenAPI document."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from types import MappingProxyType
from typing import Annotated, Literal, NamedTuple

from msgspec import UNSET, Meta, Struct, UnsetType

from service.errors import FieldError, InvalidInputError
from service.tasks.writes import NONE, TaskChanges
from service.web import moments, ordering, positions, validation
from service.web.fields import (
    NOT_BLANK,
    NOTHING,
    WITHOUT_NUL,
    Cleaner,
    IfVersion,
    ReadOnly,
    Related,
    Uid,
    clean,
    read_new_uid,
    read_related,
    read_text,
    rule,
)
from service.web.openapi.shapes import example_of
from service.web.ordering import After, Before, Position
from service.web.text import fold_tags, is_blank, with_keys

MAXIMUM_TITLE = 200
MAXIMUM_DESCRIPTION = 1_000
MAXIMUM_TAGS = 20
MAXIMUM_TAG = 50
MAXIMUM_SENT_TAGS = 100  # of a task, before equal tags are removed; the limit bounds the time of folding
PRIORITIES = ("none", "low", "medium", "high")  # the database stores the index


def _title(sent: str) -> str:
    return read_text(sent, 1, MAXIMUM_TITLE)


def _description(sent: str | None) -> str | None:
    text = read_text(sent or "", 0, MAXIMUM_DESCRIPTION)
    return None if is_blank(text) else text


def read_priority(sent: str | None) -> int:
    """Convert a priority, in upper or lower case, to the stored number. Raises ValueError for any other word."""
    word = "none" if sent is None else sent.lower()
    if word not in PRIORITIES:
        raise ValueError
    return PRIORITIES.index(word)


def _tags(sent: list[str] | None) -> list[str]:
    if len(sent or ()) > MAXIMUM_SENT_TAGS:
        raise ValueError
    tags = fold_tags(read_text(tag, 1, MAXIMUM_TAG) for tag in sent or ())  # validate first, because folding is slow
    if len(tags) > MAXIMUM_TAGS:
        raise ValueError
    return [*tags.values()]


def _related(sent: int | str | None) -> str:
    """Return a reference as text for the database; NONE for null. Raises ValueError for any other text than a uid."""
    return NONE if sent is None else read_related(sent)


def _list(sent: int | str | None) -> str:
    return NONE if sent == "inbox" else _related(sent)


def _day(sent: str | None) -> date | None:
    return None if sent is None else moments.read_day(sent)


def _moment(sent: str | None) -> datetime | None:
    return None if sent is None else moments.read_due_moment(sent)


CLEANERS: Mapping[str, Cleaner] = MappingProxyType({
    "title": _title,
    "description": _description,
    "completed": bool,
    "priority": read_priority,
    "tags": _tags,
    "due_date": _day,
    "due_at": _moment,
    "list_id": _list,
    "parent_id": _related,
    **ordering.CLEANERS,
})  # fmt: skip
CLEANERS_OF_DRAFTS: Mapping[str, Cleaner] = MappingProxyType({"uid": read_new_uid, **CLEANERS})

Title = Annotated[
    str,
    rule(
        "1 to 200 characters after trimming white space, at least one of them visible",
        example="Water the plants", read=_title, minLength=1, maxLength=MAXIMUM_TITLE, pattern=NOT_BLANK,
    ),
]  # fmt: skip
Description = Annotated[
    str | UnsetType | None,
    rule(
        "at most 1,000 characters after trimming white space, or null; blank becomes null",
        example="The ones on the balcony too", read=_description, maxLength=MAXIMUM_DESCRIPTION, pattern=WITHOUT_NUL,
    ),
]  # fmt: skip
Completed = Annotated[bool, rule("true or false", example=False)]
Priority = Annotated[
    Annotated[str, Meta(extra_json_schema={"enum": [*PRIORITIES]})] | UnsetType | None,
    rule("none, low, medium or high; null means none", example="medium", read=read_priority),
]
Tag = Annotated[str, Meta(extra_json_schema={"minLength": 1, "maxLength": MAXIMUM_TAG, "pattern": NOT_BLANK})]
Tags = Annotated[
    Annotated[list[Tag], Meta(extra_json_schema={"maxItems": MAXIMUM_TAGS})] | UnsetType | None,
    rule(
        "a list of at most 20 tags of 1 to 50 characters, at least one of them visible; of equal tags, ignoring "
        "case, the first is kept; null means []",
        example=["home", "garden"],
        read=_tags,
    ),
]
DueDate = Annotated[
    Annotated[str, Meta(extra_json_schema={"format": "date"})] | UnsetType | None,
    rule("a calendar day, YYYY-MM-DD, or null; setting it clears due_at", example="2026-12-24", read=_day),
]
DueAt = Annotated[
    Annotated[str, Meta(extra_json_schema={"format": "date-time"})] | UnsetType | None,
    rule(f"{moments.RULE}, or null; setting it clears due_date", example="2026-12-24T18:00:00+01:00", read=_moment),
]
ListId = Annotated[
    Related | UnsetType | None,
    rule("the id or uid of a list; null means the inbox; subtasks follow", example=12, read=_list),
]
ParentId = Annotated[
    Related | UnsetType | None,
    rule("the id or uid of the task that this is a subtask of; null means none", example=None, read=_related),
]


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
    id: ReadOnly = UNSET
    uid: ReadOnly = UNSET
    user_id: ReadOnly = UNSET
    completed_at: ReadOnly = UNSET
    created_at: ReadOnly = UNSET
    updated_at: ReadOnly = UNSET
    version: ReadOnly = UNSET


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


class TaskDeletion(Struct, kw_only=True, forbid_unknown_fields=True):
    """The condition of a deletion."""

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
    return columns


def read_completion(body: bytes) -> tuple[bool | None, int | None]:
    """Read the completion to set (None to toggle it) and the expected version. Raises the errors of `read_patch`."""
    sent = TaskCompletion() if body.strip() in NOTHING else validation.decode(body, TaskCompletion)
    return None if sent.completed is UNSET else sent.completed, sent.if_version or None


def read_deletion(body: bytes) -> int | None:
    """Read the expected version of the task; None if there is none. Raises the errors of `read_patch`."""
    return None if body.strip() in NOTHING else validation.decode(body, TaskDeletion).if_version or None


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
    return with_keys(columns)
