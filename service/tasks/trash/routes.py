"""The routes of a user's trash: list, restore and destroy deleted tasks. The middleware has checked the owner."""

from __future__ import annotations

from contextlib import nullcontext
from datetime import datetime
from typing import Annotated

from msgspec import UNSET, Meta, Struct
from sanic import Blueprint, HTTPResponse

from service.database.items import Reference
from service.errors import FieldError, InvalidInputError
from service.idempotency import replay
from service.lists.caller import lists_of
from service.tasks import listing, schemas
from service.tasks.caller import tasks_of
from service.tasks.keyed import KeyedTasks
from service.tasks.schemas import EXAMPLE
from service.tasks.writes import UserTasks
from service.web import answers, conditions, cursors, paging, parameters, responses, unsent
from service.web.openapi.shapes import KEYED, OWNED, WITH_BODY, Answer, Description
from service.web.request import ApiRequest

blueprint: Blueprint = Blueprint("trash", url_prefix="/api/<user_id:str>/trash")

LISTED = cursors.fingerprint("trash")  # there is one order and no filter
TAG = "Trash"
TRASHED = {
    **EXAMPLE, "deleted_at": "2026-12-02T08:15:00.000000Z", "updated_at": "2026-12-02T08:15:00.000000Z", "version": 8,
}  # fmt: skip


class TrashParameters(Struct, kw_only=True, forbid_unknown_fields=True):
    """The query parameters of the trash."""

    limit: listing.Limit = UNSET
    cursor: listing.Following = UNSET
    count: listing.Counted = False


class TrashedTask(schemas.Task, kw_only=True):
    """A deleted task."""

    deleted_at: Annotated[datetime, Meta(tz=True, description="The time of the deletion.")]


@blueprint.get("/", unquote=True, ctx_description=Description(
    "listTrash", TAG, "List deleted tasks",
    "Returns the deleted tasks, the last deletion first. Pages work as in the list of tasks.",
    {200: Answer("The deleted tasks; an empty list if there are none.", list[TrashedTask], [TRASHED],
                 ("Link", "X-Total-Count"))},
    (*OWNED, "too_many_heavy_requests", "validation_error"), query=TrashParameters,
))  # fmt: skip
async def list_trash(request: ApiRequest) -> HTTPResponse:
    """Return the caller's deleted tasks, the newest deletion first: all of them, or a page."""
    sent = parameters.read(request.query_string, TrashParameters)
    limit = None if sent.limit is UNSET else sent.limit
    if sent.cursor is not UNSET and limit is None:
        raise InvalidInputError([FieldError("cursor", "needs a limit; send the limit of the previous page")])
    after = None if sent.cursor is UNSET else cursors.read(sent.cursor, LISTED, "deleted")
    if limit is None:
        await unsent.room(request)
    async with request.heavy() if limit is None or sent.count else nullcontext():
        page = await tasks_of(request).trashed().page(limit, after, count=sent.count)
        headers = paging.headers(page, request.path, paging.following(request.query_string), LISTED)
        return unsent.hold(request, responses.json_document(page.document, headers=headers))


@blueprint.delete("/", unquote=True, ctx_description=Description(
    "emptyTrash", TAG, "Empty the trash",
    "Permanently removes all tasks and lists in the trash. The request takes no parameters, no body and no condition.",
    {200: Answer("The number of removed tasks and lists.", schemas.DeletedCount, {"deleted": 3}),
     202: Answer("The number of tasks and lists removed so far. The trash is not empty yet; send the request again.",
                 schemas.DeletedCount, {"deleted": 250_000}, ("Retry-After",))},
    WITH_BODY, guarded=True,
))  # fmt: skip
async def empty_trash(request: ApiRequest) -> HTTPResponse:
    """Permanently remove all tasks and lists in the trash. Responds 202 if that takes longer than a request may."""
    conditions.refuse_content(request)
    parameters.read(request.query_string, conditions.Nothing)
    deleted, done = await tasks_of(request).destroy_all(within=responses.WORKING_TIME)
    if done:
        deleted += await lists_of(request).destroy_all()
    count = schemas.DeletedCount(deleted)
    return responses.json_value(count) if done else responses.unfinished(count)


@blueprint.post("/<task_id:str>/restore", unquote=True, ctx_description=Description(
    "restoreTask", TAG, "Restore a deleted task",
    "Moves the task out of the trash, with the subtasks that were deleted together with it. Only `updated_at` and "
    "`version` change, with two exceptions: if its list no longer exists, the task goes to the inbox (`list_id` is "
    "null), and a subtask that is restored alone becomes a top-level task (`parent_id` is null). The request takes no "
    "body and no condition.",
    {200: Answer("The restored task.", schemas.Task, EXAMPLE, ("ETag",))},
    (*WITH_BODY, "task_not_found", "task_quota_exceeded", *KEYED), headers=("Idempotency-Key",),
))  # fmt: skip
async def restore_task(request: ApiRequest, task_id: Reference) -> HTTPResponse:
    """Restore a deleted task."""
    conditions.refuse_content(request)

    async def restore(tasks: UserTasks | KeyedTasks) -> HTTPResponse:
        return answers.item(await tasks.restore(task_id, quota=request.settings.task_quota))

    return await replay.once(request, tasks_of(request), KeyedTasks, restore)


@blueprint.delete("/<task_id:str>", unquote=True, ctx_description=Description(
    "destroyTask", TAG, "Permanently remove a deleted task",
    "The task must be in the trash; a live task gets 404. The request takes no body and no condition.",
    {204: Answer("The task is permanently removed.")}, (*WITH_BODY, "task_not_found"),
))  # fmt: skip
async def destroy_task(request: ApiRequest, task_id: Reference) -> HTTPResponse:
    """Permanently remove a deleted task."""
    conditions.refuse_content(request)
    await tasks_of(request).destroy(task_id)
    return responses.empty()
