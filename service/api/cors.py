"""Which browsers' pages may call us: an allow-list of origins (https://fetch.spec.whatwg.org/#http-cors-protocol)."""

from __future__ import annotations

from sanic import HTTPResponse

from service.api.requests import ApiRequest

EXPOSED = (
    "ETag, Link, Location, Retry-After, X-Request-ID, X-Total-Count, RateLimit, RateLimit-Policy, Idempotency-Replayed"
)
ALLOWED = "Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, Last-Event-ID, X-Request-ID"
MAXIMUM_AGE = "7200"  # seconds; no browser keeps a preflight's answer for longer


def is_preflight(request: ApiRequest) -> bool:
    """Whether a browser asks if a page may send a request; it sends no token along, and needs none."""
    return (
        request.method == "OPTIONS"
        and "origin" in request.headers
        and "access-control-request-method" in request.headers
    )


def preflight(request: ApiRequest) -> HTTPResponse:
    """Answer a preflight. To an origin that is not on the list it grants nothing, and the browser stops there."""
    if request.headers["origin"] not in request.settings.cors_origins:
        return HTTPResponse(status=204)
    return HTTPResponse(
        status=204,
        headers={
            "Access-Control-Allow-Methods": ", ".join(request.allowed_methods),
            "Access-Control-Allow-Headers": ALLOWED,
            "Access-Control-Max-Age": MAXIMUM_AGE,
        },
    )


def headers_for(request: ApiRequest) -> dict[str, str]:
    """The headers that let an allowed origin's page read this answer; none for any other."""
    origin = request.headers.getone("origin", None)
    if origin is None or origin not in request.settings.cors_origins:
        return {}
    return {
        "Access-Control-Allow-Origin": origin,
        "Access-Control-Allow-Credentials": "true",
        "Access-Control-Expose-Headers": EXPOSED,
    }
