"""The change feed routes: return the changes since a position, so that a client can update its copy of the items."""

from __future__ import annotations

import re

from sanic import Blueprint, HTTPResponse

from service.database.expected import MAXIMUM_BIGINT
from service.errors import FieldError, InvalidInputError
from service.sync import schemas
from service.sync.changes import ITEMS, TASKS, ChangePage, Feed, changes_since
from service.sync.schemas import SINCE, ChangeParameters
from service.tasks.caller import tasks_of
from service.users.queryset import START, SyncPosition
from service.web import parameters, responses, unsent
from service.web.openapi.shapes import OWNED, Answer, Description
from service.web.request import ApiRequest

blueprint: Blueprint = Blueprint("changes", url_prefix="/api/<user_id:str>")

POSITION = re.compile(r"([0-9a-f]{1,16})-(0|[1-9][0-9]{0,18})(?:-([1-9][0-9]{0,18}))?")


@blueprint.get("/tasks/changes", unquote=True, ctx_description=Description(
    "listTaskChanges", "Tasks", "List changes",
    "Returns the changes after the position `since`, ordered by version. Each task appears once, in its newest "
    "state. Send `next` as `since` of the next request; while `has_more` is true, send that request at once. "
    "`since=0` starts a full sync and returns all live tasks. After 410, discard your copy and start a full sync.",
    {200: Answer("A page of changes; empty if nothing changed.", schemas.TaskChangePage,
                 schemas.TASK_EXAMPLE)},
    (*OWNED, "sync_position_gone", "validation_error"), query=ChangeParameters,
    types=schemas.TASK_TYPES, schemas=schemas.TASK_CHANGE,
))  # fmt: skip
async def read_task_changes(request: ApiRequest) -> HTTPResponse:
    """Return a page of the changes of tasks since a position."""
    return await _respond(request, TASKS)


@blueprint.get("/changes", unquote=True, ctx_description=Description(
    "listChanges", "Sync", "List changes of tasks and lists",
    "Returns the changes of tasks and lists after the position `since`, ordered by version. Each item appears once, in "
    "its newest state; `type` says which kind of item it is. Send `next` as `since` of the next request; while "
    "`has_more` is true, send that request at once. Until then, a task may name a list or a parent that only a later "
    "change contains. `since=0` starts a full sync and returns all live tasks and lists. After 410, discard your copy "
    "and start a full sync.",
    {200: Answer("A page of changes; empty if nothing changed.", schemas.ItemChangePage,
                 schemas.ITEM_EXAMPLE)},
    (*OWNED, "sync_position_gone", "validation_error"), query=ChangeParameters,
    types=schemas.ITEM_TYPES, schemas=schemas.ITEM_CHANGE,
))  # fmt: skip
async def read_changes(request: ApiRequest) -> HTTPResponse:
    """Return a page of the changes of tasks and lists since a position."""
    return await _respond(request, ITEMS)


async def _respond(request: ApiRequest, feed: Feed) -> HTTPResponse:
    sent = parameters.read(request.query_string, ChangeParameters)
    since = position("since", sent.since)
    page = await changes_since(tasks_of(request), since, sent.limit, feed)
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
