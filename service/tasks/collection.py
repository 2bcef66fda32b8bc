"""The routes of a user's tasks: list them, create one, delete many, and count them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from functools import partial
from typing import Annotated, Literal

from msgspec import Meta, Struct
from sanic import Blueprint, HTTPResponse

from service.database.keyset import Page
from service.errors import FieldError, InvalidInputError
from service.idempotency import replay
from service.recurrence import zones
from service.tasks import listing, schemas, summary
from service.tasks.caller import tasks_of
from service.tasks.keyed import KeyedTasks
from service.tasks.schemas import EXAMPLE
from service.tasks.writes import UserTasks
from service.web import answers, conditions, paging, parameters, responses, unsent
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
    """The query parameters of a mass deletion. The status has no default, so that no mass deletion is accidental."""

    status: Annotated[
        Literal["completed", "pending", "all"],
        Meta(extra={"rule": "completed, pending or all"}, description="The tasks to delete. Required, even for `all`."),
    ]
    list: listing.OfLists = []


class TaskSummary(Struct):
    """Counts of live tasks. `overdue` and `due_today` count only pending tasks."""

    total: Annotated[int, Meta(ge=0)]
    pending: Annotated[int, Meta(ge=0)]
    completed: Annotated[int, Meta(ge=0)]
    overdue: Annotated[int, Meta(ge=0)]
    due_today: Annotated[int, Meta(ge=0)]


class SummaryParameters(Struct, kw_only=True, forbid_unknown_fields=True):
    """The query parameters of the summary."""

    tz: Annotated[
        str,
        Meta(extra={"rule": "an IANA time zone such as Europe/Berlin"}, description="The time zone of `due_today`.",
             extra_json_schema={"format": "iana-time-zone", "examples": ["Europe/Berlin"]}),
    ] = "UTC"  # fmt: skip
    list: listing.OfLists = []


@blueprint.get("/", unquote=True, ctx_description=Description(
    "listTasks", TAG, "List tasks",
    "Returns all matching tasks, or a page of them if `limit` is set. If there is a next page, the `Link` header has "
    "its URL. Tasks that are created or deleted between two pages cause no repetition and no gap. Unknown parameters "
    "are refused.",
    {200: Answer("The tasks; an empty list if none match.", list[schemas.Task], [EXAMPLE],
                 ("ETag", "Link", "X-Total-Count")), 304: Answer(UNCHANGED, headers=("ETag",))},
    (*OWNED, "too_many_heavy_requests", "validation_error"), query=listing.ListParameters,
    headers=("If-None-Match",),
))  # fmt: skip
async def list_tasks(request: ApiRequest) -> HTTPResponse:
    """Return the caller's live tasks: all of them, or a page."""
    asked = listing.read(request.query_string)
    query, tasks = asked.query, tasks_of(request)
    etag = partial(listing.etag, asked)
    if known := await conditions.unchanged(request, tasks.state, etag):
        return known
    read = partial(tasks.with_verbs(asked.verbs).page, query.limit, query.after, count=query.count)
    page = await (_admitted(request, read) if asked.heavy else read())
    headers = paging.headers(page, request.path, asked.following, asked.listed) | {"ETag": etag(page.state)}
    return unsent.hold(request, responses.json_document(page.document, headers=headers))


async def _admitted(request: ApiRequest, read: Callable[[], Awaitable[Page]]) -> Page:
    """Read a long list: wait for memory for the response, and then for a place for heavy work."""
    await unsent.room(request)
    async with request.heavy():
        return await read()


