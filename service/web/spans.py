"""A span for each request: what OpenTelemetry is told of it, and what it is not.

It is told the method, the route and the status. It is never told the token, the body, the query, or a path as it was
sent, which may hold anything; nor who it was, unless TRACE_USER_IDS says so.
"""

from __future__ import annotations

from time import perf_counter, time_ns
from typing import Any

from opentelemetry.propagators.textmap import Getter
from opentelemetry.trace import Span, SpanKind, StatusCode
from sanic import Sanic
from sanic.response import BaseHTTPResponse

from service import logs
from service.telemetry import tracing
from service.telemetry.counting import METHODS
from service.web.request import ApiRequest

# Those who ask every few seconds, and whom nobody wants to read about.
UNTRACED = ("/health", "/metrics")
LONGEST = 256  # characters of a header that are kept


class Carrier(Getter[ApiRequest]):
    """Where propagators find what a request's headers say of its trace."""

    def get(self, carrier: ApiRequest, key: str) -> list[str] | None:
        """The values of a header; what is not ASCII is in no propagator's form, and may only raise errors there."""
        return [value for value in carrier.headers.getall(key, ()) if value.isascii()] or None

    def keys(self, carrier: ApiRequest) -> list[str]:
        """The names of all headers."""
        return list(carrier.headers)


CARRIER = Carrier()


def install(app: Sanic[Any, Any]) -> None:
    """Trace the requests of `app`. Call it before any other middleware is registered, so that it sees them all."""
    app.ctx.exporter = tracing.Exporter()
    app.register_middleware(begin, "request")
    app.register_middleware(end, "response")  # responses take the way back, so it comes last
    app.before_server_start(_open)
    app.after_server_stop(_close)


async def _open(app: Sanic[Any, Any]) -> None:
    app.ctx.exporter.open()
    logs.put_before_all(tracing.add_trace_id)


async def _close(app: Sanic[Any, Any]) -> None:
    app.ctx.exporter.close()  # nobody is served any more who could be held up by it


def begin(request: ApiRequest) -> None:
    """Start the request's span, as of when its headers had arrived, in the trace that the caller names if any."""
    template = request.template
    if template is not None and template.startswith(UNTRACED):
        return
    method = request.method if request.method in METHODS else "_OTHER"
    attributes = {
        "http.request.method": method,
        "url.scheme": request.scheme,
        "server.address": _legible(request.server_name),
    }
    if agent := request.headers.getone("user-agent", None):
        attributes["user_agent.original"] = _legible(agent)
    verb = "HTTP" if method == "_OTHER" else method
    name = f"{verb} {template}" if template else verb
    span = tracing.tracer.start_span(
        name, tracing.extract(request, getter=CARRIER), SpanKind.SERVER, attributes, start_time=_arrived(request)
    )
    tracing.current.set(span)
    request.ctx.span = span


def end(request: ApiRequest, response: BaseHTTPResponse) -> None:
    """End the request's span as its answer is about to be sent, and let nothing that follows belong to it."""
    span: Span | None = getattr(request.ctx, "span", None)
    if span is None:
        return
    tracing.current.set(None)
    if span.is_recording():
        _describe(span, request, response.status)
    span.end()


def _describe(span: Span, request: ApiRequest, status: int) -> None:
    attributes: dict[str, str | int] = {"http.response.status_code": status}
    if template := request.template:
        attributes["http.route"] = template
        attributes["url.path"] = _path(request, template)
    if request.identity and request.settings.trace_user_ids:
        attributes["enduser.id"] = request.identity.user_id
    if status >= 500:  # noqa: PLR2004 - an HTTP status; those below are the client's doing, and no failure of ours
        attributes["error.type"] = request.failure or str(status)
        span.set_status(StatusCode.ERROR)
    span.set_attributes(attributes)


def _path(request: ApiRequest, template: str) -> str:
    """The route's template with the ids that were found to be numbers; what else stood there stays unsaid."""
    for name, value in request.match_info.items():
        if isinstance(value, int):
            template = template.replace(f"{{{name}}}", str(value))
    return template


def _arrived(request: ApiRequest) -> int | None:
    """When the request's headers had arrived, in nanoseconds since 1970; None, now, where Sanic has not noted it."""
    began = getattr(request.stream, "perft0", None)
    return None if began is None else time_ns() - int((perf_counter() - began) * 1e9)


def _legible(text: str) -> str:
    """A header's text without what cannot be exported: one lone surrogate would cost its whole batch of spans."""
    return text[:LONGEST].encode("utf-8", "backslashreplace").decode()
