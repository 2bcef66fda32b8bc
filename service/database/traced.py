"""The database client that also tells OpenTelemetry of each statement; `connect` takes it when tracing is on."""

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

# What a statement does to which table. `DO UPDATE SET` and `FOR NO KEY UPDATE` are parts of something else.
WRITES = re.compile(r"\b(INSERT) INTO (\w+)|(?<!DO )(?<!KEY )(?<!FOR )\b(UPDATE) (\w+)|\b(DELETE) FROM (\w+)")
READS = re.compile(r'(?<!epoch )\bFROM "?(\w+)\b(?! ?\()')  # not from a date or a function
CALLS = re.compile(r"SELECT \* FROM (\w+)\(")  # one of the functions that write
PARTS = re.compile(r"\b(\w+) AS (?:NOT )?(?:MATERIALIZED )?\(")  # of a WITH: these are no tables


@lru_cache(maxsize=1_000)
def summary(statement: str) -> str:
    """What `statement` does, in the form of `db.query.summary`: `SELECT tasks`, or `EXECUTE create_task`.

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
    """Put a span around a statement; only inside a request whose own span is recorded and has not ended."""
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
    """Say what failed, by its kind alone: a driver's words may hold what was to be written."""
    span.set_status(StatusCode.ERROR)
    span.set_attribute("error.type", getattr(error, "kind", None) or type(error).__name__)
    state = getattr(error.__cause__ or error, "sqlstate", None)
    if isinstance(state, str):
        span.set_attribute("db.response.status_code", state)


class WatchedHandover(Handover):
    """Lends connections, and lets a statement's span tell how long it waited for one that was not at hand."""

    async def take(self, owner: Owner) -> Connection:
        """Do as Handover does."""
        began = perf_counter()
        try:
            return await super().take(owner)
        finally:
            if (span := tracing.current.get()) and span.is_recording():
                span.set_attribute("doable.pool.wait_ms", round((perf_counter() - began) * 1000, 3))


class TracedClient(FairClient):
    """Does what FairClient does, with a span around each statement of a request."""

    handover_class = WatchedHandover

    async def _run(self, method: str, statement: str, arguments: tuple[object, ...]) -> Any:  # noqa: ANN401 - a row or rows
        """Run as FairClient does. The span holds no argument."""
        with spanned(statement):
            return await super()._run(method, statement, arguments)


client_class = TracedClient  # the name by which Tortoise finds the client of an engine
