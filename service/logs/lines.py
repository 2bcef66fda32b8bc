"""The lines of the log: JSON for machines, and text for people."""

from __future__ import annotations

import json
import logging
import re
from datetime import datetime, timezone
from functools import lru_cache
from typing import NamedTuple

import msgspec

# The attribute of a log record with its fields. Set it with `extra={"fields": {...}}`.
FIELDS = "fields"
PLAIN = re.compile(r"[^\s\"=\\]+")
ENCODER = msgspec.json.Encoder(enc_hook=str)


class Entry(NamedTuple):
    """The parts of a log line. `created` is in seconds since the epoch."""

    created: float
    level: str
    logger: str
    message: str
    fields: dict[str, object]
    stack: str = ""


class LineFormatter(logging.Formatter):
    """Formats records and entries in the same way."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as a line."""
        stack = self.formatException(record.exc_info) if record.exc_info else ""
        fields = getattr(record, FIELDS, {})
        level, message = record.levelname.lower(), record.getMessage()
        return self.line(Entry(record.created, level, record.name, message, fields, stack))

    def line(self, entry: Entry) -> str:
        """Return the entry as a line."""
        raise NotImplementedError


class JsonFormatter(LineFormatter):
    """Formats an entry as one line of JSON: time, level, logger, message, the entry's fields, and a stack if any."""

    def line(self, entry: Entry) -> str:
        """Return the entry as JSON."""
        created, level, name, message, fields, stack = entry
        line: dict[str, object] = {
            "time": _moment(created), "level": level, "logger": name, "message": message, **fields
        }  # fmt: skip
        if stack:
            line["stack"] = stack
        return _json(line)


class TextFormatter(LineFormatter):
    """Formats an entry as a line of text: time, level, message and `name=value` fields. A stack follows in new lines.

    The fields are in logfmt: a value is quoted if it is empty or contains white space, quotes, `=` or control
    characters.
    """

    def line(self, entry: Entry) -> str:
        """Return the entry as text."""
        fields = {name: value for name, value in entry.fields.items() if value is not None}
        stack = fields.pop("stack", None) or entry.stack
        moment = datetime.fromtimestamp(entry.created).astimezone().strftime("%H:%M:%S")
        line = f"{moment} {entry.level:7} {entry.message}"
        line += "".join(f" {name}={_quoted(value)}" for name, value in fields.items())
        return f"{line}\n{stack}".rstrip("\n")


def _quoted(value: object) -> str:
    """Return `value` as text. Quote it as JSON does if a reader could not see its end."""
    text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
    is_printable = text.isprintable()
    return text if is_printable and PLAIN.fullmatch(text) else json.dumps(text, ensure_ascii=not is_printable)


def _json(line: dict[str, object]) -> str:
    try:
        return ENCODER.encode(line).decode()
    except UnicodeEncodeError:  # a lone surrogate, for example in an exception's message, must not lose the line
        return json.dumps(line, default=str)


def _moment(seconds: float) -> str:
    whole = int(seconds)
    return f"{_second(whole)}.{int((seconds - whole) * 1000):03}+00:00"


@lru_cache(maxsize=4)
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S")
