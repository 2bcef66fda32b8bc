"""The database client with an OpenTelemetry span for each statement. `connect` uses it if tracing is on."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from time import perf_counter
from typing import Any

from opentelemetry.trace import Span, SpanKind, StatusCode, set_span_in_context

from service.database.client import FairClient
from service.database.fair_queue import Owner
from service.database.handover import Connection, Handover
from service.telemetry import tracing

# The operation of a statement, and its table. `DO UPDATE SET` and `FOR NO KEY UPDATE` are no operations of their own.
WRITES = re.compile(r"\b(INSERT) INTO (\w+)|(?<!DO )(?<!KEY )(?<!FOR )\b(UPDATE) (\w+)|\b(DELETE) FROM (\w+)")
READS = re.compile(r'(?<!epoch )\bFROM "?(\w+)\b(?! ?\()')  # not `extract(epoch FROM …)`, and not a function
CALLS = re.compile(r"SELECT \* FROM (\w+)\(")  # a call of a database function
PARTS = re.compile(r"\b(\w+) AS (?:NOT )?(?:MATERIALIZED )?\(")  # the parts of a WITH, which are no tables


@lru_cache(maxsize=1_000)
def summary(statement: str) -> str:
    """Return a summary of `statement` for the attribute `db.query.summary`: `SELECT tasks`, or `EXECUTE create_task`.

    https://opentelemetry.io/docs/specs/semconv/database/database-spans/#generating-a-summary-of-the-query-text
    """
    plain = " ".join(statement.split())
    if called := CALLS.match(plain):
        return f"EXECUTE {called[1]}"
    written = [" ".join(filter(None, found.groups())) for found in WRITES.finditer(plain)]
    if written:
        return " ".join(written)
    parts = PARTS.findall(plain)
    tables = [table for table in READS.findall(plain) if table not in parts]
    return " ".join(["SELECT", *sorted(set(tables))])


@contextmanager
def spanned(statement: str) -> Iterator[None]:
    """Create a span for a statement, if the current request has a recorded span that has not ended."""
    parent = tracing.current.get()
    if parent is None or not parent.is_recording():
        yield
        return
    name = summary(statement)
    operations = {word for word in name.split() if word.isupper()}
    span = tracing.tracer.start_span(
        name,
        set_span_in_context(parent),
        SpanKind.CLIENT,
        {
            "db.system.name": "postgresql",
            "db.operation.name": operations.pop() if len(operations) == 1 else "WITH",
            "db.query.summary": name,
        },
    )
    token = tracing.current.set(span)
    try:
        yield
    except BaseException as error:
        _fail(span, error)
        raise
    finally:
        tracing.current.reset(token)
        span.end()


def _fail(span: Span, error: BaseException) -> None:
    """Add the kind of the error to the span, but not its message, which may contain the user's data."""
    span.set_status(StatusCode.ERROR)
    span.set_attribute("error.type", getattr(error, "kind", None) or type(error).__name__)
    state = getattr(error.__cause__ or error, "sqlstate", None)
    if isinstance(state, str):
        span.set_attribute("db.response.status_code", state)


class WatchedHandover(Handover):
    """Lends connections, and adds the time of the wait for a connection to the statement's span."""

    async def take(self, owner: Owner) -> Connection:
        """Wait for a connection, as Handover does. Add the time of the wait to the span."""
        began = perf_counter()
        try:
            return await super().take(owner)
        finally:
            if (span := tracing.current.get()) and span.is_recording():
                span.set_attribute("doable.pool.wait_ms", round((perf_counter() - began) * 1000, 3))


class TracedClient(FairClient):
    """A FairClient with a span for each statement of a request."""

    handover_class = WatchedHandover

    async def _run(self, method: str, statement: str, arguments: tuple[object, ...]) -> Any:  # noqa: ANN401 - a row or rows
        """Run a statement, as FairClient does, in a span. The span contains no argument."""
        with spanned(statement):
            return await super()._run(method, statement, arguments)


client_class = TracedClient  # Tortoise looks for this name in the module of an engine
