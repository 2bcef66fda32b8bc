"""The gate before every handler, and the finishing touch on every answer."""

from __future__ import annotations

import logging
import re
from time import perf_counter

from sanic import HTTPResponse
from sanic.exceptions import NotFound
from sanic.response import BaseHTTPResponse

from service import logs
from service.auth import RESERVED_SUBJECT, Identity, TokenVerifier
from service.database.expected import MAXIMUM_BIGINT
from service.errors import (
    CredentialsAmbiguousError,
    CredentialsMissingError,
    InvalidTokenError,
    NotTheOwnerError,
    RateLimitedError,
    TaskNotFoundError,
)
from service.telemetry import figures
from service.web import cors, hints, methods, probes
from service.web.limiting import RateLimiter, network_of
from service.web.request import ApiRequest

logger = logging.getLogger("doable.requests")

VARY = "Authorization, Origin"
ADDRESS = 64  # characters of the client's address that are logged; an IPv6 address has up to 45
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})  # RFC 9110 section 9.2.1
TASK_ID = re.compile(r"[1-9][0-9]{0,18}", re.ASCII)


async def authenticate(request: ApiRequest) -> HTTPResponse | None:
    """Let only the owner through, deciding from the token alone; public routes are the exception, and say so.

    A handler behind it gets `task_id` as an integer and never sees the path's user: queries use the token's.
    """
    if request.was_at_gate:
        return None  # Sanic brings a request that it cancelled here again, before it answers 408 or 503
    request.was_at_gate = True
    if cors.is_preflight(request):
        return cors.preflight(request)  # before the path is looked at: a page must be able to read its own 404
    route = request.route or request.find_route()
    if route is None:
        return methods.of_server(request)  # else the answer is a 404 or a 400 already
    if request.path.strip("/").count("/") != route.ctx.depth:
        request.route = None  # the router takes /tasks/summary/1 for /tasks/summary
        raise NotFound
    if route.ctx.public:
        return None
    identity = await identify(request)
    path = request.match_info
    owner = path.pop("user_id", "")
    if owner not in {identity.user_id, RESERVED_SUBJECT}:
        if hints.is_misplaced(owner):
            raise NotFound  # /api/tasks has the form of a path that names a user; its 404 says what is meant
        raise NotTheOwnerError
    if request.app.ctx.user_limiter:
        await _count_request(request, request.app.ctx.user_limiter, identity)
    if "task_id" in path:
        path["task_id"] = task_id(path["task_id"])
    return None


async def identify(request: ApiRequest) -> Identity:
    """Verify who is calling. Raises what `bearer_token` and the verifier do.

    A network that has sent too many bad tokens gets RateLimitedError for further bad ones. Its valid tokens pass:
    others behind the same address must not pay for one client. So each token is verified first. A signature check
    takes less time than reading the request did (21 to 79 µs), and verified tokens are cached.
    """
    verifier: TokenVerifier = request.app.ctx.verifier
    token = bearer_token(request)
    try:
        request.identity = verifier.recall(token) or await verifier.verify(token)
    except InvalidTokenError:
        await _count_failure(request)
        raise
    return request.identity


async def _count_failure(request: ApiRequest) -> None:
    failures: RateLimiter | None = request.app.ctx.failure_limiter
    if failures:
        seen = await failures.hit(network_of(request.client_address))
        if not seen.allowed:
            raise RateLimitedError(seen.resets_in)


async def _count_request(request: ApiRequest, limiter: RateLimiter, identity: Identity) -> None:
    request.allowance = await limiter.hit(identity.user_id)
    if not request.allowance.allowed:
        raise RateLimitedError(request.allowance.resets_in)


