"""The middleware: it authenticates every request, and completes, counts and logs every response."""

from __future__ import annotations

import logging
from time import perf_counter
from typing import Any

from sanic import HTTPResponse
from sanic.exceptions import NotFound
from sanic.response import BaseHTTPResponse

from service import logs
from service.auth import RESERVED_SUBJECT, Identity, TokenVerifier
from service.database.items import Reference, read_reference
from service.errors import (
    CredentialsAmbiguousError,
    CredentialsMissingError,
    DoableError,
    InvalidTokenError,
    KeyUnknownError,
    ListNotFoundError,
    NotTheOwnerError,
    RateLimitedError,
    TaskNotFoundError,
)
from service.telemetry import figures
from service.web import cors, methods, other_paths, probes
from service.web.limiting import RateLimiter, network_of
from service.web.request import ApiRequest

logger = logging.getLogger("doable.requests")

VARY = "Authorization, Origin"
ADDRESS = 64  # maximum characters of a client's address in the log; an IPv6 address has up to 45
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})  # RFC 9110 section 9.2.1


async def authenticate(request: ApiRequest) -> HTTPResponse | None:
    """Refuse requests whose token is not that of the user in the path. Public routes need no token.

    The decision depends on the token alone. Handlers get `task_id` and `list_id` as an id or a uid. They do not get the
    user of the path, because queries use the token's user.
    """
    if request.was_at_gate:
        return None  # Sanic runs the middleware again for a request that it cancelled, before it answers 408 or 503
    request.was_at_gate = True
    if cors.is_preflight(request):
        return cors.preflight(request)  # for any path, because a page must be able to read its 404
    route = request.route or request.find_route()
    if route is None:
        return methods.of_server(request)  # otherwise the response is a 404 or a 400 already
    if request.path.strip("/").count("/") != route.ctx.depth:
        request.route = None  # the router also matches /tasks/summary/1 to /tasks/summary
        raise NotFound
    if route.ctx.public:
        return None
    identity = await identify(request)
    path = request.match_info
    owner = path.pop("user_id", "")
    if owner not in {identity.user_id, RESERVED_SUBJECT}:
        if other_paths.is_misplaced(owner):
            raise NotFound  # /api/tasks has the form of a path with a user id; the 404 names the right path
        raise NotTheOwnerError
    if request.app.ctx.user_limiter:
        await _count_request(request, request.app.ctx.user_limiter, identity)
    _read_references(path)
    return None


def _read_references(path: dict[str, Any]) -> None:
    """Convert the ids in the path. Raises TaskNotFoundError or ListNotFoundError."""
    if "task_id" in path:
        path["task_id"] = reference(path["task_id"], TaskNotFoundError, "task")
    elif "list_id" in path:
        path["list_id"] = reference(path["list_id"], ListNotFoundError, "list")


async def identify(request: ApiRequest) -> Identity:
    """Return the identity of the caller. Raises the errors of `bearer_token` and of the verifier.

    A network that has sent too many bad tokens gets RateLimitedError for further bad ones. Its valid tokens are still
    accepted, because other clients may have the same address. Therefore each token is verified first. A signature check
    takes less time than reading the request (21 to 79 µs), and verified tokens are cached.

    A token of an unknown key counts as a bad one, because any client can invent a key id. If the issuer has published
    the key, the token passes as soon as the issuer can be asked, whatever its network has sent.
    """
    verifier: TokenVerifier = request.app.ctx.verifier
    token = bearer_token(request)
    try:
        request.identity = verifier.recall(token) or await verifier.verify(token)
    except InvalidTokenError:
        await _count_failure(request)
        raise
    except KeyUnknownError as error:
        await _count_failure(request, error.retry_after)
        raise
    return request.identity


async def _count_failure(request: ApiRequest, may_pass_in: int | None = None) -> None:
    """Raise RateLimitedError if the limit is exceeded. The token may be valid in `may_pass_in` seconds; None: never."""
    failures: RateLimiter | None = request.app.ctx.failure_limiter
    if failures:
        seen = await failures.hit(network_of(request.client_address))
        if not seen.allowed:
            raise RateLimitedError(min(seen.resets_in, may_pass_in or seen.resets_in))


async def _count_request(request: ApiRequest, limiter: RateLimiter, identity: Identity) -> None:
    request.allowance = await limiter.hit(identity.user_id)
    if not request.allowance.allowed:
        raise RateLimitedError(request.allowance.resets_in)


def bearer_token(request: ApiRequest) -> str:
    """Return the bearer token of the request (RFC 6750 section 2.1). Ignore the scheme's case (RFC 9110 section 11.1).

    Raises CredentialsMissingError for no token, CredentialsAmbiguousError for several, and InvalidTokenError for a
    token that is not ASCII.
    """
    sent = request.headers.getall("authorization", ())
    if len(sent) > 1:
        raise CredentialsAmbiguousError
    scheme, _, rest = (sent[0] if sent else "").partition(" ")
    token = rest.strip(" \t")
    if scheme.lower() != "bearer" or not token:
        raise CredentialsMissingError
    if not token.isascii():
        raise InvalidTokenError("not ASCII")
    if " " in token or "\t" in token or "," in token:
        raise CredentialsAmbiguousError
    return token


def reference(text: str, absent: type[DoableError], noun: str) -> Reference:
    """Return the id or the uid in a path. Raises an `absent` error for a text that can be neither."""
    try:
        return read_reference(text)
    except ValueError:
        raise absent(f"There is no {noun} with this id; an id is a whole number such as 42, or a uid.") from None


async def finish(request: ApiRequest, response: BaseHTTPResponse) -> None:
    """Add the headers that all responses have, also errors, and log the request."""
    headers = response.headers
    headers["X-Request-ID"] = request.request_id
    headers["X-Content-Type-Options"] = "nosniff"
    varies = "Origin"  # caches may share public responses, but not the CORS headers of another origin
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
    """Count a request, and write its access log entry. A streamed response calls this at its end.

    For an event stream, `ended` is the reason of its end. Its duration is not a response time, so it is not measured.
    """
    elapsed, template = _elapsed(request), request.template
    figures.request_ended(request.method, template, status, None if ended else elapsed)
    if not probes.is_worth_a_line(template, status):
        return
    fields: dict[str, object] = {
        "method": request.method,
        "route": template,
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
    """Warn once that X-Forwarded-For is ignored, although there may be a proxy in front of the service."""
    request.app.ctx.expects_no_proxy = False
    logger.warning(
        "X-Forwarded-For is ignored because PROXIES_COUNT is 0. If your own proxy sends it, set PROXIES_COUNT to the "
        "number of your proxies; until then all clients share the proxy's address in the log and in AUTH_FAILURE_LIMIT."
    )


def _elapsed(request: ApiRequest) -> float | None:
    started = getattr(request.stream, "perft0", None)
    return None if started is None else round((perf_counter() - started) * 1000, 2)
