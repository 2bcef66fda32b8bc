"""What the routes of a user's trash take, answer and refuse."""

from __future__ import annotations

from service.tasks import schemas
from service.tasks.openapi import KEYED
from service.tasks.trash import routes as trash
from service.web.openapi.shapes import EXAMPLE, OWNED, WITH_BODY, Answer, Operation, Operations

TAG = "Trash"
ALL = "/api/{user_id}/trash"
ONE = f"{ALL}/{{task_id}}"

TRASHED = {
    **EXAMPLE, "deleted_at": "2026-12-02T08:15:00.000000Z", "updated_at": "2026-12-02T08:15:00.000000Z", "version": 8,
}  # fmt: skip

OPERATIONS: Operations = {
    ("GET", ALL): Operation(
        "listTrash", TAG, "List deleted tasks",
        "The task that was deleted last comes first. Pages work as those of the list of tasks do.",
        {200: Answer("The deleted tasks; an empty list when there are none.", list[trash.TrashedTask], [TRASHED],
                     ("Link", "X-Total-Count"))},
        (*OWNED, "too_many_heavy_requests", "validation_error"), query=trash.TrashParameters,
    ),
    ("DELETE", ALL): Operation(
        "emptyTrash", TAG, "Empty the trash",
        "Removes all that is in it for good. It takes no parameters, no body and no condition.",
        {200: Answer("How many tasks are gone.", schemas.DeletedCount, {"deleted": 3}),
         202: Answer("How many are gone so far. More are left than one request has time for: send it again.",
                     schemas.DeletedCount, {"deleted": 250_000}, ("Retry-After",))},
        WITH_BODY, guarded=True,
    ),
    ("POST", f"{ONE}/restore"): Operation(
        "restoreTask", TAG, "Restore a deleted task",
        "Everything about it is as before, but for `updated_at` and `version`. It takes no body and no condition.",
        {200: Answer("The task, live again.", schemas.Task, EXAMPLE, ("ETag",))},
        (*WITH_BODY, "task_not_found", "task_quota_exceeded", *KEYED), headers=("Idempotency-Key",),
    ),
    ("DELETE", ONE): Operation(
        "destroyTask", TAG, "Remove a deleted task for good",
        "Only what is in the trash; a live task is not found here. It takes no body and no condition.",
        {204: Answer("The task is gone.")}, (*WITH_BODY, "task_not_found"),
    ),
}  # fmt: skip
