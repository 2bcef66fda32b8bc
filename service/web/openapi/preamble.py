"""The parts of the OpenAPI document that all operations share: description, path parameters, headers, security."""

from __future__ import annotations

from typing import Any

from service import __version__
from service.web.openapi import refusals

DESCRIPTION = f"""
The tasks of many users. Each user sees only their own.

**Authentication.** Send the token of your auth server as `Authorization: Bearer <token>`. In a path, `{{user_id}}` is
the token's own user; `me` stands for it.

**Responses.** Every response has the header `X-Request-ID`. It repeats yours, if you sent one of at most 128 letters,
digits, `.`, `_` and `-`. `HEAD` and `OPTIONS` work wherever `GET` works.

**Values.** Responses contain timestamps in UTC: `2026-12-24T17:00:00.000000Z`. Requests may use any offset; digits
beyond microseconds are cut off. Lengths count Unicode code points after trimming. An unknown field or parameter gets
422, which names it. Fields that only the service sets are ignored in requests, so you may send back a task or list as
you read it.

**Ids.** Tasks and lists have an `id`, which the service assigns, and a `uid`, a UUID that you may choose. Requests
accept either.

**Errors.** Every error is a problem (RFC 9457) in `application/problem+json`. Use its `code` in programs.

<details><summary>All codes</summary>

{refusals.table()}

</details>
"""

INFO = {
    "title": "Doable",
    "summary": "A task backend for your frontend.",
    "description": DESCRIPTION.strip(),
    "version": __version__,
    "license": {"name": "MIT", "identifier": "MIT"},
}

TAGS = [
    {"name": "Tasks", "description": "The tasks of a user."},
    {"name": "Lists", "description": "The lists of a user. A task is in one list, or in the inbox."},
    {"name": "Trash", "description": "The deleted tasks and lists of a user, which can be restored."},
    {"name": "Sync", "description": "The changes of a user's tasks and lists, for a client that keeps a copy."},
    {"name": "User", "description": "All data of a user."},
    {"name": "Export and import", "description": "Export all lists and tasks of a user, and import them."},
    {"name": "Health", "description": "Health checks and metrics. No token needed."},
    {"name": "Documentation", "description": "This documentation. No token needed."},
]

IDENTITY = {"anyOf": [{"type": "integer", "format": "int64", "minimum": 1}, {"type": "string", "format": "uuid"}]}

IN_PATH: dict[str, dict[str, Any]] = {
    "user_id": {
        "description": "The id of the token's own user, or `me`. Any other id gets 403.",
        "schema": {"type": "string", "minLength": 1, "maxLength": 255},
        "example": "me",
    },
    "task_id": {
        "description": "The task's id or uid. A value that can be neither gets 404.",
        "schema": IDENTITY,
        "example": 42,
    },
    "list_id": {
        "description": "The list's id or uid. A value that can be neither gets 404.",
        "schema": IDENTITY,
        "example": "019aceef-9a40-7b52-a1d4-3c8e0f6a7b21",
    },
    "name": {"description": "The file's name.", "schema": {"type": "string"}},
}

READ: dict[str, dict[str, Any]] = {
    "If-Match": {
        "description": "The ETag of the task or list as you read it. If its current ETag is another one, the write "
        "gets 412 and changes nothing. A weak ETag never matches; if a proxy weakens ETags, send `if_version` in the "
        "body instead.",
        "schema": {"type": "string", "pattern": r'^(\*|"[!#-~]*"( *, *"[!#-~]*")*)$'},
    },
    "If-None-Match": {
        "description": "The ETag of a response that you have. If it is still current, the response is 304, without a "
        "body.",
        "schema": {"type": "string"},
    },
}

READ["Idempotency-Key"] = {
    "description": "A key that you choose for this write, 1 to 255 printable ASCII characters. For 24 hours, another "
    "request with the same key and body gets the first response again, with `Idempotency-Replayed: true`, and writes "
    "nothing.",
    "schema": {"type": "string", "pattern": "^[!-~]([ -~]{0,253}[!-~])?$"},
}

HEADERS: dict[str, dict[str, Any]] = {
    "X-Request-ID": {
        "description": "The request's id: the client's own, if it is valid. The service's log entries contain it too.",
        "required": True,
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,128}$"},
    },
    "ETag": {
        "description": "The entity tag (RFC 9110 section 8.8.3). Of one task or list: its version, a dot and the "
        "last eight digits of its uid, in quotes. Of many or of counts: changes with every write that may change them.",
        "required": True,
        "schema": {"type": "string", "pattern": '^"[0-9a-f.-]+"$'},
    },
    "Content-Disposition": {
        "description": "The suggested file name (RFC 6266).",
        "required": True,
        "schema": {"type": "string"},
    },
    "Location": {
        "description": "The path of the new task or list.",
        "required": True,
        "schema": {"type": "string", "format": "uri-reference"},
    },
    "Link": {
        "description": 'The next page, `<…>; rel="next"` (RFC 8288). Missing on the last page.',
        "schema": {"type": "string"},
    },
    "X-Total-Count": {
        "description": "The number of all matching tasks. Sent if `count=true`.",
        "schema": {"type": "integer", "minimum": 0},
    },
    "RateLimit": {
        "description": "The number of remaining requests, and the seconds until more requests are available. Missing "
        "if there is no limit.",
        "schema": {"type": "string"},
    },
    "RateLimit-Policy": {
        "description": "The maximum number of requests per user, and the window in seconds. Missing if there is no "
        "limit.",
        "schema": {"type": "string"},
    },
    "WWW-Authenticate": {
        "description": "How to authenticate (RFC 6750 section 3).",
        "schema": {"type": "string"},
    },
    "Retry-After": {
        "description": "The number of seconds to wait before the next try.",
        "required": True,
        "schema": {"type": "integer", "minimum": 1},
    },
    "Allow": {
        "description": "The methods that this path supports.",
        "required": True,
        "schema": {"type": "string"},
    },
}

SECURITY_SCHEMES = {
    "token": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "The access token that your auth server issues to a signed-in user.",
    },
}
