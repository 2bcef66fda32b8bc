"""Writes that are safe to send again: the first answer to an `Idempotency-Key` is the only one.

Effect and answer are kept by one call of a database function, so a retry finds both or neither. What is kept is what
became of the write; the answer is made of it in the same way each time.
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
LARGE = 1024 * 1024  # bytes of a body that is not hashed on the event loop
KEYS_KEPT = 10_000  # of one user, within 24 hours
Own = TypeVar("Own")
Keyed = TypeVar("Keyed", bound=KeyedScope)


def once(
    request: ApiRequest, own: Own, keyed: type[Keyed], effect: Callable[[Own | Keyed], Awaitable[HTTPResponse]]
) -> Awaitable[HTTPResponse]:
    """Return the response of `effect`; to a request that was answered under its key before, the same response again.

    `effect` writes through the object that it is given: the caller's `own`, or for a request with a key a `keyed` one,
    which has the same methods.
    Raises InvalidInputError for a key that cannot be one, and the errors of `KeyedScope`.
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
    """Method and path, the same whether the path says `me` or the user's id."""
    template = request.template or ""
    return f"{request.method} {template.replace('{task_id}', str(request.match_info.get('task_id')))}"


async def _digest(request: ApiRequest) -> bytes:
    """What tells this request from another one under the same key: its query and its body, byte by byte."""
    digest = blake2b(request.query_string.encode() + b"\0", digest_size=32)
    if len(request.body) <= LARGE:
        digest.update(request.body)
    else:  # an import: the hash of 32 MiB takes 40 ms, in which the thread holds no lock
        await asyncio.to_thread(digest.update, request.body)
    return digest.digest()
