"""The routes of one task: read, change, complete and delete it. The middleware has already checked the owner."""

from __future__ import annotations

from sanic import Blueprint, HTTPResponse

from service.database.items import Reference
from service.idempotency import replay
from service.tasks import schemas
from service.tasks.caller import quotas_of, tasks_of
from service.tasks.keyed import KeyedTasks
from service.tasks.schemas import EXAMPLE
from service.tasks.writes import UserTasks
from service.web import answers, conditions, responses
from service.web.openapi.shapes import KEYED, OWNED, UNCHANGED, WITH_BODY, Answer, Body, Description
from service.web.request import ApiRequest

blueprint: Blueprint = Blueprint("task", url_prefix="/api/<user_id:str>/tasks/<task_id:str>")

TAG = "Tasks"
SERIES = ("task_quota_exceeded", "trash_full", "successor_changed")  # problems of a repeating task
PATCHES: dict[str, object] = {
    "change some fields": {"title": "Water all plants", "priority": "high"},
    "set a due time, which clears the due date": {"due_at": "2026-12-24T18:00:00+01:00"},
    "clear fields": {"description": None, "tags": None, "due_date": None},
}
CONDITIONS: dict[str, object] = {"any version": {}, "only this version": {"if_version": 7}}
COMPLETIONS: dict[str, object] = {"complete": {"completed": True}, "reopen": {"completed": False}}


def _task(description: str) -> dict[int, Answer]:
    return {200: Answer(description, schemas.Task, EXAMPLE, ("ETag",))}


@blueprint.get("/", unquote=True, ctx_description=Description(
    "getTask", TAG, "Read a task", "", _task("The task.") | {304: Answer(UNCHANGED, headers=("ETag",))},
    (*OWNED, "task_not_found"), headers=("If-None-Match",),
))  # fmt: skip
async def get_task(request: ApiRequest, task_id: Reference) -> HTTPResponse:
    """Return one task."""
    return answers.read(request, await tasks_of(request).find(task_id))


def _update(name: str) -> Description:
    return Description(
        name, TAG, "Change a task",
        "Accepts any subset of the fields. An omitted field keeps its value; null sets a field to its default (RFC "
        "7396). `{}` changes nothing. PUT and PATCH do the same.", _task("The changed task."),
        (*WITH_BODY, "task_not_found", "version_mismatch", *SERIES), body=Body(schemas.TaskPatch, PATCHES),
        headers=("If-Match",),
    )  # fmt: skip


@blueprint.put("/", unquote=True, name="put_task", ctx_description=_update("putTask"))
@blueprint.patch("/", unquote=True, ctx_description=_update("updateTask"))
async def update_task(request: ApiRequest, task_id: Reference) -> HTTPResponse:
    """Change the fields that are sent; the others keep their values."""
    changes, if_version = schemas.read_patch(request.json_body)
    expected = conditions.expected(request, if_version)
    return answers.item(await tasks_of(request).update(task_id, changes, expected, quotas=quotas_of(request)))


def _complete(name: str, headers: tuple[str, ...], *problems: str) -> Description:
    return Description(
        name, TAG, "Complete or reopen a task",
        'Without a body, toggles `completed` atomically. With `{"completed": true}` or `false`, sets it, so that a '
        "repeated request changes nothing. PATCH and POST do the same.", _task("The changed task."),
        (*WITH_BODY, "task_not_found", "version_mismatch", *SERIES, *problems),
        body=Body(schemas.TaskCompletion, COMPLETIONS, required=False), headers=headers,
    )  # fmt: skip


@blueprint.patch("/complete", unquote=True, ctx_description=_complete("completeTask", ("If-Match",)))
@blueprint.post("/complete", unquote=True, name="post_complete",
                ctx_description=_complete("postTaskCompletion", ("If-Match", "Idempotency-Key"), *KEYED))  # fmt: skip
async def complete_task(request: ApiRequest, task_id: Reference) -> HTTPResponse:
    """Toggle a task's completion, or set it to the value in the body."""
    completed, if_version = schemas.read_completion(request.json_body)
    expected, quotas = conditions.expected(request, if_version), quotas_of(request)

    async def complete(tasks: UserTasks | KeyedTasks) -> HTTPResponse:
        if completed is None:
            return answers.item(await tasks.toggle(task_id, expected, quotas=quotas))
        return answers.item(await tasks.complete(task_id, completed, expected, quotas=quotas))

    return await replay.once(request, tasks_of(request), KeyedTasks, complete)


@blueprint.post("/skip", unquote=True, ctx_description=Description(
    "skipTask", TAG, "Skip an occurrence of a repeating task",
    "Moves the task to the next occurrence of its series: to `next_due`, or, if that is over, to the first one that is "
    "not over. Today is not over. No other field changes. The response is 409 if the task does not repeat, is "
    "completed, or is the last occurrence.",
    _task("The task at its next occurrence."),
    (*WITH_BODY, "task_not_found", "version_mismatch", "nothing_to_skip", *KEYED),
    body=Body(schemas.TaskCondition, CONDITIONS, required=False), headers=("If-Match", "Idempotency-Key"),
))  # fmt: skip
async def skip_task(request: ApiRequest, task_id: Reference) -> HTTPResponse:
    """Move a repeating task to its next occurrence."""
    expected = conditions.expected(request, schemas.read_condition(request.json_body))

    async def skip(tasks: UserTasks | KeyedTasks) -> HTTPResponse:
        return answers.item(await tasks.skip(task_id, expected, quotas=quotas_of(request)))

    return await replay.once(request, tasks_of(request), KeyedTasks, skip)


@blueprint.delete("/", unquote=True, ctx_description=Description(
    "deleteTask", TAG, "Delete a task", "Moves the task to the trash. A second request gets 404.",
    {204: Answer("The task is in the trash.")}, (*WITH_BODY, "task_not_found", "trash_full", "version_mismatch"),
    body=Body(schemas.TaskCondition, CONDITIONS, required=False), headers=("If-Match",),
))  # fmt: skip
async def delete_task(request: ApiRequest, task_id: Reference) -> HTTPResponse:
    """Move a task to the trash."""
    if_version = schemas.read_condition(request.json_body)
    expected = conditions.expected(request, if_version)
    await tasks_of(request).delete(task_id, expected, trash_quota=request.settings.trash_quota)
    return responses.empty()
