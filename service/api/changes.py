"""The change feed: what a client that keeps a copy of its user's tasks has to read to bring it up to date."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta, Struct
from sanic import Blueprint, HTTPResponse

from service.api import listing, responses
from service.api.requests import ApiRequest
from service.models import ChangePage

blueprint: Blueprint = Blueprint("changes", url_prefix="/api/<user_id:str>/tasks")

MAXIMUM_REVISION = 2**63 - 1  # PostgreSQL's bigint
MAXIMUM_PAGE = 1_000
USUAL_PAGE = 500
SINCE = "the revision that the answer before gave as next; 0, which is the default, for a full sync"


class ChangeParameters(Struct, kw_only=True, forbid_unknown_fields=True):
    """Where to go on, and how far."""

    since: Annotated[
        int, Meta(ge=0, le=MAXIMUM_REVISION, description=SINCE, extra={"rule": SINCE},
                  extra_json_schema={"format": "int64"}),
    ] = 0  # fmt: skip
    limit: Annotated[
        int, Meta(ge=1, le=MAXIMUM_PAGE, description="How many changes at most; a first page may be longer.",
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
                        "version": {"type": "integer", "minimum": 1},
                        "deleted": {"const": True},
                    },
                    "required": ["id", "version", "deleted"],
                },
            ]
        }
    ),
]


class Changes(Struct, kw_only=True):
    """Changes in the order of versions, each task once, at its newest state."""

    changes: list[Change]
    next: Annotated[int, Meta(ge=0, description="The revision to send as `since` for what comes after.")]
    has_more: Annotated[bool, Meta(description="Whether there is more already.")]


@blueprint.get("/changes", unquote=True)
async def read_changes(request: ApiRequest) -> HTTPResponse:
    """What changed since a revision, a page of it."""
    sent = listing.parameters(request.query_string, ChangeParameters)
    return responses.json_document(_document(await request.tasks.changes(sent.since, sent.limit)))


def _document(page: ChangePage) -> str:
    """The page as JSON; PostgreSQL has written each change."""
    changes = ",".join(change.document for change in page.changes)
    return f'{{"changes":[{changes}],"next":{page.next},"has_more":{"true" if page.has_more else "false"}}}'
