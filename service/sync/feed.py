"""The change feed: what a client that keeps a copy of its user's tasks has to read to bring it up to date."""

from __future__ import annotations

import re
from typing import Annotated, Any

from msgspec import Meta, Struct
from sanic import Blueprint, HTTPResponse

from service.errors import FieldError, InvalidInputError
from service.sync.changes import START, ChangePage, SyncPosition
from service.tasks.statements import MAXIMUM_BIGINT
from service.web import parameters, responses, unsent
from service.web.request import ApiRequest

blueprint: Blueprint = Blueprint("changes", url_prefix="/api/<user_id:str>/tasks")

MAXIMUM_PAGE = 1_000
USUAL_PAGE = 500
POSITION = re.compile(r"([0-9a-f]{1,16})-(0|[1-9][0-9]{0,18})(?:-([1-9][0-9]{0,18}))?")
SINCE = "0 for a full sync, or a position exactly as it was given, as next or as the id of an event"
Since = Annotated[
    str,
    Meta(description=f"Where to go on: {SINCE}.", extra={"rule": SINCE},
         extra_json_schema={"examples": ["0", "64a1b2c3d4e5f-8"]}),
]  # fmt: skip


class ChangeParameters(Struct, kw_only=True, forbid_unknown_fields=True):
    """Where to go on, and how far."""

    since: Since = "0"
    limit: Annotated[
        int, Meta(ge=1, le=MAXIMUM_PAGE, description="How many changes at most.",
                  extra={"rule": "a number of changes from 1 to 1000"}),
    ] = USUAL_PAGE  # fmt: skip


# A task, or what a deleted one has become. msgspec knows no untagged union of two objects.
Change = Annotated[
    Any,
    Meta(
        extra_json_schema={
            "anyOf": [
                {"$ref": "#/components/schemas/Task"},
                {
                    "type": "object",
                    "title": "Tombstone",
                    "properties": {
                        "id": {"type": "integer", "minimum": 1},
                        "uid": {"type": "string", "format": "uuid"},
                        "version": {"type": "integer", "minimum": 1},
                        "deleted": {"const": True},
                    },
                    "required": ["id", "uid", "version", "deleted"],
                },
            ]
        }
    ),
]


class Changes(Struct, kw_only=True):
    """Changes in the order of versions, each task once, at its newest state."""

    changes: list[Change]
    next: Annotated[str, Meta(description="The position to send as `since` for what comes after; opaque.")]
    has_more: Annotated[bool, Meta(description="Whether there is more already.")]


@blueprint.get("/changes", unquote=True)
async def read_changes(request: ApiRequest) -> HTTPResponse:
    """What changed since a position, a page of it."""
    sent = parameters.read(request.query_string, ChangeParameters)
    since = position("since", sent.since)
    page = await request.tasks.changes(since, sent.limit)
    return unsent.hold(request, responses.json_document(_document(page)))


def position(field: str, text: str) -> SyncPosition:
    """Read a position that a client was given. A bare revision is none: it does not say whose history it counts.

    Raises InvalidInputError, which names `field`, for a text that was never given out.
    """
    if text == str(START):
        return START
    parts = POSITION.fullmatch(text)
    if parts is None or max(int(parts[2]), int(parts[3] or 0)) > MAXIMUM_BIGINT:
        raise InvalidInputError([FieldError(field, f"must be {SINCE}")])
    return SyncPosition(parts[1], int(parts[2]), int(parts[3] or 0))


def _document(page: ChangePage) -> str:
    """The page as JSON; PostgreSQL has written each change."""
    changes = ",".join(change.document for change in page.changes)
    return f'{{"changes":[{changes}],"next":"{page.next}","has_more":{"true" if page.has_more else "false"}}}'
