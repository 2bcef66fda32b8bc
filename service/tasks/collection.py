"""The routes of a user's tasks as a whole: list them, create one, delete many, count them."""

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
from service.tasks import answers, listing, schemas
from service.tasks.caller import tasks_of
from service.tasks.keyed import KeyedTasks
from service.tasks.schemas import EXAMPLE
from service.tasks.writes import UserTasks
from service.web import conditions, moments, paging, parameters, responses, unsent
from service.web.openapi.shapes import KEYED, OWNED, UNCHANGED, WITH_BODY, Answer, Body, Description
from service.web.request import ApiRequest

blueprint: Blueprint = Blueprint("tasks", url_prefix="/api/<user_id:str>/tasks")

TAG = "Tasks"
DRAFTS: dict[str, object] = {
    "a title is enough": {"title": "Water the plants"},
    "with everything": {
        "title": "Water the plants",
        "description": "The ones on the balcony too",
        "priority": "medium",
        "tags": ["home", "garden"],
        "due_date": "2026-12-24",
    },
}
COUNTS = {"total": 12, "pending": 9, "completed": 3, "overdue": 1, "due_today": 2}


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


@blueprint.get("/", unquote=True, ctx_description=Description(
    "listTasks", TAG, "List tasks",
    "All tasks that match, or with `limit` a page of them. While there is more, the `Link` header leads to the "
    "next page; what comes or goes in between repeats nothing and skips nothing. Unknown parameters are refused.",
    {200: Answer("The tasks; an empty list when none match.", list[schemas.Task], [EXAMPLE],
                 ("ETag", "Link", "X-Total-Count")), 304: Answer(UNCHANGED, headers=("ETag",))},
    (*OWNED, "too_many_heavy_requests", "validation_error"), query=listing.ListParameters,
    headers=("If-None-Match",),
))  # fmt: skip
async def list_tasks(request: ApiRequest) -> HTTPResponse:
    """The caller's live tasks: all of them, or a page."""
    asked = listing.read(request.query_string)
    etag = partial(listing.etag, asked)
    if known := await conditions.unchanged(request, tasks_of(request).owner.state, etag):
        return known
    if asked.heavy:
        await unsent.room(request)
    async with request.heavy() if asked.heavy else nullcontext():
        query = asked.query
        page = await tasks_of(request).matching(query).page(query.limit, query.after, count=query.count)
        headers = paging.headers(page, request.path, asked.following, asked.listed) | {"ETag": etag(page.state)}
        return unsent.hold(request, responses.json_document(page.document, headers=headers))


@blueprint.post("/", unquote=True, ctx_description=Description(
    "createTask", TAG, "Create a task",
    "Only the title is required. `due_date` (a day) and `due_at` (a moment) exclude each other.",
    {201: Answer("The task as it was created.", schemas.Task, EXAMPLE, ("ETag", "Location"), links=True)},
    (*WITH_BODY, "task_quota_exceeded", *KEYED), body=Body(schemas.TaskDraft, DRAFTS), headers=("Idempotency-Key",),
))  # fmt: skip
async def create_task(request: ApiRequest) -> HTTPResponse:
    """Create a task."""
    conditions.refuse(request, "to create a task once, send an Idempotency-Key")
    draft = schemas.read_draft(request.json_body)

    async def create(tasks: UserTasks | KeyedTasks) -> HTTPResponse:
        return answers.created(await tasks.create(draft, quota=request.settings.task_quota), tasks.user_id)

    return await replay.once(request, tasks_of(request), KeyedTasks, create)


@blueprint.delete("/", unquote=True, ctx_description=Description(
    "deleteTasks", TAG, "Delete many tasks",
    "Clears the completed tasks, or the pending ones, or all; which must be said.",
    {200: Answer("How many tasks were deleted.", schemas.DeletedCount, {"deleted": 3})},
    (*OWNED, "trash_full", "validation_error"), query=DeleteParameters, guarded=True,
))  # fmt: skip
async def delete_tasks(request: ApiRequest) -> HTTPResponse:
    """Move many tasks to the trash at once."""
    conditions.refuse(request)
    sent = parameters.read(request.query_string, DeleteParameters)
    completed = None if sent.status == "all" else sent.status == "completed"
    deleted = await tasks_of(request).delete_many(completed=completed, trash_quota=request.settings.trash_quota)
    return responses.json_value(schemas.DeletedCount(deleted))


@blueprint.get("/summary", unquote=True, ctx_description=Description(
    "getTaskSummary", TAG, "Count tasks by state",
    "Overdue and due today count pending tasks alone.",
    {200: Answer("The counts.", schemas.TaskSummary,
                 COUNTS, ("ETag",)),
     304: Answer(UNCHANGED, headers=("ETag",))},
    (*OWNED, "too_many_heavy_requests", "validation_error"), query=SummaryParameters,
    headers=("If-None-Match",),
))  # fmt: skip
async def summarise_tasks(request: ApiRequest) -> HTTPResponse:
    """Count the caller's live tasks by state."""
    sent = parameters.read(request.query_string, SummaryParameters)
    zone = _zone(sent.tz)
    today, starts, ends = _today(zone)
    mark = conditions.mark_of(("summary", zone, today.strftime(listing.MINUTE)))
    etag = partial(conditions.etag_of, mark=mark)
    if known := await conditions.unchanged(request, tasks_of(request).owner.state, etag):
        return known
    async with request.heavy():
        state, *counts = await tasks_of(request).summarise(today.date(), starts, ends)
    return responses.json_value(schemas.TaskSummary(*counts), headers={"ETag": etag(state)})


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
