"""The routes of a user's deleted lists: list, restore and destroy them. The middleware has checked the owner."""

from __future__ import annotations

from sanic import Blueprint, HTTPResponse

from service.database.items import Reference
from service.idempotency import replay
from service.lists.caller import lists_of
from service.lists.keyed import KeyedLists
from service.lists.schemas import EXAMPLE, TRASHED, List, TrashedList
from service.lists.writes import UserLists
from service.web import answers, conditions, parameters, responses, unsent
from service.web.openapi.shapes import KEYED, OWNED, WITH_BODY, Answer, Description
from service.web.request import ApiRequest

blueprint: Blueprint = Blueprint("trashed_lists", url_prefix="/api/<user_id:str>/trash/lists")

TAG = "Trash"


@blueprint.get("/", unquote=True, ctx_description=Description(
    "listTrashedLists", TAG, "List deleted lists", "Returns all deleted lists, the last deletion first.",
    {200: Answer("The deleted lists; an empty list if there are none.", list[TrashedList], [TRASHED])},
    (*OWNED, "too_many_heavy_requests", "validation_error"), query=conditions.Nothing,
))  # fmt: skip
async def list_trashed_lists(request: ApiRequest) -> HTTPResponse:
    """Return the caller's deleted lists, the newest deletion first."""
    parameters.read(request.query_string, conditions.Nothing)
    await unsent.room(request)
    async with request.heavy():
        document = await lists_of(request).trashed().last_deleted_first()
        return unsent.hold(request, responses.json_document(document))


@blueprint.post("/<list_id:str>/restore", unquote=True, ctx_description=Description(
    "restoreList", TAG, "Restore a deleted list",
    "Moves the list and the tasks that were deleted with it out of the trash. The request takes no body and no "
    "condition.",
    {200: Answer("The restored list.", List, EXAMPLE, ("ETag",))},
    (*WITH_BODY, "list_not_found", "list_quota_exceeded", "task_quota_exceeded", *KEYED), headers=("Idempotency-Key",),
))  # fmt: skip
async def restore_list(request: ApiRequest, list_id: Reference) -> HTTPResponse:
    """Restore a deleted list."""
    conditions.refuse_content(request, "list")

    async def restore(lists: UserLists | KeyedLists) -> HTTPResponse:
        return answers.item(await lists.restore(list_id, task_quota=request.settings.task_quota))

    return await replay.once(request, lists_of(request), KeyedLists, restore)


@blueprint.delete("/<list_id:str>", unquote=True, ctx_description=Description(
    "destroyList", TAG, "Permanently remove a deleted list",
    "The list must be in the trash; a live list gets 404. Tasks that were deleted with it stay in the trash, and go to "
    "the inbox if they are restored. The request takes no body and no condition.",
    {204: Answer("The list is permanently removed.")}, (*WITH_BODY, "list_not_found"),
))  # fmt: skip
async def destroy_list(request: ApiRequest, list_id: Reference) -> HTTPResponse:
    """Permanently remove a deleted list."""
    conditions.refuse_content(request, "list")
    await lists_of(request).destroy(list_id)
    return responses.empty()
