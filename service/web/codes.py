"""The codes of all problems: the status, title and meaning of each, and the errors that it stands for."""

from __future__ import annotations

from typing import NamedTuple

from service import errors
from service.web import other_paths


class Problem(NamedTuple):
    """One kind of error: its stable code, its status, its title, and when it occurs (for the documentation)."""

    code: str
    status: int
    title: str
    when: str
    challenge: str | None = None  # RFC 6750 section 3


PROBLEMS = {
    problem.code: problem
    for problem in (
        Problem("malformed_json", 400, "Malformed JSON", "The body is not JSON, not UTF-8, or nested too deeply."),
        Problem("bad_request", 400, "Bad request", "The request violates the rules of HTTP."),
        Problem(
            "invalid_request", 400, "Ambiguous credentials",
            "The request contains more than one access token.",
            'Bearer error="invalid_request"',
        ),
        Problem(
            "authentication_required", 401, "Authentication required",
            "The request contains no bearer token.",
            "Bearer",
        ),
        Problem(
            "invalid_token", 401, "Invalid token",
            "The token is expired, not signed by a trusted key, or invalid in another way.",
            'Bearer error="invalid_token"',
        ),
        Problem("forbidden", 403, "Forbidden", "The path names another user than the token."),
        Problem("not_found", 404, "Not found", "There is no such route."),
        Problem("task_not_found", 404, "Task not found", "You have no task with this id."),
        Problem("list_not_found", 404, "List not found", "You have no list with this id."),
        Problem("method_not_allowed", 405, "Method not allowed", "The route does not support this method; see Allow."),
        Problem("request_timeout", 408, "Request timeout", "The request took too long to arrive."),
        Problem("task_quota_exceeded", 409, "Task quota exceeded", "You have the maximum number of live tasks."),
        Problem("list_quota_exceeded", 409, "List quota exceeded", "You have the maximum number of live lists."),
        Problem("in_trash", 409, "In the trash", "A task or list in the trash has the uid of the new one."),
        Problem(
            "trash_full", 409, "Trash full",
            "The tasks and lists do not fit into your trash; empty it or restore some from it.",
        ),
        Problem("successor_changed", 409, "Successor changed",
                "The next task of the series, `successor`, has changed, so this one cannot be reopened."),
        Problem("nothing_to_skip", 409, "Nothing to skip",
                "The task does not repeat, is completed, or is the last occurrence."),
        Problem(
            "idempotency_full", 409, "Too many stored responses",
            "The limit of stored responses to your Idempotency-Keys is reached; send the request without a key, or "
            "later.",
        ),
        Problem(
            "request_in_progress", 409, "Request in progress",
            "A request with the same Idempotency-Key is still running; retry after Retry-After.",
        ),
        Problem(
            "sync_position_gone", 410, "Sync position gone",
            "The changes since this position are no longer known; start a full sync with since=0.",
        ),
        Problem(
            "version_mismatch", 412, "Version mismatch",
            "The task or list is not at the version in If-Match or `if_version`, or it is at the version in "
            "If-None-Match; `current` is the current one.",
        ),
        Problem(
            "payload_too_large", 413, "Payload too large",
            "The body is over 64 KiB (a batch: 1 MiB, an import: 32 MiB), or the headers over 8 KiB.",
        ),
        Problem(
            "unsupported_media_type", 415, "Unsupported media type",
            "The body's media type, charset or Content-Encoding is not supported; `detail` names it.",
        ),
        Problem(
            "expectation_failed", 417, "Expectation failed",
            "The Expect header contains something other than 100-continue.",
        ),
        Problem("validation_error", 422, "Invalid input", "A field or parameter is invalid; `errors` names each."),
        Problem(
            "batch_failed", 422, "Batch failed",
            "An operation of an atomic batch failed, so none took effect; `index` names it, and `error` contains the "
            "reason.",
        ),
        Problem(
            "idempotency_key_reused", 422, "Idempotency key reused",
            "The Idempotency-Key was used before with another body or query.",
        ),
        Problem(
            "rate_limited", 429, "Too many requests",
            "You or your address sent too many requests; retry after Retry-After.",
        ),
        Problem(
            "too_many_streams", 429, "Too many event streams",
            "You, or all users together, have the maximum number of open event streams.",
        ),
        Problem(
            "too_many_heavy_requests", 429, "Too many heavy requests",
            "Your lists without `limit`, counts, searches, exports or imports waited too long for each other; send "
            "fewer at the same time, and retry after Retry-After.",
        ),
        Problem("internal_error", 500, "Internal error", "A bug in the service; report the request_id."),
        Problem(
            "service_unavailable", 503, "Service unavailable",
            "The service or one of its dependencies is temporarily unavailable; retry after Retry-After.",
        ),
    )
}  # fmt: skip

# The code of each domain error.
CODES: dict[type[errors.DoableError], str] = {
    errors.UnsupportedMediaTypeError: "unsupported_media_type",
    errors.MalformedInputError: "malformed_json",
    errors.CredentialsAmbiguousError: "invalid_request",
    errors.CredentialsMissingError: "authentication_required",
    errors.InvalidTokenError: "invalid_token",
    errors.NotTheOwnerError: "forbidden",
    errors.TaskNotFoundError: "task_not_found",
    errors.ListNotFoundError: "list_not_found",
    errors.TaskQuotaError: "task_quota_exceeded",
    errors.ListQuotaError: "list_quota_exceeded",
    errors.UidInTrashError: "in_trash",
    errors.TrashFullError: "trash_full",
    errors.SuccessorChangedError: "successor_changed",
    errors.NothingToSkipError: "nothing_to_skip",
    errors.IdempotencyFullError: "idempotency_full",
    errors.SyncPositionGoneError: "sync_position_gone",
    errors.TooManyStreamsError: "too_many_streams",
    errors.TooManyHeavyRequestsError: "too_many_heavy_requests",
    errors.VersionMismatchError: "version_mismatch",
    errors.RateLimitedError: "rate_limited",
    errors.RequestInProgressError: "request_in_progress",
    errors.IdempotencyKeyReusedError: "idempotency_key_reused",
    errors.BatchFailedError: "batch_failed",
    errors.InvalidInputError: "validation_error",
    errors.UnavailableError: "service_unavailable",
    errors.KeyUnknownError: "service_unavailable",
}

# Code and detail of the errors that Sanic raises, by status. Sanic's own messages may quote the request.
FRAMEWORK = {
    400: ("bad_request", "The request is not valid HTTP/1.1, or its framing is ambiguous."),
    404: ("not_found", other_paths.NO_ROUTE),
    405: ("method_not_allowed", "This route does not support this method; see the Allow header."),
    408: ("request_timeout", "The request took too long to arrive; try again."),
    413: (
        "payload_too_large",
        (
            "The request is too large; the maximum is 64 KiB for a body (a batch: 1 MiB, an import: 32 MiB), 8 KiB for "
            "all headers together, and 7,000 characters for an access token."
        ),
    ),
    417: ("expectation_failed", "The only supported expectation is 'Expect: 100-continue'."),
    503: ("service_unavailable", errors.UnavailableError.detail),
}
INTERNAL = "The service failed because of a bug; report the request_id."
