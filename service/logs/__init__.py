"""Write the log to stdout: one JSON object per line, or readable text. It never contains secrets."""

from __future__ import annotations

import asyncio
import contextlib
import io
import logging
import sys
from collections.abc import Callable
from time import time
from typing import TextIO

from service.config import Settings
from service.logs.lines import FIELDS, Entry, JsonFormatter, LineFormatter, TextFormatter
from service.logs.output import Writer

root, service = logging.getLogger(), logging.getLogger("doable")
logger = logging.getLogger("doable.logs")
requests = logging.getLogger("doable.requests")

FLUSH_AFTER = 0.1  # seconds
DRAIN_WITHIN = 1.0  # seconds to write the last lines when the process ends
CALL_HANDLERS = logging.Logger.callHandlers


class StdoutHandler(logging.StreamHandler[TextIO]):
    """Collects records, and passes their lines to the writer's thread after FLUSH_AFTER seconds; warnings immediately.

    A system call per line would cost the event loop more than the line itself. Entries of requests are formatted when
    they are passed on: a thousand in a row take 2 µs each, single ones between other work 9 µs, because the CPU's
    caches are cold.
    """

    def __init__(self, stream: TextIO) -> None:
        """Write to `stream`: through a thread if it has a file descriptor, otherwise directly."""
        super().__init__(stream)
        self._gathered: list[str | Entry | logging.LogRecord] = []
        self._due: asyncio.TimerHandle | None = None
        self.writer: Writer | None = None
        with contextlib.suppress(AttributeError, io.UnsupportedOperation):  # a stream in memory, which is never full
            self.writer = Writer(stream.fileno(), self._report, stream.encoding)

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record."""
        try:
            # The arguments of other records may change after the call.
            self._gathered.append(record if record.name == requests.name else self.format(record))
            if record.levelno >= logging.WARNING:
                self.flush()
            elif self._due is None:
                self._flush_later()
        except Exception:  # noqa: BLE001 - logging must not fail a request; this is how the base class does it
            self.handleError(record)

    def add(self, entry: Entry) -> None:
        """Write an entry of a level below WARNING."""
        self._gathered.append(entry)
        if self._due is None:
            self._flush_later()

    def flush(self) -> None:
        """Pass the collected lines to the writer. Without a writer, raises the stream's OSError and ValueError."""
        self.acquire()
        try:
            # `add` takes no lock. So the list stays the same object, and loses only what was copied.
            gathered = self._gathered[:]
            del self._gathered[: len(gathered)]
            lines = [one if isinstance(one, str) else self._line(one) for one in gathered]
            if self.writer is None:
                self.stream.write(self.terminator.join([*lines, ""]) if lines else "")
                super().flush()
            elif lines:
                self.writer.put(lines)
        finally:
            self.release()

    def close(self) -> None:
        """Write the remaining lines, for at most DRAIN_WITHIN seconds."""
        if self.writer is not None:
            self.writer.drain(DRAIN_WITHIN)
        super().close()

    def _line(self, one: Entry | logging.LogRecord) -> str:
        if isinstance(one, logging.LogRecord):
            return self.format(one)
        # The formatter may have been replaced since the entry was added.
        return self.formatter.line(one) if isinstance(self.formatter, LineFormatter) else self.format(_record(one))

    def _report(self, dropped: int) -> str:
        fields = {FIELDS: {"dropped": dropped}}
        return self.format(logger.makeRecord(
            logger.name, logging.WARNING, "", 0, "log lines dropped, stdout was not read", (), None, extra=fields
        ))  # fmt: skip

    def _flush_later(self) -> None:
        try:
            self._due = asyncio.get_running_loop().call_later(FLUSH_AFTER, self._flush)
        except RuntimeError:  # this thread has no running event loop
            self._flush()

    def _flush(self) -> None:
        self._due = None
        try:
            self.flush()
        except (OSError, ValueError):  # stdout is broken or closed; report it on stderr, as the base class does
            self.handleError(logging.makeLogRecord({"msg": "lines were lost"}))


def dropped() -> int:
    """Return the number of lines that this process has dropped because stdout was not read."""
    return sum(writer.dropped for writer in _writers())


def drain() -> None:
    """Write all collected lines, for at most DRAIN_WITHIN seconds."""
    for handler in root.handlers:
        with contextlib.suppress(OSError, ValueError):  # stdout is broken or closed
            handler.flush()
    for writer in _writers():
        writer.drain(DRAIN_WITHIN)


def end_threads() -> None:
    """Write all lines and end the writer's thread. Call this before a fork."""
    for writer in _writers():
        writer.end(DRAIN_WITHIN)


def _writers() -> list[Writer]:
    return [handler.writer for handler in root.handlers if isinstance(handler, StdoutHandler) and handler.writer]


def request_ended(fields: dict[str, object]) -> None:
    """Write the access log entry of a request. The caller must not change `fields` afterwards.

    Every request pays for this. A record takes 22,000 instructions and an entry 3,000, so a record is created only if
    anything other than our own handler could see it.
    """
    if not requests.isEnabledFor(logging.INFO):
        return
    entry = Entry(time(), "info", requests.name, "request", fields)
    handler = _sole_handler()
    if handler is None:
        requests.handle(_record(entry))
    else:
        handler.add(entry)


def _sole_handler() -> StdoutHandler | None:
    """Return our handler if nothing else sees or changes the records of requests, otherwise None.

    Other libraries add handlers or filters, set a record factory, or replace `callHandlers`, as Sentry's does.
    """
    if (
        len(root.handlers) != 1
        or service.handlers
        or requests.handlers
        or requests.filters
        or not (service.propagate and requests.propagate)
        or logging.Logger.callHandlers is not CALL_HANDLERS
        or logging.getLogRecordFactory() is not logging.LogRecord
    ):
        return None
    handler = root.handlers[0]
    if isinstance(handler, StdoutHandler) and not handler.filters and handler.level <= logging.INFO:
        return handler
    return None


def _record(entry: Entry) -> logging.LogRecord:
    """Return the record that `requests.info` would create."""
    record = logging.getLogRecordFactory()(entry.logger, logging.INFO, "", 0, entry.message, (), None)
    record.__dict__[FIELDS] = entry.fields
    return record


def put_before_all(add: Callable[[logging.LogRecord], bool]) -> None:
    """Add the filter `add` to all handlers, so that it sees every later record."""
    for handler in root.handlers:
        handler.addFilter(add)


def configure(settings: Settings) -> None:
    """Send the records of all loggers to stdout, in the configured format."""
    handler = StdoutHandler(sys.stdout)
    handler.setFormatter(JsonFormatter() if settings.log_format == "json" else TextFormatter())
    # Do not collect data that no line contains: https://docs.python.org/3/howto/logging.html#optimization
    logging._srcfile = None  # noqa: SLF001 - the documented switch for the caller's position
    for switch in ("logThreads", "logProcesses", "logMultiprocessing", "logAsyncioTasks"):  # the last is of Python 3.12
        setattr(logging, switch, False)
    root.handlers[:] = [*(one for one in root.handlers if not isinstance(one, StdoutHandler)), handler]
    root.setLevel(settings.log_level.upper())
    # Remove Sanic's own handlers, so that each entry is written once and in one format.
    for name in ("sanic.root", "sanic.error", "sanic.access", "sanic.server", "sanic.websockets"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
        logger.setLevel("WARNING")
    for name in ("asyncio", "tortoise", "tortoise.db_client", "aerich", "httpx", "httpcore"):
        logging.getLogger(name).setLevel("WARNING")
