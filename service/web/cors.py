"""CORS: allow pages of the configured origins to read responses (https://fetch.spec.whatwg.org/#http-cors-protocol).

A grant is no credential: the page still needs a token.
"""

from __future__ import annotations

import re

from sanic import HTTPResponse

from service.config.origins import AllowList
from service.telemetry.counting import METHODS
from service.web.request import ApiRequest

EXPOSED = (
    "Content-Disposition, ETag, Idempotency-Replayed, Link, Location, RateLimit, RateLimit-Policy, Retry-After, "
    "X-Request-ID, X-Total-Count"
)
# The headers that the API reads, those of tracing in browsers (W3C Trace Context and Baggage, Sentry), and those that
# fetch clients send to bypass stale caches.
ALLOWED = (
    "Authorization, Baggage, Cache-Control, Content-Type, Idempotency-Key, If-Match, If-None-Match, Last-Event-ID, "
    "Pragma, Sentry-Trace, Traceparent, Tracestate, X-Request-ID"
)
METHOD = re.compile(r"[A-Za-z-]{1,32}", re.ASCII)
MAXIMUM_AGE = "7200"  # seconds; Chromium's maximum for the response to a preflight
LINE = re.compile(rb"\r\norigin:[ \t]*([!-~]+)[ \t]*(?=\r\n)", re.IGNORECASE)


def is_preflight(request: ApiRequest) -> bool:
    """Return whether the request is a preflight of a browser. A preflight has no token, and needs none."""
    return (
        request.method == "OPTIONS"
        and "origin" in request.headers
        and "access-control-request-method" in request.headers
    )


def preflight(request: ApiRequest) -> HTTPResponse:
    """Return the response to a preflight. `headers_for` adds the origin if it is allowed.

    The response is the same for every path. It allows any requested method, so that the browser sends the request and
    the page can read its 404 or 405.
    """
    headers = {"Vary": "Access-Control-Request-Method"}
    if _is_allowed(request, request.headers.getall("origin")):
        asked = request.headers["access-control-request-method"]
        known = asked in METHODS or not METHOD.fullmatch(asked)
        headers["Access-Control-Allow-Methods"] = ", ".join(sorted(METHODS) + ([] if known else [asked]))
        headers["Access-Control-Allow-Headers"] = ALLOWED
        headers["Access-Control-Max-Age"] = MAXIMUM_AGE
    return HTTPResponse(status=204, headers=headers)


def headers_for(request: ApiRequest) -> dict[str, str]:
    """Return the headers that allow a page of an allowed origin to read the response; none for any other origin."""
    sent = _sent_origins(request)
    if not sent or not _is_allowed(request, sent):
        return {}
    return {
        "Access-Control-Allow-Origin": sent[0],  # unchanged, because browsers compare it byte by byte
        "Access-Control-Allow-Credentials": "true",
        "Access-Control-Expose-Headers": EXPOSED,
    }


def _sent_origins(request: ApiRequest) -> list[str]:
    """Return the request's Origin headers.

    Sanic's stand-in for an unreadable request has neither head nor headers, so the headers are read from the bytes in
    the connection's buffer. A page must be able to read a 400, 413 or 417 too.
    """
    if request.head or request.stream is None:
        return list(request.headers.getall("origin", ()))
    head = bytes(request.http.recv_buffer).partition(b"\r\n\r\n")[0] + b"\r\n"
    return [origin.decode("ascii") for origin in LINE.findall(head)]


def _is_allowed(request: ApiRequest, sent: list[str]) -> bool:
    allowed: AllowList = request.app.ctx.allowed_origins
    return len(sent) == 1 and allowed.allows(sent[0])
