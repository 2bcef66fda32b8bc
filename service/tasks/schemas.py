"""The types of requests and responses. They validate requests and are the schemas of the OpenAPI document."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime
from typing import Annotated, Any, Literal, NamedTuple

from msgspec import UNSET, Meta, Struct, UnsetType

from service.database.expected import MAXIMUM_BIGINT
from service.database.items import read_uid
from service.errors import FieldError, InvalidInputError
from service.tasks.writes import NONE, TaskChanges
from service.web import moments, positions, validation
from service.web.openapi.shapes import example_of
from service.web.text import INVISIBLE, fold_tags, is_blank, with_keys

MAXIMUM_TITLE = 200
MAXIMUM_DESCRIPTION = 1_000
MAXIMUM_TAGS = 20
MAXIMUM_TAG = 50
MAXIMUM_SENT_TAGS = 100  # of a task, before equal tags are removed; the limit bounds the time of folding
PRIORITIES = ("none", "low", "medium", "high")  # the database stores the index

# Bodies that count as no body: axios sends null for undefined data.
NOTHING = frozenset({b"", b"null"})
# PostgreSQL cannot store NUL. Lengths count after trimming, which JSON Schema cannot express.
WITHOUT_NUL = "^[^\\u0000]*$"
# At least one visible character. Any character beyond U+FFFF matches: engines without Unicode mode split it.
NOT_BLANK = f"^[^\\u0000]*[^{INVISIBLE}][^\\u0000]*$"


def _text(sent: str, shortest: int, longest: int) -> str:
    if "\0" in sent:
        raise ValueError("must not contain the NUL character")
    text = sent.strip()
    if not shortest <= len(text) <= longest or (shortest and is_blank(text)):
        raise ValueError
    return text


def _title(sent: str) -> str:
    return _text(sent, 1, MAXIMUM_TITLE)


def _description(sent: str | None) -> str | None:
    text = _text(sent or "", 0, MAXIMUM_DESCRIPTION)
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
    tags = fold_tags(_text(tag, 1, MAXIMUM_TAG) for tag in sent or ())  # validate first, because folding is slow
    if len(tags) > MAXIMUM_TAGS:
        raise ValueError
    return [*tags.values()]


def read_new_uid(sent: str | None) -> str | None:
    """Return the uid that the client chose, in lower case. Raises ValueError for a text that is not a UUID."""
    return None if sent is None else read_uid(sent)


def _related(sent: int | str | None) -> str:
    """Return a reference as text for the database; NONE for null. Raises ValueError for any other text than a uid."""
    if sent is None:
        return NONE
    return read_uid(sent) if isinstance(sent, str) else _id(sent)


def _list(sent: int | str | None) -> str:
    return NONE if sent == "inbox" else _related(sent)


def _anchor(sent: int | str | None) -> str | None:
    return None if sent is None else _related(sent)


def _id(sent: int) -> str:
    if not 1 <= sent <= MAXIMUM_BIGINT:
        raise ValueError
    return str(sent)


def read_position(sent: str | None) -> str | None:
    """Return a valid key. Raises ValueError for any other text."""
    if sent is not None and not positions.is_position(sent):
        raise ValueError
    return sent


def _day(sent: str | None) -> date | None:
    return None if sent is None else moments.read_day(sent)


def _moment(sent: str | None) -> datetime | None:
    return None if sent is None else moments.read_due_moment(sent)


# Each cleaner converts a value of the right type to the stored value. It raises ValueError, with a text if the rule of
# the field does not explain the error.
CLEANERS: dict[str, Callable[[Any], Any]] = {
    "uid": read_new_uid,
    "title": _title,
    "description": _description,
    "completed": bool,
    "priority": read_priority,
    "tags": _tags,
    "due_date": _day,
    "due_at": _moment,
    "list_id": _list,
    "parent_id": _related,
    "position": read_position,
    "after": _anchor,
    "before": _anchor,
}
PLACES = ("position", "after", "before")


def _rule(sentence: str, *, example: object = None, read: str = "", **schema: object) -> Meta:
    """Return the rule of a field, which errors and docs show, with an example and more JSON Schema keywords.

    `read` names the cleaner that enforces the rest of the rule.
    """
    examples = {} if example is None else {"examples": [example]}
    reader = {"read": CLEANERS[read]} if read else {}
    return Meta(extra={"rule": sentence, **reader}, extra_json_schema={"description": sentence, **examples, **schema})


Title = Annotated[
    str,
    _rule(
        "1 to 200 characters after trimming white space, at least one of them visible",
        example="Water the plants", read="title", minLength=1, maxLength=MAXIMUM_TITLE, pattern=NOT_BLANK,
    ),
]  # fmt: skip
Description = Annotated[
    str | UnsetType | None,
    _rule(
        "at most 1,000 characters after trimming white space, or null; blank becomes null",
        example="The ones on the balcony too", read="description", maxLength=MAXIMUM_DESCRIPTION, pattern=WITHOUT_NUL,
    ),
]  # fmt: skip
Completed = Annotated[bool, _rule("true or false", example=False)]
Priority = Annotated[
    Annotated[str, Meta(extra_json_schema={"enum": [*PRIORITIES]})] | UnsetType | None,
    _rule("none, low, medium or high; null means none", example="medium", read="priority"),
]
Tag = Annotated[str, Meta(extra_json_schema={"minLength": 1, "maxLength": MAXIMUM_TAG, "pattern": NOT_BLANK})]
Tags = Annotated[
    Annotated[list[Tag], Meta(extra_json_schema={"maxItems": MAXIMUM_TAGS})] | UnsetType | None,
    _rule(
        "a list of at most 20 tags of 1 to 50 characters, at least one of them visible; of equal tags, ignoring "
        "case, the first is kept; null means []",
        example=["home", "garden"],
        read="tags",
    ),
]
DueDate = Annotated[
    Annotated[str, Meta(extra_json_schema={"format": "date"})] | UnsetType | None,
    _rule("a calendar day, YYYY-MM-DD, or null; setting it clears due_at", example="2026-12-24", read="due_date"),
]
DueAt = Annotated[
    Annotated[str, Meta(extra_json_schema={"format": "date-time"})] | UnsetType | None,
    _rule(f"{moments.RULE}, or null; setting it clears due_date", example="2026-12-24T18:00:00+01:00", read="due_at"),
]
Uid = Annotated[
    Annotated[str, Meta(extra_json_schema={"format": "uuid"})] | UnsetType | None,
    _rule(
        "a UUID of any version that names the new item, also if the request is repeated; without it, the service "
        "chooses one",
        example="019aceef-9a40-7c1e-8f3a-5b1d6c2e9f04",
        read="uid",
    ),
]
Related = (
    Annotated[int, Meta(extra_json_schema={"minimum": 1})] | Annotated[str, Meta(extra_json_schema={"format": "uuid"})]
)
ListId = Annotated[
    Related | UnsetType | None,
    _rule("the id or uid of a list; null means the inbox; subtasks follow", example=12, read="list_id"),
]
ParentId = Annotated[
    Related | UnsetType | None,
    _rule("the id or uid of the task that this is a subtask of; null means none", example=None, read="parent_id"),
]
Position = Annotated[
    Annotated[str, Meta(extra_json_schema={"maxLength": positions.LONGEST})] | UnsetType | None,
    _rule(
        "an order key as in the npm package fractional-indexing, of at most 100 characters; null changes nothing",
        example="a0", read="position",
    ),
]  # fmt: skip
After = Annotated[
    Related | UnsetType | None,
    _rule("the id or uid of the sibling directly before the new place; null means the end", read="after"),
]
Before = Annotated[
    Related | UnsetType | None,
    _rule("the id or uid of the sibling directly after the new place; null means the start", read="before"),
]
ReadOnly = Annotated[Any, _rule("ignored in requests: the service assigns it", readOnly=True)]


IfVersion = Annotated[
    Annotated[int, Meta(ge=1, le=MAXIMUM_BIGINT)] | UnsetType,
    _rule("the expected version of the task; nothing is written if the task has another version", example=7),
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
    """The number of tasks that the request deleted."""

    deleted: Annotated[int, Meta(ge=0)]


class TaskSummary(Struct):
    """Counts of live tasks. `overdue` and `due_today` count only pending tasks."""

    total: Annotated[int, Meta(ge=0)]
    pending: Annotated[int, Meta(ge=0)]
    completed: Annotated[int, Meta(ge=0)]
    overdue: Annotated[int, Meta(ge=0)]
    due_today: Annotated[int, Meta(ge=0)]


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
    columns: dict[str, Any] = {}
    faults: list[FieldError] = []
    for name, clean in CLEANERS.items():
        sent = getattr(task, name)
        if sent is UNSET or (name == "uid" and not isinstance(task, TaskDraft)):
            continue
        try:
            columns[name] = clean(sent)
        except ValueError as error:
            faults.append(FieldError(name, str(error) or validation.rule(type(task), name)))
    if columns.get("due_date") is not None and columns.get("due_at") is not None:
        faults.append(FieldError("due_at", "cannot be set together with due_date; send one of them"))
    faults += place(columns)
    if isinstance(task, TaskDraft):  # the defaults of a new task
        for name, default in (("uid", None), ("list_id", NONE), ("parent_id", NONE)):
            if columns.get(name) == default:
                columns.pop(name, None)
    if faults:
        raise InvalidInputError(faults)
    return with_keys(columns)


def place(columns: dict[str, Any]) -> list[FieldError]:
    """Convert position, after or before in `columns` to `placed` and `place`. Returns a fault if there are several."""
    sent = [name for name in PLACES if name in columns]
    values = [columns.pop(name) for name in sent]
    if len(sent) > 1:
        return [FieldError(sent[1], f"cannot be sent together with {sent[0]}; send one of them")]
    if sent and (sent[0] != "position" or values[0] is not None):
        columns["placed"], columns["place"] = sent[0] if sent[0] != "position" else "at", values[0]
    return []
