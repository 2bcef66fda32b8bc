"""What the routes of a user's tasks take, answer and refuse."""

from __future__ import annotations

from service.tasks import listing, schemas
from service.tasks import routes as tasks
from service.web.openapi.shapes import EXAMPLE, OWNED, WITH_BODY, Answer, Body, Operation, Operations

TAG = "Tasks"
ALL = "/api/{user_id}/tasks"
ONE = f"{ALL}/{{task_id}}"

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
PATCHES: dict[str, object] = {
    "change some fields": {"title": "Water all plants", "priority": "high"},
    "set a moment, which clears the day": {"due_at": "2026-12-24T18:00:00+01:00"},
    "clear fields": {"description": None, "tags": None, "due_date": None},
}
DELETIONS: dict[str, object] = {"as it is": {}, "only as you know it": {"if_version": 7}}
COMPLETIONS: dict[str, object] = {"complete": {"completed": True}, "reopen": {"completed": False}}

CHANGES = (
    "Takes any subset of the fields: one that is left out keeps its value, null sets it to its default (RFC 7396). "
    "`{}` changes nothing. PUT and PATCH do the same."
)
COMPLETES = (
    'Without a body it toggles, atomically. With `{"completed": true}` or `false` it sets, however often it is sent. '
    "PATCH and POST do the same."
)


KEYED = ("request_in_progress", "idempotency_full", "idempotency_key_reused")
UNCHANGED = "What you have, by `If-None-Match`, still holds. There is no body."


def _task(description: str) -> dict[int, Answer]:
    return {200: Answer(description, schemas.Task, EXAMPLE, ("ETag",))}


def _update(name: str) -> Operation:
    return Operation(
        name, TAG, "Change a task", CHANGES, _task("The task as it is now."),
        (*WITH_BODY, "task_not_found", "version_mismatch"), body=Body(schemas.TaskPatch, PATCHES),
        headers=("If-Match",),
    )  # fmt: skip


def _complete(name: str, headers: tuple[str, ...], *problems: str) -> Operation:
    return Operation(
        name, TAG, "Complete or reopen a task", COMPLETES, _task("The task as it is now."),
        (*WITH_BODY, "task_not_found", "version_mismatch", *problems),
        body=Body(schemas.TaskCompletion, COMPLETIONS, required=False), headers=headers,
    )  # fmt: skip


OPERATIONS: Operations = {
    ("GET", ALL): Operation(
        "listTasks", TAG, "List tasks",
        "All tasks that match, or with `limit` a page of them. While there is more, the `Link` header leads to the "
        "next page; what comes or goes in between repeats nothing and skips nothing. Unknown parameters are refused.",
        {200: Answer("The tasks; an empty list when none match.", list[schemas.Task], [EXAMPLE],
                     ("ETag", "Link", "X-Total-Count")), 304: Answer(UNCHANGED, headers=("ETag",))},
        (*OWNED, "too_many_heavy_requests", "validation_error"), query=listing.ListParameters,
        headers=("If-None-Match",),
    ),
    ("POST", ALL): Operation(
        "createTask", TAG, "Create a task",
        "Only the title is required. `due_date` (a day) and `due_at` (a moment) exclude each other.",
        {201: Answer("The task as it was created.", schemas.Task, EXAMPLE, ("ETag", "Location"), links=True)},
        (*WITH_BODY, "task_quota_exceeded", *KEYED), body=Body(schemas.TaskDraft, DRAFTS), headers=("Idempotency-Key",),
    ),
    ("DELETE", ALL): Operation(
        "deleteTasks", TAG, "Delete many tasks",
        "Clears the completed tasks, or the pending ones, or all; which must be said.",
        {200: Answer("How many tasks were deleted.", schemas.DeletedCount, {"deleted": 3})},
        (*OWNED, "trash_full", "validation_error"), query=tasks.DeleteParameters, guarded=True,
    ),
    ("GET", f"{ALL}/summary"): Operation(
        "getTaskSummary", TAG, "Count tasks by state",
        "Overdue and due today count pending tasks alone.",
        {200: Answer("The counts.", schemas.TaskSummary,
                     {"total": 12, "pending": 9, "completed": 3, "overdue": 1, "due_today": 2}, ("ETag",)),
         304: Answer(UNCHANGED, headers=("ETag",))},
        (*OWNED, "too_many_heavy_requests", "validation_error"), query=tasks.SummaryParameters,
        headers=("If-None-Match",),
    ),
    ("GET", ONE): Operation(
        "getTask", TAG, "Read a task", "", _task("The task.") | {304: Answer(UNCHANGED, headers=("ETag",))},
        (*OWNED, "task_not_found"), headers=("If-None-Match",),
    ),
    ("PUT", ONE): _update("putTask"),
    ("PATCH", ONE): _update("updateTask"),
    ("DELETE", ONE): Operation(
        "deleteTask", TAG, "Delete a task", "A second time there is nothing left to delete: 404.",
        {204: Answer("The task is in the trash.")}, (*WITH_BODY, "task_not_found", "trash_full", "version_mismatch"),
        body=Body(schemas.TaskDeletion, DELETIONS, required=False), headers=("If-Match",),
    ),
    ("PATCH", f"{ONE}/complete"): _complete("completeTask", ("If-Match",)),
    ("POST", f"{ONE}/complete"): _complete("postTaskCompletion", ("If-Match", "Idempotency-Key"), *KEYED),
}  # fmt: skip
