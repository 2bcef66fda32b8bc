"""Write the log to stdout: one JSON object per line, or readable text. It never contains secrets."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import logging
import re
import sys
from collections.abc import Callable
from datetime import datetime, timezone
from functools import lru_cache
from typing import TextIO

import msgspec

from service.config import Settings
from service.logs.output import Writer

logger = logging.getLogger("doable.logs")
requests = logging.getLogger("doable.requests")

# The attribute of a log record with its fields. Set it with `extra={"fields": {...}}`.
FIELDS = "fields"
FLUSH_AFTER = 0.1  # seconds
DRAIN_WITHIN = 1.0  # seconds to write the last lines when the process ends
PLAIN = re.compile(r"[^\s\"=\\]+")
ENCODER = msgspec.json.Encoder(enc_hook=str)


class JsonFormatter(logging.Formatter):
    """Formats a record as one line of JSON: time, level, logger, message, the record's fields, and a stack if any."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as JSON."""
        line: dict[str, object] = {
            "time": _moment(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line.update(getattr(record, FIELDS, {}))
        if record.exc_info:
            line["stack"] = self.formatException(record.exc_info)
        return _json(line)


class TextFormatter(logging.Formatter):
    """Formats a record as a line of text: time, level, message and `name=value` fields. A stack follows in new lines.

    The fields are in logfmt: a value is quoted if it is empty or contains white space, quotes, `=` or control
    characters.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as text."""
        fields = {name: value for name, value in getattr(record, FIELDS, {}).items() if value is not None}
        stack = fields.pop("stack", None) or (self.formatException(record.exc_info) if record.exc_info else "")
        time = datetime.fromtimestamp(record.created).astimezone().strftime("%H:%M:%S")
        line = f"{time} {record.levelname.lower():7} {record.getMessage()}"
        line += "".join(f" {name}={_quoted(value)}" for name, value in fields.items())
        return f"{line}\n{stack}".rstrip("\n")


def _quoted(value: object) -> str:
    """Return `value` as text. Quote it as JSON does if a reader could not see its end."""
    text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
    is_printable = text.isprintable()
    return text if is_printable and PLAIN.fullmatch(text) else json.dumps(text, ensure_ascii=not is_printable)


class StdoutHandler(logging.StreamHandler[TextIO]):
    """Collects records, and passes their lines to the writer's thread after FLUSH_AFTER seconds; warnings immediately.

    A system call per line would cost the event loop more than the line itself. Records of requests are formatted when
    they are passed on: a thousand in a row take 2 µs each, single ones between other work 9 µs, because the CPU's
    caches are cold.
    """

    def __init__(self, stream: TextIO) -> None:
        """Write to `stream`: through a thread if it has a file descriptor, otherwise directly."""
        super().__init__(stream)
        self._gathered: list[str | logging.LogRecord] = []
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

    def flush(self) -> None:
        """Pass the collected lines to the writer. Without a writer, raises the stream's OSError and ValueError."""
        gathered, self._gathered = self._gathered, []
        lines = [line if isinstance(line, str) else self.format(line) for line in gathered]
        if self.writer is None:
            self.stream.write(self.terminator.join([*lines, ""]) if lines else "")
            super().flush()
        elif lines:
            self.writer.put(lines)

    def close(self) -> None:
        """Write the remaining lines, for at most DRAIN_WITHIN seconds."""
        if self.writer is not None:
            self.writer.drain(DRAIN_WITHIN)
        super().close()

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
    for handler in logging.getLogger().handlers:
        with contextlib.suppress(OSError, ValueError):  # stdout is broken or closed
            handler.flush()
    for writer in _writers():
        writer.drain(DRAIN_WITHIN)


def end_threads() -> None:
    """Write all lines and end the writer's thread. Call this before a fork."""
    for writer in _writers():
        writer.end(DRAIN_WITHIN)


def _writers() -> list[Writer]:
    handlers = logging.getLogger().handlers
    return [handler.writer for handler in handlers if isinstance(handler, StdoutHandler) and handler.writer]


def request_ended(fields: dict[str, object]) -> None:
    """Write the access log entry of a request. The caller must not change `fields` afterwards."""
    if requests.isEnabledFor(logging.INFO):
        # The same as `requests.info`, in 2 µs instead of 3.5, because every request pays for it.
        record = logging.getLogRecordFactory()(requests.name, logging.INFO, "", 0, "request", (), None)
        record.__dict__[FIELDS] = fields
        requests.handle(record)


def _json(line: dict[str, object]) -> str:
    try:
        return ENCODER.encode(line).decode()
    except UnicodeEncodeError:  # a lone surrogate, for example in an exception's message, must not lose the line
        return json.dumps(line, default=str)


def put_before_all(add: Callable[[logging.LogRecord], bool]) -> None:
    """Add the filter `add` to all handlers, so that it sees every later record."""
    for handler in logging.getLogger().handlers:
        handler.addFilter(add)


def _moment(seconds: float) -> str:
    whole = int(seconds)
    return f"{_second(whole)}.{int((seconds - whole) * 1000):03}+00:00"


@lru_cache(maxsize=4)
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S")


def configure(settings: Settings) -> None:
    """Send the records of all loggers to stdout, in the configured format."""
    handler = StdoutHandler(sys.stdout)
    handler.setFormatter(JsonFormatter() if settings.log_format == "json" else TextFormatter())
    # Do not collect data that no line contains: https://docs.python.org/3/howto/logging.html#optimization
    logging._srcfile = None  # noqa: SLF001 - the documented switch for the caller's position
    for switch in ("logThreads", "logProcesses", "logMultiprocessing", "logAsyncioTasks"):  # the last is of Python 3.12
        setattr(logging, switch, False)
    root = logging.getLogger()
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
