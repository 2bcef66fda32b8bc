"""Logging: one JSON object a line for machines, or one short line for people; always to stdout, never a secret."""

from __future__ import annotations

import json
import logging
import sys
from datetime import datetime, timezone

import msgspec

from service.config import Settings

# What a log record may carry beyond its message; `extra={"fields": {...}}` puts it there.
FIELDS = "fields"
ENCODER = msgspec.json.Encoder(enc_hook=str)


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, message, then the record's own fields, then the stack if any."""

    def format(self, record: logging.LogRecord) -> str:
        """Write the record as JSON."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, timezone.utc).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line.update(getattr(record, FIELDS, {}))
        if record.exc_info:
            line["stack"] = self.formatException(record.exc_info)
        try:
            return ENCODER.encode(line).decode()
        except UnicodeEncodeError:  # a lone surrogate in an exception's words, say, which must not cost us the line
            return json.dumps(line, default=str)


class TextFormatter(logging.Formatter):
    """A line for people: time, level, message and `name=value` fields; a stack below it if there is one."""

    def format(self, record: logging.LogRecord) -> str:
        """Write the record as text."""
        fields = getattr(record, FIELDS, {})
        time = datetime.fromtimestamp(record.created).astimezone().strftime("%H:%M:%S")
        line = f"{time} {record.levelname.lower():7} {record.getMessage()}"
        line += "".join(f" {name}={value}" for name, value in fields.items() if value is not None)
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def configure(settings: Settings) -> None:
    """Send every logger of this process to stdout in the configured form."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonFormatter() if settings.log_format == "json" else TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.log_level.upper())
    # Sanic hangs handlers of its own on its loggers; ours says it once, in one form.
    for name in ("sanic.root", "sanic.error", "sanic.access", "sanic.server", "sanic.websockets"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
        logger.setLevel("WARNING")
    for name in ("asyncio", "tortoise", "tortoise.db_client", "aerich", "httpx", "httpcore"):
        logging.getLogger(name).setLevel("WARNING")
