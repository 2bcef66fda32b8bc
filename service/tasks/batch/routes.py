"""The route of a batch: up to 100 writes of the caller's tasks in one request, all of them or each by itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, cast

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType
from sanic import Blueprint, HTTPResponse

from service.errors import DoableError, InvalidInputError
from service.idempotency import replay
from service.tasks.batch import schemas as operations
from service.tasks.batch.schemas import MAXIMUM_OPERATIONS
from service.tasks.batch.writes import Operation, Outcome
from service.tasks.keyed import KeyedTasks
from service.tasks.writes import UserTasks
from service.web import conditions, responses
from service.web.problems import ProblemDetails, of_operation
from service.web.request import ApiRequest

blueprint: Blueprint = Blueprint("batches", url_prefix="/api/<user_id:str>/tasks/batch")

MAXIMUM_BODY = 1024 * 1024  # bytes; a hundred of the longest tasks, in whatever script, are 0.9 MB
STATUSES = {"create": 201, "delete": 204}  # of what was done; 200 else


class BatchOperationResult(Struct, kw_only=True, omit_defaults=True):
    """What became of one operation."""

    status: Annotated[int, Meta(ge=200, le=499, description="What the operation would be answered by itself.")]
    task: Annotated[msgspec.Raw, Meta(description="The task as it is now; none after a deletion.")] | UnsetType = UNSET
    error: Annotated[ProblemDetails, Meta(description="Why nothing was done.")] | UnsetType = UNSET


class TaskBatchResult(Struct):
    """What became of the operations, in their order."""

    results: Annotated[list[BatchOperationResult], Meta(min_length=1, max_length=MAXIMUM_OPERATIONS)]


@blueprint.post("/", unquote=True, stream=True)
async def perform_batch(request: ApiRequest) -> HTTPResponse:
    """Do many writes at once."""
    sent, atomic = operations.read(await _body(request))
    conditions.refuse(request, "in a batch an operation takes 'if_version'")
    valid = [operation for operation in sent if isinstance(operation, Operation)]

    async def perform(tasks: UserTasks | KeyedTasks) -> HTTPResponse:
        done = await tasks.perform(valid, atomic=atomic, quotas=request.quotas)
        answered = tasks.answered if isinstance(tasks, KeyedTasks) else request.request_id
        return responses.json_value(TaskBatchResult([*_results(sent, iter(done), answered)]))

    return await replay.once(request, request.tasks, KeyedTasks, perform)


async def _body(request: ApiRequest) -> bytes:
    """The whole body, which only a caller with a token has got to send. Beyond MAXIMUM_BODY Sanic answers 413."""
    request.http.request_max_size = MAXIMUM_BODY  # it is lifted for a route that reads the body itself
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
            status = STATUSES.get(cast("Operation", operation).verb, 200)
            yield BatchOperationResult(status=status, task=UNSET if outcome is None else msgspec.Raw(outcome.encode()))
