"""The forms in which all of a user's tasks can be written, and read again."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import NamedTuple

from service.transfer.archive import UserArchive
from service.transfer.formats import document, table, todos


class Format(NamedTuple):
    """One form: its media type, its file's extension, and how an archive is written in it, piece by piece."""

    media_type: str
    extension: str
    write: Callable[[UserArchive], AsyncIterator[bytes]]


# By the names that `?format=` knows; the first one is the default.
FORMATS = {
    "json": Format("application/json", "json", document.write),
    "csv": Format("text/csv", "csv", table.write),
    "ical": Format("text/calendar", "ics", todos.write),
}
