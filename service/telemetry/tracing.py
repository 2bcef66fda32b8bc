"""Send traces with OpenTelemetry, from a thread of its own.

This module needs the extra `doable[otel]`, and is imported only if tracing is on. The SDK reads the sampling, the
propagation headers and the collector's address from its own standard variables.
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
from service.logs.lines import FIELDS

__all__ = ["Exporter", "add_trace_id", "current", "extract", "tracer"]

logger = logging.getLogger("doable.tracing")

UNNAMED = "unknown_service"  # the SDK's name for a service without OTEL_SERVICE_NAME
FLUSH_WITHIN = 2.0  # seconds to send the last spans when the process stops
QUIET = 60.0  # seconds between two log entries about spans that could not be sent

# The current span. All requests of a connection share one context, because Sanic handles them in one task. Therefore
# the code that sets the span must also reset it.
current: ContextVar[Span | None] = ContextVar("current", default=None)

tracer = trace.get_tracer("doable", __version__)  # it creates only empty spans until an exporter is open


class Exporter:
    """The exporter of one process's spans."""

    def __init__(self) -> None:
        """Read the SDK's variables. The SDK logs a warning for each that it cannot use. Start nothing yet."""
        self._sender = OTLPSpanExporter()
        self._provider: TracerProvider | None = None

    def open(self) -> None:
        """Start the thread that sends spans. Call this in the worker, because the thread does not survive a fork."""
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
        """Send the last spans, for at most FLUSH_WITHIN seconds."""
        if self._provider is not None:
            # The SDK itself waits up to 30 seconds, and has no setting for that.
            last = Thread(target=self._provider.shutdown, daemon=True)
            last.start()
            last.join(FLUSH_WITHIN)


class Complaints(logging.Handler):
    """A log handler that passes on at most one of OpenTelemetry's own log entries per minute.

    OpenTelemetry itself logs two entries for each batch that it cannot send.
    """

    def __init__(self) -> None:
        """Log the first entry immediately."""
        super().__init__(logging.WARNING)
        self._said_at = float("-inf")

    def emit(self, record: logging.LogRecord) -> None:
        """Log the reason in `record`, unless an entry was logged in the last minute."""
        if monotonic() - self._said_at >= QUIET:
            self._said_at = monotonic()
            logger.warning("traces could not be sent", extra={FIELDS: {"reason": record.getMessage()}})


def add_trace_id(record: logging.LogRecord) -> bool:
    """Add the id of the current trace to a log record. As a logging filter, it returns True for every record."""
    span = current.get()
    if span and getattr(span, "end_time", None) is None:  # a task that a request started may outlive the request
        trace_id = format_trace_id(span.get_span_context().trace_id)
        setattr(record, FIELDS, {**getattr(record, FIELDS, {}), "trace_id": trace_id})
    return True
