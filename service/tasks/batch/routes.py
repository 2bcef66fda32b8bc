"""The batch route: up to 100 writes of the caller's tasks and lists in one request, all or none, or each by itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, cast

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType
from sanic import Blueprint, HTTPResponse

from service.database.operations import Operation
from service.errors import DoableError, InvalidInputError
from service.idempotency import replay
from service.tasks.batch import schemas as operations
from service.tasks.batch.schemas import MAXIMUM_OPERATIONS
from service.tasks.batch.writes import Outcome
from service.tasks.caller import quotas_of, tasks_of
from service.tasks.keyed import KeyedTasks
from service.tasks.schemas import EXAMPLE
from service.tasks.writes import UserTasks
from service.web import conditions, responses
from service.web.openapi.shapes import KEYED, WITH_BODY, Answer, Body, Description
from service.web.problems import ProblemDetails, of_operation
from service.web.request import ApiRequest

blueprint: Blueprint = Blueprint("batches", url_prefix="/api/<user_id:str>")

MAXIMUM_BODY = 1024 * 1024  # bytes; a hundred of the longest tasks in any script take 0.9 MB
STATUSES = {
    "create": 201,
    "delete": 204,
    "create_list": 201,
    "delete_list": 204,
}  # of a successful operation; all others have 200

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
    "a list with a task": {
        "operations": [
            {"op": "create_list", "list": {"name": "Garden", "uid": "019aceef-9a40-7b52-a1d4-3c8e0f6a7b21"}},
            {"op": "create", "task": {"title": "Water", "list_id": "019aceef-9a40-7b52-a1d4-3c8e0f6a7b21"}},
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


class BatchOperationResult(Struct, kw_only=True, omit_defaults=True):
    """The result of one operation."""

    status: Annotated[int, Meta(ge=200, le=499, description="The status of the operation as a single request.")]
    task: Annotated[msgspec.Raw, Meta(description="The current task; missing after a deletion.")] | UnsetType = UNSET
    list: Annotated[msgspec.Raw, Meta(description="The current list; missing after a deletion.")] | UnsetType = UNSET
    error: Annotated[ProblemDetails, Meta(description="The error if the operation failed.")] | UnsetType = UNSET


class TaskBatchResult(Struct):
    """The results of the operations, in their order."""

    results: Annotated[list[BatchOperationResult], Meta(min_length=1, max_length=MAXIMUM_OPERATIONS)]


def _batch(name: str) -> Description:
    return Description(
    name, "Tasks", "Perform many writes",
    "Performs up to 100 operations (at most 1 MiB) in their order, in one transaction. Each operation sees the writes "
    "of the earlier ones. By default, a batch is atomic: if an operation fails, all are rolled back, and the response "
    'is 422 and names the operation. With `"atomic": false`, the response is 200, and each operation has its own '
    "status, with an `error` if it failed. `/batch` and `/tasks/batch` do the same.",
    {200: Answer("The result of each operation, in their order.", TaskBatchResult, RESULTS)},
    (*WITH_BODY, "batch_failed", *KEYED), body=Body(operations.TaskBatch, BATCHES), headers=("Idempotency-Key",),
)  # fmt: skip


@blueprint.post("/batch", unquote=True, stream=True, name="batch", ctx_description=_batch("batchWrites"))
@blueprint.post("/tasks/batch", unquote=True, stream=True, ctx_description=_batch("batchTasks"))
async def perform_batch(request: ApiRequest) -> HTTPResponse:
    """Perform many writes."""
    sent, atomic = await operations.read(await _body(request))
    conditions.refuse(request, "an operation of a batch takes 'if_version' instead")
    valid = [operation for operation in sent if isinstance(operation, Operation)]

    async def perform(tasks: UserTasks | KeyedTasks) -> HTTPResponse:
        done = await tasks.perform(valid, atomic=atomic, quotas=quotas_of(request))
        answered = tasks.answered if isinstance(tasks, KeyedTasks) else request.request_id
        return responses.json_value(TaskBatchResult([*_results(sent, iter(done), answered)]))

    return await replay.once(request, tasks_of(request), KeyedTasks, perform)


async def _body(request: ApiRequest) -> bytes:
    """Receive the whole body; the caller's token is already verified. Sanic responds 413 beyond MAXIMUM_BODY."""
    request.http.request_max_size = MAXIMUM_BODY  # Sanic has no limit for a route that reads the body itself
    await request.receive_body()  # type: ignore[no-untyped-call]  # reason: Sanic leaves it untyped
    return request.json_body


def _results(
    sent: list[Operation | InvalidInputError], done: Iterator[Outcome], request_id: str
) -> Iterator[BatchOperationResult]:
    for operation in sent:
        outcome = next(done) if isinstance(operation, Operation) else operation
        if isinstance(outcome, DoableError):
            error = of_operation(outcome, request_id)
            yield BatchOperationResult(status=error.status, error=error)
        else:
            verb = cast("Operation", operation).verb
            status = 200 if outcome.known else STATUSES.get(verb, 200)
            document = UNSET if outcome.document is None else msgspec.Raw(outcome.document.encode())
            if verb.endswith("_list"):
                yield BatchOperationResult(status=status, list=document)
            else:
                yield BatchOperationResult(status=status, task=document)
