"""Our iCalendar lines, compared with the `icalendar` library: a calendar reads every text as it was written."""

from __future__ import annotations

from datetime import date, datetime, timezone

import icalendar
from hypothesis import given
from hypothesis import strategies as st
from icalendar.parser import Contentline

from service.tasks.schemas import Task
from service.transfer.formats import todos

UID, PARENT = "019aceef-9a40-7c1e-8f3a-5b1d6c2e9f04", "019aceef-9a40-7c1e-8f3a-5b1d6c2e9f05"
MOMENT = datetime(2026, 1, 2, 3, 4, 5, 6, timezone.utc)
TEXT = st.text(st.characters(codec="utf-8"), max_size=300)
# Without backslashes: the library's parser reads a backslash before an n as a line end, even an escaped one, and its
# writer turns a backslash before an N into a line end. RFC 5545 section 3.3.11 does not say so.
READABLE = TEXT.filter(lambda text: "\\" not in text)


def task(**members: object) -> Task:
    told = {
        "id": 7, "uid": UID, "user_id": "alice", "title": "A",
        "description": None, "completed": False, "completed_at": None,
        "priority": "none", "tags": [], "due_date": None, "due_at": None, "list_id": None,
        "parent_id": None, "position": "a0", "created_at": MOMENT, "updated_at": MOMENT,
        "version": 3, "repeat": None, "series": None, "occurrence": None, "next_due": None,
    }  # fmt: skip
    return Task(**told | members)


def unescaped(value: str) -> str:
    """Read a TEXT value as RFC 5545 section 3.3.11 defines it."""
    read, rest = "", iter(value)
    for character in rest:
        escaped = next(rest) if character == "\\" else ""
        read += {"n": "\n", "N": "\n"}.get(escaped, escaped) if escaped else character
    return read


@given(TEXT)
def test_every_text_is_preserved_except_control_characters_which_become_spaces(text):
    (line, *more) = todos.fold(f"SUMMARY:{todos.escape(text)}").decode().replace("\r\n ", "").split("\r\n")
    assert more == [""]
    assert unescaped(line.removeprefix("SUMMARY:")) == todos.CONTROLS.sub(" ", todos.LINE_END.sub("\n", text))


@given(READABLE)
def test_a_text_is_escaped_as_the_library_does(text):
    clean = todos.CONTROLS.sub(" ", todos.LINE_END.sub("\n", text))
    assert todos.escape(text).encode() == icalendar.vText(clean).to_ical()


@given(TEXT)
def test_a_line_is_folded_between_characters_at_75_octets_and_unfolds_as_the_library_does(text):
    line = f"X-NAME:{todos.escape(text)}"
    folded = todos.fold(line)
    assert folded.endswith(b"\r\n")
    pieces = folded.removesuffix(b"\r\n").split(b"\r\n")
    assert all(len(piece) <= 75 for piece in pieces)
    assert all(piece.startswith(b" ") for piece in pieces[1:])
    assert "".join(piece.decode()[1 if place else 0 :] for place, piece in enumerate(pieces)) == line
    assert Contentline.from_ical(folded.decode().removesuffix("\r\n")) == line


@given(READABLE, READABLE, st.lists(READABLE, max_size=5), st.sampled_from(["none", "low", "medium", "high"]))
def test_the_library_reads_from_a_task_what_the_task_says(title, description, tags, priority):
    day = date(999, 1, 2)
    written = todos.todo(
        task(
            title=title, description=description, tags=tags, priority=priority, due_date=day, completed=True,
            completed_at=MOMENT,
        ),
        description,
        PARENT,
        None,
    )  # fmt: skip
    read = icalendar.Todo.from_ical(written)
    clean = [todos.CONTROLS.sub(" ", todos.LINE_END.sub("\n", text)) for text in (title, description, *tags)]
    assert str(read["summary"]) == clean[0]
    assert str(read.get("description", "")) == clean[1]
    assert [str(tag) for tag in read["categories"].cats] == clean[2:] if tags else "categories" not in read
    assert read.get("priority") == todos.PRIORITIES.get(priority)
    assert (read["uid"], read["status"], read["due"].dt) == (UID, "COMPLETED", day)
    assert read["related-to"] == PARENT
    assert unescaped(str(read.get("x-doable-list", ""))) == clean[1]  # the library leaves an unknown property as it is
    moments = [read[name].dt for name in ("dtstamp", "created", "last-modified", "completed")]
    assert moments == [MOMENT.replace(microsecond=0)] * 4


def test_a_moment_is_due_in_utc_and_a_pending_task_needs_action():
    read = icalendar.Todo.from_ical(todos.todo(task(due_at=MOMENT), None, None, None))
    assert (read["due"].dt, read["status"]) == (MOMENT.replace(microsecond=0), "NEEDS-ACTION")
    assert not {"completed", "related-to", "x-doable-list"} & {name.lower() for name in read}
    assert b"DUE:20260102T030405Z\r\n" in todos.todo(task(due_at=MOMENT), None, None, None)
    assert b"DUE;VALUE=DATE:20261224\r\n" in todos.todo(task(due_date=date(2026, 12, 24)), None, None, None)
