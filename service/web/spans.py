"""Create an OpenTelemetry span for each request.

A span contains the method, the route and the status. It never contains the token, the body, the query string or the raw
path. It contains the user's id only if TRACE_USER_IDS is set.
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

# The routes of probes and scrapers, which send a request every few seconds.
UNTRACED = ("/health", "/metrics")
LONGEST = 256  # maximum characters of a header in a span


class Carrier(Getter[ApiRequest]):
    """Reads the headers of a request for OpenTelemetry's propagators."""

    def get(self, carrier: ApiRequest, key: str) -> list[str] | None:
        """Return the values of a header. Values that are not ASCII are skipped: no propagator uses them."""
        return [value for value in carrier.headers.getall(key, ()) if value.isascii()] or None

    def keys(self, carrier: ApiRequest) -> list[str]:
        """Return the names of all headers."""
        return list(carrier.headers)


CARRIER = Carrier()


def install(app: Sanic[Any, Any]) -> None:
    """Trace the requests of `app`. Call this before other middleware is registered, so that it sees every request."""
    app.ctx.exporter = tracing.Exporter()
    app.register_middleware(begin, "request")
    app.register_middleware(end, "response")  # Sanic runs response middleware in reverse order, so this runs last
    app.before_server_start(_open)
    app.after_server_stop(_close)


async def _open(app: Sanic[Any, Any]) -> None:
    app.ctx.exporter.open()
    logs.put_before_all(tracing.add_trace_id)


async def _close(app: Sanic[Any, Any]) -> None:
    app.ctx.exporter.close()  # this may block, because no requests are left


def begin(request: ApiRequest) -> None:
    """Start the request's span, at the time when its headers arrived, in the trace of the caller if there is one."""
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
    """End the request's span before its response is sent, and reset the current span."""
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
    if status >= 500:  # noqa: PLR2004 - an HTTP status; lower ones are errors of the client
        attributes["error.type"] = request.failure or str(status)
        span.set_status(StatusCode.ERROR)
    span.set_attributes(attributes)


def _path(request: ApiRequest, template: str) -> str:
    """Return the route's template with the numeric ids of the path. Other values could contain personal data."""
    for name, value in request.match_info.items():
        if isinstance(value, int):
            template = template.replace(f"{{{name}}}", str(value))
    return template


def _arrived(request: ApiRequest) -> int | None:
    """Return the time when the request's headers arrived, in nanoseconds since 1970; None if Sanic does not know it."""
    began = getattr(request.stream, "perft0", None)
    return None if began is None else time_ns() - int((perf_counter() - began) * 1e9)


def _legible(text: str) -> str:
    """Return a header's text, shortened, with lone surrogates escaped. One could prevent the export of all spans."""
    return text[:LONGEST].encode("utf-8", "backslashreplace").decode()
