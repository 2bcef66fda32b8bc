"""Write the live tasks of an archive as iCalendar to-dos: VTODO (RFC 5545)."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import date, datetime

import msgspec

from service.tasks.schemas import Task
from service.transfer.archive import Archive, pages_with_names
from service.transfer.formats.repeating import Repeating, repeating
from service.transfer.formats.timezones import timezone_lines
from service.web.pacing import Pace

PRODUCT = "-//Doable//Tasks//EN"
HEAD = f"BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:{PRODUCT}\r\n".encode()
END = b"END:VCALENDAR\r\n"
PRIORITIES = {"high": 1, "medium": 5, "low": 9}  # section 3.8.1.9
# Text may contain no control character except the tab. A line end is escaped as `\n` (section 3.3.11).
CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
LINE_END = re.compile(r"\r\n?")
LONGEST = 75  # octets of a line without its line end (section 3.1)
CONTINUES = 0b1000_0000  # the first two bits of each byte of a UTF-8 character after its first byte
AT_ONCE = 50  # tasks; the longest take 0.05 ms each


async def write(archive: Archive) -> AsyncIterator[bytes]:
    """Write the calendar in pieces. The first piece follows the first database response.

    Yields to the event loop after each slice of work. Raises UnavailableError, possibly after some of the pieces.
    """
    pace = Pace()
    head = HEAD
    described: set[str] = set()  # time zones
    async for page in pages_with_names(archive.tasks.live()):
        decoded = msgspec.json.decode(f"[{page}]", type=list[tuple[Task, str | None, str | None]])
        for start in range(0, len(decoded), AT_ONCE):
            for task, list_name, parent in decoded[start : start + AT_ONCE]:
                if series := repeating(task):  # it takes several times as long
                    await pace.keep()
                if series and series.zone and series.zone not in described:
                    described.add(series.zone)
                    head += b"".join(map(fold, await asyncio.to_thread(timezone_lines, series.zone)))
                head += todo(task, list_name, parent, series)
            yield head
            head = b""
            await pace.keep()
    yield head + END


def todo(task: Task, list_name: str | None, parent: str | None, series: Repeating | None) -> bytes:
    """Convert a task to a VTODO (section 3.6.2), folded and in UTF-8. `parent` is the uid of its parent.

    With a `series`, the task is its first occurrence. If the task was moved, a second VTODO replaces this occurrence
    (section 3.8.4.4).
    """
    dues = [[*_due(task)]]
    if series and series.rrule is None:
        dues[0].append(f"X-DOABLE-REPEAT:{escape(msgspec.json.encode(series.place.repeat).decode())}")
    elif series:
        moved = [series.slot("RECURRENCE-ID"), *_due(task)]
        dues = [[*series.lines()], moved] if series.place.due != (task.due_date or task.due_at) else [[*series.lines()]]
    return b"".join(fold(line) for due in dues for line in _lines(task, list_name, parent, due))


def _lines(task: Task, list_name: str | None, parent: str | None, due: Sequence[str]) -> Iterator[str]:
    yield "BEGIN:VTODO"
    yield f"UID:{task.uid}"
    yield f"DTSTAMP:{_moment(task.updated_at)}"
    yield f"CREATED:{_moment(task.created_at)}"
    yield f"LAST-MODIFIED:{_moment(task.updated_at)}"
    yield f"SUMMARY:{escape(task.title)}"
    if task.description:
        yield f"DESCRIPTION:{escape(task.description)}"
    yield f"STATUS:{'COMPLETED' if task.completed else 'NEEDS-ACTION'}"
    if task.completed_at:
        yield f"COMPLETED:{_moment(task.completed_at)}"
    yield from due
    if task.priority in PRIORITIES:
        yield f"PRIORITY:{PRIORITIES[task.priority]}"
    if task.tags:
        yield f"CATEGORIES:{','.join(map(escape, task.tags))}"
    if parent:
        yield f"RELATED-TO:{parent}"  # the default relation is PARENT (section 3.8.4.5)
    if list_name:
        yield f"X-DOABLE-LIST:{escape(list_name)}"
    yield "END:VTODO"


def _due(task: Task) -> Iterator[str]:
    if task.due_date:
        yield f"DUE;VALUE=DATE:{_day(task.due_date)}"
    elif task.due_at:
        yield f"DUE:{_moment(task.due_at)}"


def escape(text: str) -> str:
    """Escape `text` as a TEXT value (section 3.3.11). Control characters are not allowed there and become spaces."""
    if not text.isprintable():
        text = CONTROLS.sub(" ", LINE_END.sub("\n", text))
    # The backslash comes first, because the other escapes add backslashes. Four passes are faster than `str.translate`.
    return text.replace("\\", "\\\\").replace(";", "\\;").replace(",", "\\,").replace("\n", "\\n")


def fold(line: str) -> bytes:
    """Encode a content line with its line end; fold it between characters (section 3.1)."""
    octets = line.encode()
    if len(octets) <= LONGEST:
        return octets + b"\r\n"
    parts = []
    start, room = 0, LONGEST
    while len(octets) - start > room:
        end = start + room
        while octets[end] & 0b1100_0000 == CONTINUES:
            end -= 1
        parts.append(octets[start:end])
        start, room = end, LONGEST - 1  # a continuation begins with a space
    parts.append(octets[start:])
    return b"\r\n ".join(parts) + b"\r\n"


def _day(day: date) -> str:
    return f"{day.year:04}{day.month:02}{day.day:02}"


def _moment(moment: datetime) -> str:
    """Format a time in UTC, as all times from the database are (section 3.3.5)."""
    return f"{_day(moment)}T{moment.hour:02}{moment.minute:02}{moment.second:02}Z"
