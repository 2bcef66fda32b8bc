"""Traces: what is being done, handed over to OpenTelemetry, which sends it from a thread of its own.

Nothing imports this module unless tracing is on; it needs the extra `doable[otel]`. What to sample, which headers say
where a trace began, and how the collector is reached, the SDK reads from its own standard variables.
"""

from __future__ import annotations

import logging
from contextvars import ContextVar
from threading import Thread
from time import monotonic

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.propagate import extract
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, format_trace_id

from service import __version__
from service.logs import FIELDS

__all__ = ["Exporter", "add_trace_id", "current", "extract", "tracer"]

logger = logging.getLogger("doable.tracing")

UNNAMED = "unknown_service"  # how the SDK calls a service that OTEL_SERVICE_NAME does not name
FLUSH_WITHIN = 2.0  # seconds that the last spans have when the process stops
QUIET = 60.0  # seconds between two lines about spans that could not be sent

# The span of what is done at this moment. All requests of a connection share one context (Sanic serves them in one
# task), so whoever sets it also clears it.
current: ContextVar[Span | None] = ContextVar("current", default=None)

tracer = trace.get_tracer("doable", __version__)  # it makes nothing but empty spans until an exporter is open


class Exporter:
    """What sends one process's spans."""

    def __init__(self) -> None:
        """Read the SDK's variables, which warns of those that it cannot use. Nothing is started yet."""
        self._sender = OTLPSpanExporter()
        self._provider: TracerProvider | None = None

    def open(self) -> None:
        """Start to send. Call it in the worker: the thread that sends would not survive a fork."""
        resource = Resource.create()
        if str(resource.attributes[SERVICE_NAME]).startswith(UNNAMED):
            resource = resource.merge(Resource({SERVICE_NAME: "doable"}))
        resource = Resource({SERVICE_VERSION: __version__}).merge(resource)
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(self._sender))
        trace.set_tracer_provider(self._provider)
        complaints = logging.getLogger("opentelemetry")
        complaints.handlers[:] = [Complaints()]
        complaints.propagate = False

    def close(self) -> None:
        """Send what is left, and wait for that no longer than FLUSH_WITHIN."""
        if self._provider is not None:
            # The SDK would wait for half a minute, and has no way to say otherwise.
            last = Thread(target=self._provider.shutdown, daemon=True)
            last.start()
            last.join(FLUSH_WITHIN)


class Complaints(logging.Handler):
    """Says in one line a minute at most what OpenTelemetry says in two for each batch that it cannot send."""

    def __init__(self) -> None:
        """Say the first one at once."""
        super().__init__(logging.WARNING)
        self._said_at = float("-inf")

    def emit(self, record: logging.LogRecord) -> None:
        """Log what is wrong, unless something was wrong a moment ago."""
        if monotonic() - self._said_at >= QUIET:
            self._said_at = monotonic()
            logger.warning("traces are not sent as they should be", extra={FIELDS: {"reason": record.getMessage()}})


def add_trace_id(record: logging.LogRecord) -> bool:
    """Let a log record tell of the trace that it belongs to: a filter that lets everything pass."""
    span = current.get()
    if span and getattr(span, "end_time", None) is None:  # what a request has started may live on without it
        trace_id = format_trace_id(span.get_span_context().trace_id)
        setattr(record, FIELDS, {**getattr(record, FIELDS, {}), "trace_id": trace_id})
    return True
