"""The types of requests and responses about lists: they validate requests, and are schemas of the OpenAPI document."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Annotated, NamedTuple

from msgspec import UNSET, Meta, Struct, UnsetType

from service.errors import InvalidInputError
from service.lists.writes import ListChanges
from service.web import ordering, positions, validation
from service.web.fields import (
    NOT_BLANK,
    NOTHING,
    Cleaner,
    IfVersion,
    ReadOnly,
    Uid,
    clean,
    read_new_uid,
    read_text,
    rule,
)
from service.web.openapi.shapes import example_of
from service.web.ordering import After, Before, Position

MAXIMUM_NAME = 100
COLOR = re.compile("#[0-9a-f]{6}", re.ASCII | re.IGNORECASE)


def _name(sent: str) -> str:
    return read_text(sent, 1, MAXIMUM_NAME)


def _color(sent: str | None) -> str | None:
    if sent is not None and not COLOR.fullmatch(sent):
        raise ValueError
    return sent and sent.lower()


CLEANERS: Mapping[str, Cleaner] = MappingProxyType(
    {"name": _name, "color": _color, "archived": bool, **ordering.CLEANERS}
)
CLEANERS_OF_DRAFTS: Mapping[str, Cleaner] = MappingProxyType({"uid": read_new_uid, **CLEANERS})

Name = Annotated[
    str,
    rule(
        "1 to 100 characters after trimming white space, at least one of them visible",
        example="Garden", read=_name, minLength=1, maxLength=MAXIMUM_NAME, pattern=NOT_BLANK,
    ),
]  # fmt: skip
Color = Annotated[
    str | UnsetType | None,
    rule(
        "a color such as #2e7d32: # and six hexadecimal digits; or null",
        example="#2e7d32", read=_color, pattern="^#[0-9A-Fa-f]{6}$",
    ),
]  # fmt: skip
Archived = Annotated[bool, rule("true or false: whether lists of tasks leave out the tasks of this list", example=True)]


class ListFields(Struct, kw_only=True, forbid_unknown_fields=True):
    """The fields of a list in requests."""

    name: Name | UnsetType = UNSET
    color: Color = UNSET
    archived: Archived | UnsetType = UNSET
    position: Position = UNSET
    after: After = UNSET
    before: Before = UNSET
    type: ReadOnly = UNSET
    id: ReadOnly = UNSET
    uid: ReadOnly = UNSET
    created_at: ReadOnly = UNSET
    updated_at: ReadOnly = UNSET
    deleted_at: ReadOnly = UNSET
    version: ReadOnly = UNSET


class ListPatch(ListFields, kw_only=True, forbid_unknown_fields=True):
    """Any subset of a list. An omitted field keeps its value; null removes the color."""

    if_version: IfVersion = UNSET


class ListDraft(ListFields, kw_only=True, forbid_unknown_fields=True):
    """A list to create. Only the name is required."""

    name: Name
    uid: Uid = UNSET


class ListDeletion(Struct, kw_only=True, forbid_unknown_fields=True):
    """The condition of a deletion."""

    if_version: IfVersion = UNSET


class Patch(NamedTuple):
    """The columns to change, and the expected version of the list, if there is one."""

    changes: ListChanges
    if_version: int | None


class List(Struct, kw_only=True):
    """A list in responses."""

    id: Annotated[int, Meta(ge=1, description="The owner's revision at its creation; never reused.", examples=[12])]
    uid: Annotated[
        str,
        Meta(
            description="A UUID that is unique among the owner's lists; immutable.",
            examples=["019aceef-9a40-7b52-a1d4-3c8e0f6a7b21"],
            extra_json_schema={"format": "uuid"},
        ),
    ]
    name: Annotated[str, Meta(min_length=1, max_length=MAXIMUM_NAME, examples=["Garden"])]
    color: Annotated[str, Meta(pattern="^#[0-9a-f]{6}$", examples=["#2e7d32"])] | None
    position: Annotated[
        str, Meta(max_length=positions.LONGEST, description="The order key among the lists.", examples=["Zz"])
    ]
    archived: Annotated[bool, Meta(examples=[False])]
    created_at: Annotated[datetime, Meta(tz=True, examples=["2026-12-01T09:30:00.000000Z"])]
    updated_at: Annotated[
        datetime, Meta(tz=True, description="The time of the last change.", examples=["2026-12-01T09:30:00.000000Z"])
    ]
    version: Annotated[int, Meta(ge=1, description="The owner's revision at this list's last change.", examples=[12])]


class TrashedList(List, kw_only=True):
    """A deleted list."""

    deleted_at: Annotated[datetime, Meta(tz=True, description="The time of the deletion.")]


EXAMPLE = example_of(List)
TRASHED = {
    **EXAMPLE, "updated_at": "2026-12-02T08:15:00.000000Z", "version": 13, "deleted_at": "2026-12-02T08:15:00.000000Z",
}  # fmt: skip


def read_draft(body: bytes) -> ListChanges:
    """Read the columns of the list to create. Raises MalformedInputError or InvalidInputError."""
    return columns_of(validation.decode(body, ListDraft))


def read_patch(body: bytes) -> Patch:
    """Read the changes of a list. Raises MalformedInputError or InvalidInputError."""
    sent = validation.decode(body, ListPatch)
    return Patch(columns_of(sent), sent.if_version or None)


def read_deletion(body: bytes) -> int | None:
    """Read the expected version of the list; None if there is none. Raises the errors of `read_patch`."""
    return None if body.strip() in NOTHING else validation.decode(body, ListDeletion).if_version or None


def columns_of(sent: ListFields) -> ListChanges:
    """Convert fields to columns: trim and check the values. An omitted field has no column."""
    columns, faults = clean(sent, CLEANERS_OF_DRAFTS if isinstance(sent, ListDraft) else CLEANERS)
    faults += ordering.place(columns)
    if faults:
        raise InvalidInputError(faults)
    return columns
