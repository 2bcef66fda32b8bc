"""Retry a write safely: all requests with the same `Idempotency-Key` get the response to the first one.

One call of a database function performs the write and stores its result, so a retry finds both or neither. The
response is built from the stored result in the same way each time.
See https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from hashlib import blake2b
from typing import TypeVar

from sanic import HTTPResponse

from service.errors import FieldError, InvalidInputError
from service.idempotency.models import AnswerQuota, Attempt, KeyedScope
from service.web.request import ApiRequest

KEY = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]{0,253}[\x21-\x7e])?")
LARGE = 1024 * 1024  # bytes; a thread hashes larger bodies
KEYS_KEPT = 10_000  # keys of one user within 24 hours
Own = TypeVar("Own")
Keyed = TypeVar("Keyed", bound=KeyedScope)


def once(
    request: ApiRequest, own: Own, keyed: type[Keyed], effect: Callable[[Own | Keyed], Awaitable[HTTPResponse]]
) -> Awaitable[HTTPResponse]:
    """Run `effect` once for each idempotency key. A retry gets the same response again, byte for byte.

    `effect` writes through its argument: `own` if the request has no key, otherwise a `keyed` object, which has the
    same methods. Raises InvalidInputError for an invalid key, and the errors of `KeyedScope`.
    """
    if request.method != "POST" or "idempotency-key" not in request.headers:
        return effect(own)
    return _once(request, keyed, effect)


async def _once(
    request: ApiRequest, keyed: type[Keyed], effect: Callable[[Keyed], Awaitable[HTTPResponse]]
) -> HTTPResponse:  # fmt: skip
    quota = AnswerQuota(KEYS_KEPT, request.settings.idempotency_bytes)
    attempt = Attempt(_route(request), _key(request), await _digest(request), request.request_id, quota)
    caller = request.caller
    writes = keyed(caller.user_id, request.database, attempt, email=caller.email, name=caller.name)
    response = await effect(writes)
    if writes.replayed:
        response.headers["Idempotency-Replayed"] = "true"
    return response


def _key(request: ApiRequest) -> str:
    sent = request.headers.getall("idempotency-key")
    if len(sent) > 1:
        raise InvalidInputError([FieldError("Idempotency-Key", "may be sent only once")])
    if not KEY.fullmatch(sent[0]):
        raise InvalidInputError([FieldError("Idempotency-Key", "must be 1 to 255 printable ASCII characters")])
    return str(sent[0])


def _route(request: ApiRequest) -> str:
    """Return method and path. They are the same for `me` and for the user's id."""
    path = request.template or ""
    for name in ("task_id", "list_id"):
        path = path.replace(f"{{{name}}}", str(request.match_info.get(name)))
    return f"{request.method} {path}"


async def _digest(request: ApiRequest) -> bytes:
    """Hash the query string and the body, to tell two requests with the same key apart."""
    digest = blake2b(request.query_string.encode() + b"\0", digest_size=32)
    if len(request.body) <= LARGE:
        digest.update(request.body)
    else:  # an import: the hash of 32 MiB takes 40 ms, and the thread does not hold the GIL meanwhile
        await asyncio.to_thread(digest.update, request.body)
    return digest.digest()
