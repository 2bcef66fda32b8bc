"""The types of the change feeds and event streams: parameters, changes and pages, for requests and the description."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from service.lists.schemas import EXAMPLE as LIST
from service.lists.schemas import List
from service.tasks.schemas import EXAMPLE as TASK
from service.tasks.schemas import Task

MAXIMUM_PAGE = 1_000
USUAL_PAGE = 500
SINCE = "0 for a full sync, or an unchanged position from an earlier response (next) or event (id)"
Since = Annotated[
    str,
    Meta(description=f"The position to continue from: {SINCE}.", extra={"rule": SINCE},
         extra_json_schema={"examples": ["0", "64a1b2c3d4e5f-8"]}),
]  # fmt: skip


class ChangeParameters(Struct, kw_only=True, forbid_unknown_fields=True):
    """The query parameters of a change feed."""

    since: Since = "0"
    limit: Annotated[
        int, Meta(ge=1, le=MAXIMUM_PAGE, description="The maximum number of changes in the response.",
                  extra={"rule": "a number of changes from 1 to 1000"}),
    ] = USUAL_PAGE  # fmt: skip


class EventParameters(Struct, kw_only=True, forbid_unknown_fields=True, rename={"last_event_id": "lastEventId"}.get):
    """The query parameters of an event stream."""

    since: Annotated[
        Since | UnsetType,
        Meta(
            description=f"The position to start after: {SINCE}. Without it and without `Last-Event-ID`, the stream"
            " starts with the next change.",
            extra={"rule": SINCE},
        ),
    ] = UNSET
    last_event_id: Annotated[
        str,
        Meta(
            description="The id of the last event, for clients that cannot send the header `Last-Event-ID`.",
            extra={"rule": "the id of an event of this stream"},
        ),
    ] = ""


class Tombstone(Struct, kw_only=True):
    """A deleted task in the feed of tasks."""

    id: Annotated[int, Meta(ge=1)]
    uid: Annotated[str, Meta(extra_json_schema={"format": "uuid"})]
    version: Annotated[int, Meta(ge=1, description="The owner's revision at the deletion.")]
    deleted: Annotated[bool, Meta(extra_json_schema={"const": True})]


class TaskTombstone(Tombstone, kw_only=True):
    """A deleted task in the feed of tasks and lists."""

    type: Literal["task"]


class ListTombstone(Tombstone, kw_only=True):
    """A deleted list in the feed of tasks and lists."""

    type: Literal["list"]


class ChangedTask(Task, kw_only=True):
    """A task in its newest state, in the feed of tasks and lists."""

    type: Literal["task"]


class ChangedList(List, kw_only=True):
    """A list in its newest state, in the feed of tasks and lists."""

    type: Literal["list"]


def _any_of(title: str, description: str, *names: str) -> dict[str, object]:
    """Return a schema that is one of several; msgspec does not support an untagged union of objects."""
    return {
        "title": title,
        "description": description,
        "anyOf": [{"$ref": f"#/components/schemas/{name}"} for name in names],
    }


def _named(name: str) -> Meta:
    return Meta(extra_json_schema={"$ref": f"#/components/schemas/{name}"})


Change = Annotated[Any, _named("Change")]
ItemChange = Annotated[Any, _named("ItemChange")]
# The arguments of a route's description for the changes of each feed.
TASK_TYPES, ITEM_TYPES = (Tombstone,), (ChangedTask, ChangedList, TaskTombstone, ListTombstone)
TASK_CHANGE = {
    "Change": _any_of("Change", "A task in its newest state, or the tombstone of a deleted task.", "Task", "Tombstone")
}
ITEM_CHANGE = {
    "ItemChange": _any_of(
        "ItemChange", "A task or a list in its newest state, or the tombstone of a deleted one.",
        *(kind.__name__ for kind in ITEM_TYPES),
    )
}  # fmt: skip

TOMBSTONE = {"id": 41, "uid": "019aceef-9a40-7aa0-9d52-0c4b7e1f3a86", "version": 8, "deleted": True}
TASK_EXAMPLE = {"changes": [TASK, TOMBSTONE], "next": "64a1b2c3d4e5f-8", "has_more": False}
ITEM_TOMBSTONE = {"type": "task", **TOMBSTONE, "version": 44}
ITEM_EXAMPLE = {
    "changes": [{"type": "list", **LIST}, {"type": "task", **TASK, "version": 43}, ITEM_TOMBSTONE],
    "next": "64a1b2c3d4e5f-44",
    "has_more": False,
}


class TaskChangePage(Struct, kw_only=True):
    """Changes ordered by version. Each task appears once, in its newest state."""

    changes: list[Change]
    next: Annotated[str, Meta(description="The position to send as `since` in the next request; opaque.")]
    has_more: Annotated[bool, Meta(description="Whether more changes are available now.")]


class ItemChangePage(Struct, kw_only=True):
    """Changes ordered by version. Each task and each list appears once, in its newest state."""

    changes: list[ItemChange]
    next: Annotated[str, Meta(description="The position to send as `since` in the next request; opaque.")]
    has_more: Annotated[bool, Meta(description="Whether more changes are available now.")]
