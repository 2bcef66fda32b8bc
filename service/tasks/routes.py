"""The routes of a user's tasks. The middleware has let only their owner through."""

from __future__ import annotations

from contextlib import nullcontext
from datetime import datetime, timedelta
from functools import partial
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from msgspec import Meta, Struct
from sanic import Blueprint, HTTPResponse

from service.errors import FieldError, InvalidInputError
from service.idempotency import replay
from service.tasks import listing, schemas
from service.tasks.keyed import KeyedTasks
from service.tasks.writes import UserTasks
from service.web import conditions, moments, paging, parameters, responses, unsent
from service.web.request import ApiRequest

blueprint: Blueprint = Blueprint("tasks", url_prefix="/api/<user_id:str>/tasks")


class DeleteParameters(Struct, kw_only=True, forbid_unknown_fields=True):
    """Which tasks to delete. There is no default: nothing is mass-deleted by accident."""

    status: Annotated[
        Literal["completed", "pending", "all"],
        Meta(extra={"rule": "completed, pending or all"}, description="Which tasks; 'all' must be said."),
    ]


class SummaryParameters(Struct, kw_only=True, forbid_unknown_fields=True):
    """Whose day counts as today."""

    tz: Annotated[
        str,
        Meta(extra={"rule": "an IANA time zone such as Europe/Berlin"}, description="Whose day 'today' is.",
             extra_json_schema={"format": "iana-time-zone", "examples": ["Europe/Berlin"]}),
    ] = "UTC"  # fmt: skip


@blueprint.get("/", unquote=True)
async def list_tasks(request: ApiRequest) -> HTTPResponse:
    """The caller's live tasks: all of them, or a page."""
    asked = listing.read(request.query_string)
    etag = partial(listing.etag, asked)
    if known := await conditions.unchanged(request, request.tasks.owner.state, etag):
        return known
    if asked.heavy:
        await unsent.room(request)
    async with request.heavy() if asked.heavy else nullcontext():
        query = asked.query
        page = await request.tasks.matching(query).page(query.limit, query.after, count=query.count)
        headers = paging.headers(page, request.path, asked.following, asked.listed) | {"ETag": etag(page.state)}
        return unsent.hold(request, responses.json_document(page.document, headers=headers))


@blueprint.post("/", unquote=True)
async def create_task(request: ApiRequest) -> HTTPResponse:
    """Create a task."""
    conditions.refuse(request, "to create a task once, send an Idempotency-Key")
    draft = schemas.read_draft(request.json_body)

    async def create(tasks: UserTasks | KeyedTasks) -> HTTPResponse:
        return responses.created(await tasks.create(draft, quota=request.settings.task_quota), tasks.user_id)

    return await replay.once(request, request.tasks, KeyedTasks, create)


@blueprint.delete("/", unquote=True)
async def delete_tasks(request: ApiRequest) -> HTTPResponse:
    """Move many tasks to the trash at once."""
    conditions.refuse(request)
    sent = parameters.read(request.query_string, DeleteParameters)
    completed = None if sent.status == "all" else sent.status == "completed"
    deleted = await request.tasks.delete_many(completed=completed, trash_quota=request.settings.trash_quota)
    return responses.json_value(schemas.DeletedCount(deleted))


@blueprint.get("/summary", unquote=True)
async def summarise_tasks(request: ApiRequest) -> HTTPResponse:
    """Count the caller's live tasks by state."""
    sent = parameters.read(request.query_string, SummaryParameters)
    zone = _zone(sent.tz)
    today, starts, ends = _today(zone)
    mark = conditions.mark_of(("summary", zone, today.strftime(listing.MINUTE)))
    etag = partial(conditions.etag_of, mark=mark)
    if known := await conditions.unchanged(request, request.tasks.owner.state, etag):
        return known
    async with request.heavy():
        state, *counts = await request.tasks.summarise(today.date(), starts, ends)
    return responses.json_value(schemas.TaskSummary(*counts), headers={"ETag": etag(state)})


@blueprint.get("/<task_id:str>", unquote=True)
async def get_task(request: ApiRequest, task_id: int) -> HTTPResponse:
    """One task."""
    stored = await request.tasks.find(task_id)
    if "if-none-match" in request.headers and conditions.is_known(request, etag := responses.etag(stored)):
        return responses.unchanged(etag)
    return responses.task(stored)


@blueprint.put("/<task_id:str>", unquote=True, name="put_task")
@blueprint.patch("/<task_id:str>", unquote=True)
async def update_task(request: ApiRequest, task_id: int) -> HTTPResponse:
    """Change the fields that are sent; the others keep their values."""
    changes, if_version = schemas.read_patch(request.json_body)
    expected = conditions.expected(request, if_version)
    return responses.task(await request.tasks.update(task_id, changes, expected))


@blueprint.post("/<task_id:str>/complete", unquote=True, name="post_complete")
@blueprint.patch("/<task_id:str>/complete", unquote=True)
async def complete_task(request: ApiRequest, task_id: int) -> HTTPResponse:
    """Toggle a task's completion, or set it when the body says to what."""
    completed, if_version = schemas.read_completion(request.json_body)
    expected = conditions.expected(request, if_version)

    async def complete(tasks: UserTasks | KeyedTasks) -> HTTPResponse:
        if completed is None:
            return responses.task(await tasks.toggle(task_id, expected))
        return responses.task(await tasks.complete(task_id, completed, expected))

    return await replay.once(request, request.tasks, KeyedTasks, complete)


@blueprint.delete("/<task_id:str>", unquote=True)
async def delete_task(request: ApiRequest, task_id: int) -> HTTPResponse:
    """Move a task to the trash."""
    if_version = schemas.read_deletion(request.json_body)
    expected = conditions.expected(request, if_version)
    await request.tasks.delete(task_id, expected, trash_quota=request.settings.trash_quota)
    return responses.empty()


def _zone(text: str) -> str:
    """The IANA name of a time zone. Raises InvalidInputError for an unknown one."""
    try:
        return moments.read_zone(text)
    except ValueError as error:
        raise InvalidInputError([FieldError("tz", str(error))]) from None


def _today(zone: str) -> tuple[datetime, datetime, datetime]:
    """Now, today's first moment and tomorrow's, in an IANA zone."""
    now = datetime.now(ZoneInfo(zone))
    starts = now.replace(hour=0, minute=0, second=0, microsecond=0)
    return now, starts, starts + timedelta(days=1)
