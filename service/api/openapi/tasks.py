"""What the routes of a user's tasks take, answer and refuse."""

from __future__ import annotations

from service.api import listing, schemas, tasks
from service.api.openapi.shapes import OWNED, WITH_BODY, Answer, Body, Operation, Operations

TAG = "tasks"
ALL = "/api/{user_id}/tasks"
ONE = f"{ALL}/{{task_id}}"

EXAMPLE = {
    "id": 42,
    "user_id": "dFz1UQm3T0yLbXkA",
    "title": "Water the plants",
    "description": "The ones on the balcony too",
    "completed": False,
    "completed_at": None,
    "priority": "medium",
    "tags": ["home", "garden"],
    "due_date": "2026-12-24",
    "due_at": None,
    "created_at": "2026-12-01T09:30:00.000000Z",
    "updated_at": "2026-12-01T09:30:00.000000Z",
    "version": 7,
}
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
COMPLETIONS: dict[str, object] = {"complete": {"completed": True}, "reopen": {"completed": False}}

CHANGES = (
    "Takes any subset of the fields: one that is left out keeps its value, null sets it to its default (RFC 7396). "
    "`{}` changes nothing. PUT and PATCH do the same."
)
COMPLETES = (
    'Without a body it toggles, atomically. With `{"completed": true}` or `false` it sets, however often it is sent. '
    "PATCH and POST do the same."
)


def _task(description: str) -> dict[int, Answer]:
    return {200: Answer(description, schemas.Task, EXAMPLE, ("ETag",))}


def _update(name: str) -> Operation:
    return Operation(
        name, TAG, "Change a task", CHANGES, _task("The task as it is now."), (*WITH_BODY, "task_not_found"),
        body=Body(schemas.TaskPatch, PATCHES),
    )  # fmt: skip


def _complete(name: str) -> Operation:
    return Operation(
        name, TAG, "Complete or reopen a task", COMPLETES, _task("The task as it is now."),
        (*WITH_BODY, "task_not_found"), body=Body(schemas.Completion, COMPLETIONS, required=False),
    )  # fmt: skip


OPERATIONS: Operations = {
    ("GET", ALL): Operation(
        "listTasks", TAG, "List tasks",
        "All tasks that match, or with `limit` a page of them. While there is more, the `Link` header leads to the "
        "next page; what comes or goes in between repeats nothing and skips nothing. Unknown parameters are refused.",
        {200: Answer("The tasks; an empty list when none match.", list[schemas.Task], [EXAMPLE],
                     ("Link", "X-Total-Count"))},
        (*OWNED, "validation_error"), query=listing.ListParameters,
    ),
    ("POST", ALL): Operation(
        "createTask", TAG, "Create a task",
        "Only the title is required. `due_date` (a day) and `due_at` (a moment) exclude each other.",
        {201: Answer("The task as it was created.", schemas.Task, EXAMPLE, ("ETag", "Location"), links=True)},
        (*WITH_BODY, "task_quota_exceeded"), body=Body(schemas.TaskDraft, DRAFTS),
    ),
    ("DELETE", ALL): Operation(
        "deleteTasks", TAG, "Delete many tasks",
        "Clears the completed tasks, or the pending ones, or all; which must be said.",
        {200: Answer("How many tasks were deleted.", schemas.Deleted, {"deleted": 3})},
        (*OWNED, "validation_error"), query=tasks.DeleteParameters,
    ),
    ("GET", f"{ALL}/summary"): Operation(
        "summariseTasks", TAG, "Count tasks by state",
        "Overdue and due today count pending tasks alone.",
        {200: Answer("The counts.", schemas.Summary,
                     {"total": 12, "pending": 9, "completed": 3, "overdue": 1, "due_today": 2})},
        (*OWNED, "validation_error"), query=tasks.SummaryParameters,
    ),
    ("GET", ONE): Operation(
        "getTask", TAG, "Read a task", "", _task("The task."), (*OWNED, "task_not_found"),
    ),
    ("PUT", ONE): _update("putTask"),
    ("PATCH", ONE): _update("updateTask"),
    ("DELETE", ONE): Operation(
        "deleteTask", TAG, "Delete a task", "A second time there is nothing left to delete: 404.",
        {204: Answer("The task is in the trash.")}, (*OWNED, "task_not_found"),
    ),
    ("PATCH", f"{ONE}/complete"): _complete("completeTask"),
    ("POST", f"{ONE}/complete"): _complete("completeTaskByPost"),
}  # fmt: skip
