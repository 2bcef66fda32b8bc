"""The fields of a task in requests: their types and rules, and the functions that convert their values."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from types import MappingProxyType
from typing import Annotated

from msgspec import Meta, UnsetType

from service.tasks.repeat_schemas import read_repeat
from service.tasks.writes import NONE
from service.web import moments, ordering
from service.web.fields import NOT_BLANK, WITHOUT_NUL, Cleaner, Related, read_new_uid, read_related, read_text, rule
from service.web.text import fold_tags, is_blank

MAXIMUM_TITLE = 200
MAXIMUM_DESCRIPTION = 1_000
MAXIMUM_TAGS = 20
MAXIMUM_TAG = 50
MAXIMUM_SENT_TAGS = 100  # of a task, before equal tags are removed; the limit bounds the time of folding
PRIORITIES = ("none", "low", "medium", "high")  # the database stores the index
LONGEST_PRIORITY = max(map(len, PRIORITIES))


def _title(sent: str) -> str:
    return read_text(sent, 1, MAXIMUM_TITLE)


def _description(sent: str | None) -> str | None:
    text = read_text(sent or "", 0, MAXIMUM_DESCRIPTION)
    return None if is_blank(text) else text


def read_priority(sent: str | None) -> int:
    """Convert a priority, in upper or lower case, to the stored number. Raises ValueError for any other word."""
    if sent is None:
        return 0
    if len(sent) > LONGEST_PRIORITY or sent.lower() not in PRIORITIES:
        raise ValueError
    return PRIORITIES.index(sent.lower())


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
    "repeat": read_repeat,
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
    rule("the id or uid of a list; null means the inbox; subtasks move too", example=12, read=_list),
]
ParentId = Annotated[
    Related | UnsetType | None,
    rule("the id or uid of the task that this is a subtask of; null means none", example=None, read=_related),
]
