"""The routes of a user's lists. The middleware has already checked the owner."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType
from sanic import Blueprint, HTTPResponse

from service.database.items import Reference
from service.idempotency import replay
from service.lists import schemas
from service.lists.caller import lists_of
from service.lists.keyed import KeyedLists
from service.lists.schemas import EXAMPLE
from service.lists.writes import UserLists
from service.web import answers, conditions, parameters, responses, unsent
from service.web.openapi.shapes import KEYED, OWNED, UNCHANGED, WITH_BODY, Answer, Body, Description
from service.web.request import ApiRequest

blueprint: Blueprint = Blueprint("lists", url_prefix="/api/<user_id:str>/lists")

TAG = "Lists"
DRAFTS: dict[str, object] = {
    "with a uid of your own": {"name": "Garden", "uid": "019aceef-9a40-7b52-a1d4-3c8e0f6a7b21"},
    "a name is enough": {"name": "Garden"},
    "with everything": {"name": "Garden", "color": "#2e7d32", "archived": False, "after": None},
}
PATCHES: dict[str, object] = {
    "rename it": {"name": "Garden and balcony"},
    "archive it": {"archived": True},
    "move it to the end": {"after": None},
    "remove its color": {"color": None},
}
DELETIONS: dict[str, object] = {"any version": {}, "only this version": {"if_version": 12}}


class ListsParameters(Struct, kw_only=True, forbid_unknown_fields=True):
    """The query parameters of the lists."""

    archived: Annotated[
        bool | UnsetType,
        Meta(
            extra={"rule": "true or false"},
            description="`true` for only the archived lists, `false` for only the others; without it, all lists.",
        ),
    ] = UNSET


class DeleteParameters(Struct, kw_only=True, forbid_unknown_fields=True):
    """The query parameters of a deletion. A list that has tasks cannot be deleted without a decision about them."""

    tasks: Annotated[
        Literal["inbox", "trash"] | UnsetType,
        Meta(
            extra={"rule": "inbox or trash"},
            description="Where to move the tasks of the list. Required if the list has tasks.",
        ),
    ] = UNSET


@blueprint.get("/", unquote=True, ctx_description=Description(
    "listLists", TAG, "List lists",
    "Returns all lists in their manual order: by `position`, then by `id`. There are no pages, because a user has at "
    "most 500 lists. The inbox is not among them: a task without a list is in the inbox.",
    {200: Answer("The lists, archived ones too; an empty list if there are none.", list[schemas.List], [EXAMPLE],
                 ("ETag",)), 304: Answer(UNCHANGED, headers=("ETag",))},
    (*OWNED, "validation_error"), query=ListsParameters, headers=("If-None-Match",),
))  # fmt: skip
async def list_lists(request: ApiRequest) -> HTTPResponse:
    """Return the caller's live lists."""
    archived = parameters.read(request.query_string, ListsParameters).archived
    lists = lists_of(request)
    etag = partial(conditions.etag_of, mark=conditions.mark_of(("lists", str(archived))))
    if known := await conditions.unchanged(request, lists.owner.state, etag):
        return known
    live = lists.live()
    if archived is not UNSET:
        live = live.archived() if archived else live.active()
    page = await live.in_order()
    return unsent.hold(request, responses.json_document(page.document, headers={"ETag": etag(page.state)}))


@blueprint.post("/", unquote=True, ctx_description=Description(
    "createList", TAG, "Create a list",
    "Only the name is required; two lists may have the same name. A new list comes first, unless `after`, `before` or "
    "`position` places it. With a `uid`, a repeated request returns the existing list.",
    {201: Answer("The created list.", schemas.List, EXAMPLE, ("ETag", "Location"), links="list_id"),
     200: Answer("The existing list with this uid. Nothing changed.", schemas.List, EXAMPLE, ("ETag",))},
    (*WITH_BODY, "list_quota_exceeded", "in_trash", *KEYED), body=Body(schemas.ListDraft, DRAFTS),
    headers=("Idempotency-Key",),
))  # fmt: skip
async def create_list(request: ApiRequest) -> HTTPResponse:
    """Create a list."""
    conditions.refuse(request, "to create a list once, send a uid or an Idempotency-Key")
    draft = schemas.read_draft(request.json_body)

    async def create(lists: UserLists | KeyedLists) -> HTTPResponse:
        return answers.created(await lists.create(draft), lists.user_id, "lists")

    return await replay.once(request, lists_of(request), KeyedLists, create)


def _list(description: str) -> dict[int, Answer]:
    return {200: Answer(description, schemas.List, EXAMPLE, ("ETag",))}


@blueprint.get("/<list_id:str>", unquote=True, ctx_description=Description(
    "getList", TAG, "Read a list", "", _list("The list.") | {304: Answer(UNCHANGED, headers=("ETag",))},
    (*OWNED, "list_not_found"), headers=("If-None-Match",),
))  # fmt: skip
async def get_list(request: ApiRequest, list_id: Reference) -> HTTPResponse:
    """Return one list."""
    return answers.read(request, await lists_of(request).find(list_id))


def _update(name: str) -> Description:
    return Description(
        name, TAG, "Change a list",
        "Accepts any subset of the fields. An omitted field keeps its value. `{}` changes nothing. PUT and PATCH do "
        "the same. Lists of tasks and the summary leave out the tasks of an archived list, unless `list` names it.",
        _list("The changed list."),
        (*WITH_BODY, "list_not_found", "version_mismatch"), body=Body(schemas.ListPatch, PATCHES),
        headers=("If-Match",),
    )  # fmt: skip


@blueprint.put("/<list_id:str>", unquote=True, name="put_list", ctx_description=_update("putList"))
@blueprint.patch("/<list_id:str>", unquote=True, ctx_description=_update("updateList"))
async def update_list(request: ApiRequest, list_id: Reference) -> HTTPResponse:
    """Change the fields that are sent; the others keep their values."""
    changes, if_version = schemas.read_patch(request.json_body)
    expected = conditions.expected(request, if_version)
    return answers.item(await lists_of(request).update(list_id, changes, expected))


@blueprint.delete("/<list_id:str>", unquote=True, ctx_description=Description(
    "deleteList", TAG, "Delete a list",
    "Moves the list to the trash. If it has tasks, `tasks` must say where they go; otherwise the response is 422 and "
    "says how many there are. A list that is restored gets back the tasks that were deleted with it.",
    {204: Answer("The list is in the trash.")},
    (*WITH_BODY, "list_not_found", "trash_full", "version_mismatch"), query=DeleteParameters,
    body=Body(schemas.ListDeletion, DELETIONS, required=False), headers=("If-Match",),
))  # fmt: skip
async def delete_list(request: ApiRequest, list_id: Reference) -> HTTPResponse:
    """Move a list to the trash."""
    tasks = parameters.read(request.query_string, DeleteParameters).tasks or None
    expected = conditions.expected(request, schemas.read_deletion(request.json_body))
    await lists_of(request).delete(list_id, expected, tasks=tasks, trash_quota=request.settings.trash_quota)
    return responses.empty()
