"""The routes of a user's trash: what was deleted, and what becomes of it. Only the owner gets this far."""

from __future__ import annotations

from contextlib import nullcontext
from datetime import datetime
from typing import Annotated

from msgspec import UNSET, Meta, Struct
from sanic import Blueprint, HTTPResponse

from service.errors import FieldError, InvalidInputError
from service.idempotency import replay
from service.tasks import answers, listing, schemas
from service.tasks.caller import tasks_of
from service.tasks.keyed import KeyedTasks
from service.tasks.schemas import EXAMPLE
from service.tasks.writes import UserTasks
from service.web import conditions, cursors, paging, parameters, responses, unsent, validation
from service.web.openapi.shapes import KEYED, OWNED, WITH_BODY, Answer, Description
from service.web.request import ApiRequest

blueprint: Blueprint = Blueprint("trash", url_prefix="/api/<user_id:str>/trash")

LISTED = cursors.fingerprint("trash")  # there is one order and no filter
TAG = "Trash"
TRASHED = {
    **EXAMPLE, "deleted_at": "2026-12-02T08:15:00.000000Z", "updated_at": "2026-12-02T08:15:00.000000Z", "version": 8,
}  # fmt: skip


class TrashParameters(Struct, kw_only=True, forbid_unknown_fields=True):
    """The query of a trash, as it comes in."""

    limit: listing.Limit = UNSET
    cursor: listing.Following = UNSET
    count: listing.Counted = False


class NoParameters(Struct, forbid_unknown_fields=True):
    """Nothing: who sends a filter, or a condition, would be surprised by what goes without one."""


class TrashedTask(schemas.Task, kw_only=True):
    """A deleted task."""

    deleted_at: Annotated[datetime, Meta(tz=True, description="Since when it lies in the trash.")]


@blueprint.get("/", unquote=True, ctx_description=Description(
    "listTrash", TAG, "List deleted tasks",
    "The task that was deleted last comes first. Pages work as those of the list of tasks do.",
    {200: Answer("The deleted tasks; an empty list when there are none.", list[TrashedTask], [TRASHED],
                 ("Link", "X-Total-Count"))},
    (*OWNED, "too_many_heavy_requests", "validation_error"), query=TrashParameters,
))  # fmt: skip
async def list_trash(request: ApiRequest) -> HTTPResponse:
    """The caller's deleted tasks, newest deletion first: all of them, or a page."""
    sent = parameters.read(request.query_string, TrashParameters)
    limit = None if sent.limit is UNSET else sent.limit
    if sent.cursor is not UNSET and limit is None:
        raise InvalidInputError([FieldError("cursor", "needs a limit; send the one that the page before had")])
    after = None if sent.cursor is UNSET else cursors.read(sent.cursor, LISTED, "deleted")
    if limit is None:
        await unsent.room(request)
    async with request.heavy() if limit is None or sent.count else nullcontext():
        page = await tasks_of(request).trashed().page(limit, after, count=sent.count)
        headers = paging.headers(page, request.path, paging.following(request.query_string), LISTED)
        return unsent.hold(request, responses.json_document(page.document, headers=headers))


@blueprint.delete("/", unquote=True, ctx_description=Description(
    "emptyTrash", TAG, "Empty the trash",
    "Removes all that is in it for good. It takes no parameters, no body and no condition.",
    {200: Answer("How many tasks are gone.", schemas.DeletedCount, {"deleted": 3}),
     202: Answer("How many are gone so far. More are left than one request has time for: send it again.",
                 schemas.DeletedCount, {"deleted": 250_000}, ("Retry-After",))},
    WITH_BODY, guarded=True,
))  # fmt: skip
async def empty_trash(request: ApiRequest) -> HTTPResponse:
    """Remove all that is in the trash for good; 202 if there is more than the time of a request allows."""
    _refuse_conditions(request)
    parameters.read(request.query_string, NoParameters)
    deleted, done = await tasks_of(request).destroy_all(within=responses.WORKING_TIME)
    count = schemas.DeletedCount(deleted)
    return responses.json_value(count) if done else responses.unfinished(count)


@blueprint.post("/<task_id:str>/restore", unquote=True, ctx_description=Description(
    "restoreTask", TAG, "Restore a deleted task",
    "Everything about it is as before, but for `updated_at` and `version`. It takes no body and no condition.",
    {200: Answer("The task, live again.", schemas.Task, EXAMPLE, ("ETag",))},
    (*WITH_BODY, "task_not_found", "task_quota_exceeded", *KEYED), headers=("Idempotency-Key",),
))  # fmt: skip
async def restore_task(request: ApiRequest, task_id: int) -> HTTPResponse:
    """Give a deleted task back."""
    _refuse_conditions(request)

    async def restore(tasks: UserTasks | KeyedTasks) -> HTTPResponse:
        return answers.task(await tasks.restore(task_id, quota=request.settings.task_quota))

    return await replay.once(request, tasks_of(request), KeyedTasks, restore)


@blueprint.delete("/<task_id:str>", unquote=True, ctx_description=Description(
    "destroyTask", TAG, "Remove a deleted task for good",
    "Only what is in the trash; a live task is not found here. It takes no body and no condition.",
    {204: Answer("The task is gone.")}, (*WITH_BODY, "task_not_found"),
))  # fmt: skip
async def destroy_task(request: ApiRequest, task_id: int) -> HTTPResponse:
    """Remove a deleted task for good."""
    _refuse_conditions(request)
    await tasks_of(request).destroy(task_id)
    return responses.empty()


def _refuse_conditions(request: ApiRequest) -> None:
    """Raise InvalidInputError for a write that is tied to a version, or says anything else that is not looked at."""
    if request.json_body.strip() not in schemas.NOTHING:
        validation.decode(request.json_body, NoParameters)
    conditions.refuse(request, "what is in the trash comes back, or goes, as it is")
