"""What the route of a batch takes, answers and refuses."""

from __future__ import annotations

from service.tasks.batch import routes as batches
from service.tasks.batch import schemas as operations
from service.tasks.openapi import ALL, KEYED, TAG
from service.web.openapi.shapes import EXAMPLE, WITH_BODY, Answer, Body, Operation, Operations

BATCHES: dict[str, object] = {
    "create some": {
        "operations": [
            {"op": "create", "task": {"title": "Buy a watering can"}},
            {"op": "create", "task": {"title": "Repot the ficus", "priority": "low"}},
        ]
    },
    "all or nothing": {
        "operations": [
            {"op": "create", "task": {"title": "Buy a watering can"}},
            {"op": "update", "id": 42, "changes": {"priority": "high"}, "if_version": 7},
            {"op": "complete", "id": 43, "completed": True},
        ]
    },
    "each by itself": {"atomic": False, "operations": [{"op": "delete", "id": 42}, {"op": "restore", "id": 43}]},
}
MISSING = {
    "type": "urn:doable:problem:task_not_found",
    "title": "Task not found",
    "status": 404,
    "detail": "There is no task with this id.",
    "code": "task_not_found",
    "request_id": "3f1c9a5e7b2d4860-2a",
}
RESULTS = {"results": [{"status": 201, "task": EXAMPLE}, {"status": 204}, {"status": 404, "error": MISSING}]}

OPERATIONS: Operations = {
    ("POST", f"{ALL}/batch"): Operation(
        "batchTasks", TAG, "Do many writes at once",
        "Up to 100 operations in at most 1 MiB, done in their order in one transaction; each sees what those before it "
        "did. As it comes a batch is atomic: an operation that fails undoes all, 422, and the problem names it. With "
        '`"atomic": false` the answer is 200, and each operation has its own status, and an `error` where it failed.',
        {200: Answer("What became of each operation, in their order.", batches.TaskBatchResult, RESULTS)},
        (*WITH_BODY, "batch_failed", *KEYED), body=Body(operations.TaskBatch, BATCHES), headers=("Idempotency-Key",),
    ),
}  # fmt: skip
