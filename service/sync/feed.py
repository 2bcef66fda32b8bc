"""The change feed route: return the changes since a position, so that a client can update its copy of the tasks."""

from __future__ import annotations

import re
from typing import Annotated, Any

from msgspec import Meta, Struct
from sanic import Blueprint, HTTPResponse

from service.database.expected import MAXIMUM_BIGINT
from service.errors import FieldError, InvalidInputError
from service.sync.changes import ChangePage, changes_since
from service.tasks.caller import tasks_of
from service.tasks.schemas import EXAMPLE
from service.users.queryset import START, SyncPosition
from service.web import parameters, responses, unsent
from service.web.openapi.shapes import OWNED, Answer, Description
from service.web.request import ApiRequest

blueprint: Blueprint = Blueprint("changes", url_prefix="/api/<user_id:str>/tasks")

MAXIMUM_PAGE = 1_000
USUAL_PAGE = 500
POSITION = re.compile(r"([0-9a-f]{1,16})-(0|[1-9][0-9]{0,18})(?:-([1-9][0-9]{0,18}))?")
SINCE = "0 for a full sync, or an unchanged position from an earlier response (next) or event (id)"
Since = Annotated[
    str,
    Meta(description=f"The position to continue from: {SINCE}.", extra={"rule": SINCE},
         extra_json_schema={"examples": ["0", "64a1b2c3d4e5f-8"]}),
]  # fmt: skip

TOMBSTONE = {"id": 41, "uid": "019aceef-9a40-7aa0-9d52-0c4b7e1f3a86", "version": 8, "deleted": True}


class ChangeParameters(Struct, kw_only=True, forbid_unknown_fields=True):
    """The query parameters of the change feed."""

    since: Since = "0"
    limit: Annotated[
        int, Meta(ge=1, le=MAXIMUM_PAGE, description="The maximum number of changes in the response.",
                  extra={"rule": "a number of changes from 1 to 1000"}),
    ] = USUAL_PAGE  # fmt: skip


class Tombstone(Struct, kw_only=True):
    """A deleted task in the change feed."""

    id: Annotated[int, Meta(ge=1)]
    uid: Annotated[str, Meta(extra_json_schema={"format": "uuid"})]
    version: Annotated[int, Meta(ge=1, description="The owner's revision at the deletion.")]
    deleted: Annotated[bool, Meta(extra_json_schema={"const": True})]


# msgspec does not support an untagged union of two objects.
CHANGE = {
    "title": "Change",
    "description": "A task in its newest state, or the tombstone of a deleted task.",
    "anyOf": [{"$ref": "#/components/schemas/Task"}, {"$ref": "#/components/schemas/Tombstone"}],
}
Change = Annotated[Any, Meta(extra_json_schema={"$ref": "#/components/schemas/Change"})]


class TaskChangePage(Struct, kw_only=True):
    """Changes ordered by version. Each task appears once, in its newest state."""

    changes: list[Change]
    next: Annotated[str, Meta(description="The position to send as `since` in the next request; opaque.")]
    has_more: Annotated[bool, Meta(description="Whether more changes are available now.")]


@blueprint.get("/changes", unquote=True, ctx_description=Description(
    "listTaskChanges", "Tasks", "List changes",
    "Returns the changes after the position `since`, ordered by version. Each task appears once, in its newest "
    "state. Send `next` as `since` of the next request; while `has_more` is true, send that request at once. "
    "`since=0` starts a full sync and returns all live tasks. After 410, discard your copy and start a full sync.",
    {200: Answer("A page of changes; empty if nothing changed.", TaskChangePage,
                 {"changes": [EXAMPLE, TOMBSTONE], "next": "64a1b2c3d4e5f-8", "has_more": False})},
    (*OWNED, "sync_position_gone", "validation_error"), query=ChangeParameters,
    types=(Tombstone,), schemas={"Change": CHANGE},
))  # fmt: skip
async def read_changes(request: ApiRequest) -> HTTPResponse:
    """Return a page of the changes since a position."""
    sent = parameters.read(request.query_string, ChangeParameters)
    since = position("since", sent.since)
    page = await changes_since(tasks_of(request), since, sent.limit)
    return unsent.hold(request, responses.json_document(_document(page)))


def position(field: str, text: str) -> SyncPosition:
    """Parse the position that a client sent in `field`.

    A revision alone is not a position, because it does not identify a history. Raises InvalidInputError, which names
    `field`, for any text that is not a position of this service.
    """
    if text == str(START):
        return START
    parts = POSITION.fullmatch(text)
    if parts is None or max(int(parts[2]), int(parts[3] or 0)) > MAXIMUM_BIGINT:
        raise InvalidInputError([FieldError(field, f"must be {SINCE}")])
    return SyncPosition(parts[1], int(parts[2]), int(parts[3] or 0))


def _document(page: ChangePage) -> str:
    """Return the page as JSON. Each change is already JSON, built by PostgreSQL."""
    changes = ",".join(change.document for change in page.changes)
    return f'{{"changes":[{changes}],"next":"{page.next}","has_more":{"true" if page.has_more else "false"}}}'