@blueprint.post("/", unquote=True, ctx_description=Description(
    "createTask", TAG, "Create a task",
    "Only the title is required. Send `due_date` (a day) or `due_at` (a timestamp), but not both. With a `uid`, a "
    "repeated request returns the existing task.",
    {201: Answer("The created task.", schemas.Task, EXAMPLE, ("ETag", "Location"), links="task_id"),
     200: Answer("The existing task with this uid. Nothing changed.", schemas.Task, EXAMPLE, ("ETag",))},
    (*WITH_BODY, "task_quota_exceeded", "in_trash", *KEYED), body=Body(schemas.TaskDraft, DRAFTS),
    headers=("Idempotency-Key",),
))  # fmt: skip
async def create_task(request: ApiRequest) -> HTTPResponse:
    """Create a task."""
    conditions.refuse(request, "to create a task once, send an Idempotency-Key")
    draft = schemas.read_draft(request.json_body)

    async def create(tasks: UserTasks | KeyedTasks) -> HTTPResponse:
        return answers.created(await tasks.create(draft, quota=request.settings.task_quota), tasks.user_id, "tasks")

    return await replay.once(request, tasks_of(request), KeyedTasks, create)


@blueprint.delete("/", unquote=True, ctx_description=Description(
    "deleteTasks", TAG, "Delete many tasks",
    "Moves all completed tasks, all pending tasks or all tasks to the trash, with their subtasks. `status` is "
    "required. The tasks of archived lists stay, unless `list` names their list.",
    {200: Answer("The number of deleted tasks.", schemas.DeletedCount, {"deleted": 3})},
    (*OWNED, "trash_full", "validation_error"), query=DeleteParameters, guarded=True,
))  # fmt: skip
async def delete_tasks(request: ApiRequest) -> HTTPResponse:
    """Move many tasks to the trash."""
    conditions.refuse(request)
    sent = parameters.read(request.query_string, DeleteParameters, listing.REPEATABLE)
    if ("list", "") in parameters.pairs(request.query_string):  # ignored, it would stand for all lists
        raise InvalidInputError([FieldError("list", "must not be empty here; send an id or uid of a list, or inbox")])
    deleted = await tasks_of(request).delete_many(
        completed=listing.completed_of(sent.status), lists=listing.lists_of(sent.list),
        trash_quota=request.settings.trash_quota,
    )  # fmt: skip
    return responses.json_value(schemas.DeletedCount(deleted))


@blueprint.get("/summary", unquote=True, ctx_description=Description(
    "getTaskSummary", TAG, "Count tasks by state",
    "`overdue` and `due_today` count only pending tasks.",
    {200: Answer("The counts.", TaskSummary,
                 COUNTS, ("ETag",)),
     304: Answer(UNCHANGED, headers=("ETag",))},
    (*OWNED, "too_many_heavy_requests", "validation_error"), query=SummaryParameters,
    headers=("If-None-Match",),
))  # fmt: skip
async def summarise_tasks(request: ApiRequest) -> HTTPResponse:
    """Count the caller's live tasks by state."""
    sent = parameters.read(request.query_string, SummaryParameters, listing.REPEATABLE)
    zone, lists = _zone(sent.tz), listing.lists_of(sent.list)
    today, starts, ends = _today(zone)
    mark = conditions.mark_of(("summary", zone, lists, today.strftime(listing.MINUTE)))
    etag = partial(conditions.etag_of, mark=mark)
    tasks = tasks_of(request)
    if known := await conditions.unchanged(request, tasks.state, etag):
        return known
    async with request.heavy():
        state, *counts = await summary.summarise(tasks.of_lists(lists), today.date(), starts, ends)
    return responses.json_value(TaskSummary(*counts), headers={"ETag": etag(state)})


def _zone(text: str) -> str:
    """Return the IANA name of a time zone. Raises InvalidInputError for an unknown one."""
    try:
        return zones.zone_name(text)
    except ValueError as error:
        raise InvalidInputError([FieldError("tz", str(error))]) from None


def _today(zone: str) -> tuple[datetime, datetime, datetime]:
    """Return the current time, the start of today and the start of tomorrow in an IANA time zone."""
    now = datetime.now(zones.read_zone(zone))
    starts = now.replace(hour=0, minute=0, second=0, microsecond=0)
    return now, starts, starts + timedelta(days=1)
