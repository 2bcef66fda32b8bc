"""The file formats of the export; the import reads JSON and CSV."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import NamedTuple

from service.transfer.archive import Archive
from service.transfer.formats import document, table, todos


class Format(NamedTuple):
    """A file format: its media type, its file extension, and the function that writes an archive in pieces."""

    media_type: str
    extension: str
    write: Callable[[Archive], AsyncIterator[bytes]]


# The keys are the values of `?format=`. The first format is the default.
FORMATS = {
    "json": Format("application/json", "json", document.write),
    "csv": Format("text/csv", "csv", table.write),
    "ical": Format("text/calendar", "ics", todos.write),
}