def bearer_token(request: ApiRequest) -> str:
    """The one bearer token of the request (RFC 6750 section 2.1; the scheme's case does not matter, RFC 9110 11.1).

    Raises CredentialsMissingError, CredentialsAmbiguousError, or InvalidTokenError for bytes that no token has.
    """
    sent = request.headers.getall("authorization", ())
    if len(sent) > 1:
        raise CredentialsAmbiguousError
    scheme, _, rest = (sent[0] if sent else "").strip(" \t").partition(" ")
    token = rest.strip(" \t")
    if scheme.lower() != "bearer" or not token:
        raise CredentialsMissingError
    if not token.isascii():
        raise InvalidTokenError("not ASCII")
    if " " in token or "\t" in token or "," in token:
        raise CredentialsAmbiguousError
    return token


def task_id(text: str) -> int:
    """The task's id in a path. Raises TaskNotFoundError for what no task can have: it is not there."""
    if not TASK_ID.fullmatch(text) or int(text) > MAXIMUM_BIGINT:
        raise TaskNotFoundError("There is no task with this id; ids are whole numbers, such as 42.")
    return int(text)


async def finish(request: ApiRequest, response: BaseHTTPResponse) -> None:
    """Put on every answer, errors too, what the contract promises of all of them, and log it."""
    headers = response.headers
    headers["X-Request-ID"] = request.request_id
    headers["X-Content-Type-Options"] = "nosniff"
    varies = "Origin"  # caches may share the rest, but not what one origin was granted
    if request.path.startswith("/api/"):
        headers.setdefault("Cache-Control", "private, no-cache")
        varies = VARY
    headers["Vary"] = f"{varies}, {headers['Vary']}" if "Vary" in headers else varies
    if request.allowance:
        # https://datatracker.ietf.org/doc/draft-ietf-httpapi-ratelimit-headers/
        allowance = request.allowance
        headers["RateLimit-Policy"] = f'"user";q={allowance.quota};w={allowance.window}'
        headers["RateLimit"] = f'"user";r={allowance.remains};t={allowance.resets_in}'
    if "origin" in request.headers or not request.head:
        headers.update(cors.headers_for(request))
    if request.identity and response.status < 300 and request.method not in SAFE:  # noqa: PLR2004 - an HTTP status
        request.app.ctx.live.wake(request.identity.user_id)
    if not request.streams:
        conclude(request, response.status)


def conclude(request: ApiRequest, status: int, *, ended: str = "") -> None:
    """Count a request that has ended, and log it; an answer that streams does so itself, when it is over.

    Of what lasts as long as somebody listens, `ended` says why it did not last longer; that is no time to answer in.
    """
    elapsed = _elapsed(request)
    figures.request_ended(request.method, request.template, status, None if ended else elapsed)
    if not probes.is_worth_a_line(request.template, status):
        return
    fields: dict[str, object] = {
        "method": request.method,
        "route": request.template,
        "status": status,
        "duration_ms": elapsed,
        "user_id": request.identity.user_id if request.identity else None,
        "client_address": request.client_address[:ADDRESS],
        "request_id": request.request_id,
    }
    if request.app.ctx.expects_no_proxy and "x-forwarded-for" in request.headers:
        _warn_of_proxy(request)
    if request.failure:
        fields["failure"] = request.failure
    if request.invalid_fields:
        fields["invalid_fields"] = request.invalid_fields
    if ended:
        fields["ended"] = ended
    logs.request_ended(fields)


def _warn_of_proxy(request: ApiRequest) -> None:
    """Warn once that a proxy may stand in front whose X-Forwarded-For is not read."""
    request.app.ctx.expects_no_proxy = False
    logger.warning(
        "X-Forwarded-For is ignored because PROXIES_COUNT is 0. If a proxy of yours sends it, set PROXIES_COUNT to the "
        "number of your proxies; until then all clients share the proxy's address in the log and in AUTH_FAILURE_LIMIT."
    )


def _elapsed(request: ApiRequest) -> float | None:
    started = getattr(request.stream, "perft0", None)
    return None if started is None else round((perf_counter() - started) * 1000, 2)
