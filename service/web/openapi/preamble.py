"""What the description says once: the preamble, the path's parameters and the headers of answers."""

from __future__ import annotations

from typing import Any

from service import __version__
from service.web.openapi import refusals

DESCRIPTION = f"""
Tasks of many users, each of whom sees only their own.

**Who you are.** Send the token of your auth server as `Authorization: Bearer <token>`. In a path, `{{user_id}}` is the
token's own user; `me` stands for it.

**Every answer** carries `X-Request-ID`: yours, if you sent one of at most 128 letters, digits, `.`, `_` and `-`.
`HEAD` and `OPTIONS` work wherever `GET` does. Moments leave in UTC, `2026-12-24T17:00:00.000000Z`, and enter with any
offset; finer than microseconds is cut off. Lengths count Unicode code points after trimming. A field or parameter that
is not known is refused by name; fields that only the service sets are ignored in requests, so you may send back what
you read.

**Every error** is a problem (RFC 9457) in `application/problem+json`. Decide by its `code`.

<details><summary>All codes</summary>

{refusals.table()}

</details>
"""

INFO = {
    "title": "Doable",
    "summary": "The task backend that a frontend plugs in.",
    "description": DESCRIPTION.strip(),
    "version": __version__,
    "license": {"name": "MIT", "identifier": "MIT"},
}

TAGS = [
    {"name": "tasks", "description": "What a user has to do."},
    {"name": "trash", "description": "What was deleted, and can still come back."},
    {"name": "user", "description": "All that is a user's, at once."},
    {"name": "export and import", "description": "Everything of a user, taken out and put in."},
    {"name": "health", "description": "For balancers and platforms; no token needed."},
    {"name": "documentation", "description": "This description; no token needed."},
]

IN_PATH: dict[str, dict[str, Any]] = {
    "user_id": {
        "description": "The token's own user, or `me`. Any other is answered 403.",
        "schema": {"type": "string", "minLength": 1, "maxLength": 255},
        "example": "me",
    },
    "task_id": {
        "description": "The task's id. What cannot be an id is answered as a task that does not exist.",
        "schema": {"type": "integer", "format": "int64", "minimum": 1},
        "example": 42,
    },
    "name": {"description": "The file's name.", "schema": {"type": "string"}, "example": "start.js"},
}

READ: dict[str, dict[str, Any]] = {
    "If-Match": {
        "description": "The ETag of the task as you know it. If the task has another by now, nothing is written: 412. "
        "A weak ETag never matches; where a proxy weakens them send `if_version` in the body.",
        "schema": {"type": "string", "pattern": r'^(\*|"[!#-~]*"( *, *"[!#-~]*")*)$'},
        "example": '"7"',
    },
    "If-None-Match": {
        "description": "The ETag of the answer that you have. If it still holds, the answer is 304, without a body.",
        "schema": {"type": "string"},
        "example": '"7"',
    },
}

READ["Idempotency-Key"] = {
    "description": "A word of your own for this write, 1 to 255 printable ASCII characters. For 24 hours the same key "
    "and body get the first answer again, with `Idempotency-Replayed: true`, and nothing is written twice.",
    "schema": {"type": "string", "pattern": "^[!-~]([ -~]{0,253}[!-~])?$"},
}

HEADERS: dict[str, dict[str, Any]] = {
    "X-Request-ID": {
        "description": "The request's id, in the service's log too: the client's own, if it is fit for that.",
        "required": True,
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,128}$"},
    },
    "ETag": {
        "description": "Of one task: its version in quotes. Of a list or counts: changes whenever they may "
        "(RFC 9110 section 8.8.3).",
        "required": True,
        "schema": {"type": "string", "pattern": '^"[0-9a-f.-]+"$'},
    },
    "Content-Disposition": {
        "description": "A name for the file (RFC 6266).",
        "required": True,
        "schema": {"type": "string"},
    },
    "Location": {
        "description": "The path of the new task.",
        "required": True,
        "schema": {"type": "string", "format": "uri-reference"},
    },
    "Link": {
        "description": 'The next page, `<…>; rel="next"` (RFC 8288). Left out on the last one.',
        "schema": {"type": "string"},
    },
    "X-Total-Count": {
        "description": "How many tasks match in all. Sent for `count=true`.",
        "schema": {"type": "integer", "minimum": 0},
    },
    "RateLimit": {
        "description": "How many requests are left, and for how many seconds. Not sent where there is no limit.",
        "schema": {"type": "string"},
    },
    "RateLimit-Policy": {
        "description": "How many requests a user may make in how many seconds. Not sent where there is no limit.",
        "schema": {"type": "string"},
    },
    "WWW-Authenticate": {
        "description": "How to authenticate (RFC 6750 section 3).",
        "schema": {"type": "string"},
    },
    "Retry-After": {
        "description": "After how many seconds to try again.",
        "required": True,
        "schema": {"type": "integer", "minimum": 1},
    },
    "Allow": {
        "description": "The methods that this path takes.",
        "required": True,
        "schema": {"type": "string"},
    },
}

SECURITY_SCHEMES = {
    "token": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "The token that your auth server gives a signed-in user.",
    },
}
