"""Describe the problems of an operation as OpenAPI responses, with an example of each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from service import errors
from service.database.expected import Expected
from service.web import problems
from service.web.codes import CODES, FRAMEWORK, INTERNAL, PROBLEMS, Problem

REQUEST_ID = "3f1c9a5e7b2d4860-2a"
SAMPLES: Mapping[str, errors.DoableError] = {
    "rate_limited": errors.RateLimitedError(17),
    "task_quota_exceeded": errors.TaskQuotaError(10_000),
    "list_quota_exceeded": errors.ListQuotaError(500),
    "in_trash": errors.UidInTrashError("task"),
    "trash_full": errors.TrashFullError(20_000),
    "idempotency_full": errors.IdempotencyFullError(10_000, 10_485_760),
    "batch_failed": errors.BatchFailedError(1, errors.TaskNotFoundError()),
    "validation_error": errors.InvalidInputError(
        [
            errors.FieldError(
                "title", "must be 1 to 200 characters after trimming white space, at least one of them visible"
            )
        ]
    ),
}
HEADERS = {405: "Allow", 429: "Retry-After", 503: "Retry-After"}
# The problems of requests that match no operation.
ELSEWHERE = ("not_found", "method_not_allowed")


def responses(codes: Iterable[str]) -> dict[str, Any]:
    """Return the OpenAPI responses for the problems `codes`, by status. Each problem of a status has an example."""
    by_status: dict[int, list[Problem]] = defaultdict(list)
    for code in codes:
        by_status[PROBLEMS[code].status].append(PROBLEMS[code])
    return {str(status): _response(found) for status, found in sorted(by_status.items())}


def components(task: object) -> dict[str, Any]:
    """Return an example of each problem, and the responses to requests that match no operation.

    `task` is the example of a task in them.
    """
    mismatch = Expected([6]).mismatch(7, msgspec.json.encode(task).decode())
    samples = {"version_mismatch": mismatch, **SAMPLES}
    return {
        "examples": {
            code: {
                "summary": problem.title,
                "description": problem.when,
                "value": _example(problem, samples.get(problem.code)),
            }
            for code, problem in PROBLEMS.items()
        },
        "responses": {code: _response([PROBLEMS[code]]) for code in ELSEWHERE},
    }


def table() -> str:
    """Return a table of all problems in CommonMark."""
    rows = (f"| {problem.status} | `{problem.code}` | {problem.when} |" for problem in PROBLEMS.values())
    return "\n".join(("| status | code | when |", "|---|---|---|", *rows))


def _response(found: list[Problem]) -> dict[str, Any]:
    headers: dict[str, Any] = {"X-Request-ID": {"$ref": "#/components/headers/X-Request-ID"}}
    if any(problem.challenge for problem in found):
        headers["WWW-Authenticate"] = {"$ref": "#/components/headers/WWW-Authenticate"}
    if name := HEADERS.get(found[0].status):
        headers[name] = {"$ref": f"#/components/headers/{name}"}
    content = {
        "schema": {"$ref": "#/components/schemas/ProblemDetails"},
        "examples": {problem.code: {"$ref": f"#/components/examples/{problem.code}"} for problem in found},
    }
    return {
        "description": " ".join(f"{problem.title}: {problem.when}" if found[1:] else problem.when for problem in found),
        "headers": headers,
        "content": {problems.MEDIA_TYPE: content},
    }


def _example(problem: Problem, sample: errors.DoableError | None) -> Any:  # noqa: ANN401 - any JSON
    body = problems.details(problem, sample.detail if sample else _detail(problem.code), REQUEST_ID, sample)
    return msgspec.json.decode(msgspec.json.encode(body))


def _detail(code: str) -> str:
    sentences = {named: kind.detail for kind, named in CODES.items()}
    sentences |= dict(FRAMEWORK.values())
    return sentences.get(code, INTERNAL)
