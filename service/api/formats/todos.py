"""Live tasks as the to-dos of a calendar: iCalendar's VTODO (RFC 5545)."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from hashlib import blake2b

import msgspec

from service.api.schemas import Task
from service.models import UserArchive

PRODUCT = "-//Doable//Tasks//EN"
END = b"END:VCALENDAR\r\n"
PRIORITIES = {"high": 1, "medium": 5, "low": 9}  # RFC 5545 section 3.8.1.9
# Text may hold no control characters but the tab; a line's end is written in an escape of its own (section 3.3.11).
CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
LINE_END = re.compile(r"\r\n?")
AT_ONCE = 10  # tasks; the library takes 0.3 ms for each, and 0.8 ms for the longest (docs/decisions)


async def write(archive: UserArchive) -> AsyncIterator[bytes]:
    """The calendar in pieces, none before the database has answered. Raises UnavailableError, at any piece."""
    from icalendar import Calendar  # noqa: PLC0415 - 32 ms of every start, and few ever ask for a calendar

    calendar = Calendar()
    calendar.add("version", "2.0")
    calendar.add("prodid", PRODUCT)
    head = calendar.to_ical().removesuffix(END)
    owner = blake2b(archive.user_id.encode(), digest_size=8).hexdigest()
    async for page in archive.pages(trash=False):
        tasks = msgspec.json.decode(f"[{page}]", type=list[Task])
        for start in range(0, len(tasks), AT_ONCE):
            yield head + b"".join(_todo(task, owner) for task in tasks[start : start + AT_ONCE])
            head = b""
            await asyncio.sleep(0)
    yield head + END


def _todo(task: Task, owner: str) -> bytes:
    from icalendar import Todo  # noqa: PLC0415 - as above

    todo = Todo()
    todo.add("uid", f"task-{task.id}-{owner}@doable")
    todo.add("dtstamp", task.updated_at)
    todo.add("created", task.created_at)
    todo.add("last-modified", task.updated_at)
    todo.add("summary", _text(task.title))
    if task.description:
        todo.add("description", _text(task.description))
    todo.add("status", "COMPLETED" if task.completed else "NEEDS-ACTION")
    if task.completed_at:
        todo.add("completed", task.completed_at)
    if due := task.due_date or task.due_at:
        todo.add("due", due)
    if task.priority in PRIORITIES:
        todo.add("priority", PRIORITIES[task.priority])
    if task.tags:
        todo.add("categories", [_text(tag) for tag in task.tags])
    return bytes(todo.to_ical())


def _text(text: str) -> str:
    return CONTROLS.sub(" ", LINE_END.sub("\n", text))
