"""Translate every error into a problem response (RFC 9457), from the tables in `service.web.codes`."""

from __future__ import annotations

import logging
import random
import re
from typing import Annotated

import msgspec
from msgspec import UNSET, UnsetType
from sanic import HTTPResponse
from sanic.exceptions import RequestCancelled, SanicException

from service import errors
from service.telemetry import figures
from service.web import other_paths
from service.web.codes import CODES, FRAMEWORK, INTERNAL, PROBLEMS, Problem
from service.web.request import ApiRequest

logger = logging.getLogger("doable.errors")

MEDIA_TYPE = "application/problem+json"
INDEX = re.compile(r"\[\d+\]")  # the index of an item in a field's name, as in tasks[3].title
CLIENT_CLOSED_REQUEST = 499


class InvalidField(msgspec.Struct):
    """One fault of one field, parameter or line of the input."""

    field: Annotated[str, msgspec.Meta(examples=["title"])]
    message: Annotated[str, msgspec.Meta(examples=["is required"])]


class ProblemDetails(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The body of every error: RFC 9457's members, plus `code`, `errors` and `request_id`."""

    type: Annotated[str, msgspec.Meta(description="The code as a URN.")]
    title: Annotated[str, msgspec.Meta(description="A short name of the problem, constant for each code.")]
    status: Annotated[int, msgspec.Meta(ge=400, le=599, description="The HTTP status.")]
    detail: Annotated[str, msgspec.Meta(description="One sentence for people: what is wrong and what to do.")]
    code: Annotated[str, msgspec.Meta(description="The problem's code, for programs. Its meaning never changes.")]
    errors: (
        Annotated[list[InvalidField], msgspec.Meta(min_length=1, description="One entry for each invalid field.")]
        | UnsetType
    ) = UNSET
    current: (
        Annotated[
            msgspec.Raw, msgspec.Meta(description="The current task or list, if it is not at the expected version.")
        ]
        | UnsetType
    ) = UNSET
    successor: (
        Annotated[msgspec.Raw, msgspec.Meta(description="The next task of the series, if it has changed.")] | UnsetType
    ) = UNSET
    index: (
        Annotated[int, msgspec.Meta(ge=0, description="The number of the failed operation in a batch, from 0.")]
        | UnsetType
    ) = UNSET
    error: Annotated[ProblemDetails, msgspec.Meta(description="The problem of the failed operation.")] | UnsetType = (
        UNSET
    )
    request_id: Annotated[
        str, msgspec.Meta(description="The X-Request-ID of this response. The log entries of the request contain it.")
    ]


def details(problem: Problem, detail: str, request_id: str, error: BaseException | None = None) -> ProblemDetails:
    """Return the body for `problem`, with the details in `error`: invalid fields, current item, failed operation."""
    faults = (
        [InvalidField(*fault) for fault in error.messages] if isinstance(error, errors.InvalidInputError) else UNSET
    )
    failed = error if isinstance(error, errors.BatchFailedError) else None
    return ProblemDetails(
        type=f"urn:doable:problem:{problem.code}",
        title=problem.title,
        status=problem.status,
        detail=detail,
        code=problem.code,
        errors=faults,
        current=msgspec.Raw(error.document) if isinstance(error, errors.VersionMismatchError) else UNSET,
        successor=msgspec.Raw(error.document) if isinstance(error, errors.SuccessorChangedError) else UNSET,
        index=failed.index if failed else UNSET,
        error=of_operation(failed.cause, request_id) if failed else UNSET,
        request_id=request_id,
    )


def of_operation(error: errors.DoableError, request_id: str) -> ProblemDetails:
    """Return the problem of one operation of a batch, as the route of that operation would return it."""
    return details(PROBLEMS[CODES[type(error)]], error.detail, request_id, error)


def response(request: ApiRequest, problem: Problem, detail: str, error: BaseException | None = None) -> HTTPResponse:
    """Return the response for `problem`, with the headers that the HTTP standards require."""
    headers = {}
    if problem.challenge:
        headers["WWW-Authenticate"] = problem.challenge
    if problem.status == 503:  # noqa: PLR2004 - an HTTP status
        # A random delay, so that the clients do not all retry in the same second.
        headers["Retry-After"] = str(random.randint(1, 3))  # noqa: S311 - no secret
    if retry_after := getattr(error, "retry_after", None):
        headers["Retry-After"] = str(retry_after)
    if isinstance(error, errors.UnsupportedMediaTypeError):
        headers.update([error.header])
    if problem.status == 405:  # noqa: PLR2004 - an HTTP status
        headers["Allow"] = ", ".join(request.allowed_methods)
    body = msgspec.json.encode(details(problem, detail, request.request_id, error))
    return HTTPResponse(body, problem.status, headers, MEDIA_TYPE)


async def answer(request: ApiRequest, error: BaseException) -> HTTPResponse:
    """Return the problem response for any exception. Log the full cause of errors that the client did not cause."""
    if isinstance(error, errors.DoableError) and type(error) in CODES:
        problem, detail = PROBLEMS[CODES[type(error)]], error.detail
        request.failure = getattr(error, "reason", None) or getattr(error, "kind", None) or problem.code
        request.invalid_fields = _names(error.errors) if isinstance(error, errors.InvalidInputError) else ()
        if problem.code == "rate_limited":
            figures.refused_by_rate("user" if request.identity else "address")
        elif problem.code == "too_many_heavy_requests":
            figures.refused_by_rate("heavy")
    elif isinstance(error, SanicException) and error.status_code in FRAMEWORK:
        code, detail = FRAMEWORK[error.status_code]
        problem = PROBLEMS[code]
        detail = other_paths.for_path(request.path) if code == "not_found" else detail
        request.failure = code
    elif isinstance(error, RequestCancelled):
        request.failure = "client closed the connection"
        return HTTPResponse(status=CLIENT_CLOSED_REQUEST)
    else:
        problem, detail = PROBLEMS["internal_error"], INTERNAL
        request.failure = type(error).__name__
    if problem.status >= 500:  # noqa: PLR2004 - an HTTP status
        level = logging.ERROR if problem.status == 500 else logging.WARNING  # noqa: PLR2004 - an HTTP status
        fields = {"request_id": request.request_id, "kind": request.failure}
        stack = None if request.failure == "keys" else error  # any client can cause it, and it is always the same
        logger.log(level, problem.title, exc_info=stack, extra={"fields": fields})
    return response(request, problem, detail, error)


def _names(faults: list[errors.FieldError]) -> list[str]:
    """Return the names of the invalid fields for the log: each once, without indices, "unknown" for unknown names."""
    return [*dict.fromkeys(INDEX.sub("[]", fault.field) if fault.is_known else "unknown" for fault in faults)]
