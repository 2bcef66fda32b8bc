"""Bodies that are crafted to be expensive: each is refused at the first limit, and other requests are served.

Without limits, a body of 32 MiB delayed all other requests for 5 to 60 s, and took up to 5.0 GB.
"""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterator

import pytest

from service.development import blocking
from service.errors import DoableError, InvalidInputError, MalformedInputError
from service.transfer.formats import document, lines, table
from service.web import validation

MEBIBYTE = 1024 * 1024
MOST_MEMORY = 8 * MEBIBYTE  # beyond the body


def around(begin: str, middle: str, end: str = "", size: int = 16 * MEBIBYTE) -> Callable[[], bytes]:
    """Build a body of `size` bytes that mostly repeats `middle`."""
    first, often, last = begin.encode(), middle.encode(), end.encode()
    return lambda: first + often * ((size - len(first) - len(last)) // len(often)) + last


def many(item: str, count: int) -> str:
    return ",".join(item.format(number) for number in range(count))


TASKS = '{"tasks":['
CONTROLS = 'A,"x' + "\1" * 990 + 'x","' + many("x{}" + "\1" * 40 + "y", 20) + '"\n'
LARGEST = '{"title":"A","description":"' + "ä" * 1_000 + '","tags":[' + many('"{}' + "t" * 40 + '"', 20) + "]}"
DEEP = '{"title":"A","id":' + "[0," * 60 + "0" + "]" * 60 + "}"
REFUSED = {
    "csv: x,x,x of 32 MiB": (table, around("", "x,", size=32 * MEBIBYTE), "line 1: must be at most 65,536 characters"),
    "csv: x,x,x of 8 MiB": (table, around("", "x,", size=8 * MEBIBYTE), "line 1: must be at most 65,536 characters"),
    "csv: a header of 10,000 names": (table, lambda: many("n{}", 10_000).encode(), "line 1: has more than 256 cells"),
    "csv: a header of near misses": (table, lambda: many("titel{}", 250).encode(), "line 1: 'titel0' is not a column"),
    "csv: millions of line ends": (table, around("title", "\n"), "line 10002: has more than 10,000 blank rows"),
    "csv: millions of old line ends": (table, around("title", "\r"), "line 10002: has more than 10,000 blank rows"),
    "csv: blank lines before the header": (table, around("", ",\n"), "line 10001: has more than 10,000 blank rows"),
    "csv: rows of empty cells": (table, around("title\n", "," * 255 + "\n"), "line 10002: has more than 10,000"),
    "csv: rows of too many empty cells": (table, around("title\n", "," * 60_000 + "\n"), "line 2: has more than 256"),
    "csv: a row of 10 million cells": (table, around("title\n", "x,", size=20_000_000), "line 2: must be at most"),
    "csv: one quotation mark": (table, around('title\n"', "\n"), "line 2: must be at most 65,536 characters"),
    "csv: one long cell": (table, around("title\n", "x"), "line 2: must be at most 65,536 characters"),
    "csv: quotation marks": (table, around('title\n"', '""'), "line 2: must be at most 65,536 characters"),
    "csv: a fault in each line": (table, around("title,due_date\n", "A,x\n"), "line 2: due_date: must be"),
    "csv: apostrophes": (table, around("title\n", "'" * 60_000 + "\n"), "line 2: title: must be 1 to 200 characters"),
    "csv: tags": (table, around("title,tags\n", 'A,"' + "a," * 30_000 + '"\n'), "line 2: tags: must be a list"),
    "csv: 10,001 tasks": (table, around("title\n", "A\n"), "tasks: must be at most 10,000"),
    "csv: control characters": (
        table,
        lambda: ("title,description,tags\n" + CONTROLS * 9_999).encode(),
        "tasks: take more than 96 MiB as JSON",
    ),
    "json: numbers for tasks": (document, around(TASKS, "0,", "0]}"), "tasks[0]: must be a JSON object"),
    "json: empty tasks": (document, around(TASKS, "{},", "{}]}"), "tasks[0].title: is required"),
    "json: 10,001 tasks": (document, around(TASKS, '{"title":"A"},', "{}]}"), "tasks: must be at most 10,000"),
    "json: one long string": (document, around(TASKS + '"', "x", '"]}'), "tasks[0]: must be at most 64 KiB"),
    "json: one string of escapes": (document, around(TASKS + '"', r"\n", '"]}'), "tasks[0]: must be at most 64 KiB"),
    "json: one long number": (document, around(TASKS, "1", "]}"), "tasks[0]: must be at most 64 KiB"),
    "json: one long task": (document, around(TASKS + '{"a":"', "x", '"}]}'), "tasks[0]: must be at most 64 KiB"),
    "json: a long name": (document, around('{"', "x", '":0}'), "body: must be an object such as"),
    "json: many members": (document, around("{", '"a":0,', '"tasks":[]}'), "body: must be an object such as"),
    "json: a long member": (document, around('{"user":[', "0,", '0],"tasks":[]}'), "body: must be an object such as"),
    "json: brackets": (
        document, around(TASKS, '{"title":"A","id":[' + "[]," * 9_000 + "[]]},", "0]}"),
        "tasks[0]: holds more than 500 strings, lists and objects",
    ),
    "json: near misses": (
        document, around(TASKS, '{"title":"A",' + many('"titel{}":1', 200) + "},", "0]}"),
        "tasks[0].titel0: is not known; did you mean 'title'?",
    ),
    "json: long near misses": (
        document, around(TASKS, '{"' + "title" * 12_000 + '":1},', "0]}"), "tasks[0].titletitle",
    ),
    "json: tags": (
        document, around(TASKS, '{"title":"A","tags":[' + many('"a"', 400) + "]},", "0]}"),
        "tasks[0].tags: must be a list",
    ),
    "json: deep": (document, around('{"tasks":', "["), "The request body is not valid JSON"),
    "json: a deep task": (document, around(TASKS, "["), "The request body is not valid JSON"),
    "json: deep elsewhere": (document, around('{"user":', '{"a":'), "The request body is not valid JSON"),
}  # fmt: skip
TAKEN = {
    "csv: blank lines between": (table, lambda: b"title\n" + b",\n" * 9_999 + b"A\n" * 10_000, 10_000),
    "json: white space": (document, around(TASKS, " ", "]}"), 0),
    "json: the largest tasks": (
        document,
        lambda: f"{TASKS}{','.join([LARGEST] * 2_000)}]}}".encode(),
        2_000,
    ),
    "json: deep and wide": (
        document,
        lambda: f"{TASKS}{','.join([DEEP] * 3_000)}]}}".encode(),
        3_000,
    ),
}  # fmt: skip


async def outcome(reading: Iterator[lines.Line | None]) -> int | DoableError:
    """Return the number of tasks in the file, or its error."""
    try:
        return len((await lines.validate(reading)).references.parents)
    except DoableError as error:
        return error


# The first one takes 96 MiB on purpose. The others take long to trace: below, they have fewer tasks.
MANY_TASKS = ["csv: 10,001 tasks", "json: 10,001 tasks"]
UNTRACED = {"csv: control characters", *MANY_TASKS}


@pytest.mark.steps
@pytest.mark.parametrize("name", REFUSED)
async def test_a_crafted_body_is_refused_at_the_first_limit_and_other_requests_are_served(name, steps, longest_step):
    form, make, message = REFUSED[name]
    body = make()
    # `tracemalloc` makes the steps longer, so `make trials`, with its short limit for them, does not measure memory.
    if longest_step > blocking.LIMIT and name not in UNTRACED:
        tracemalloc.start()
    error = await steps.measured(outcome(form.read(body)))
    _, peak = tracemalloc.get_traced_memory()  # 0 without `start`
    tracemalloc.stop()
    print(f"{len(body):,} bytes, longest step {steps.longest * 1000:.0f} ms, {peak:,} bytes of memory")
    assert peak < MOST_MEMORY
    assert isinstance(error, (InvalidInputError, MalformedInputError))
    assert error.detail.startswith(message)
    assert len(getattr(error, "errors", ())) <= validation.MAXIMUM_FAULTS
    assert steps.longest < longest_step


@pytest.mark.steps
@pytest.mark.parametrize(("form", "make", "count"), TAKEN.values(), ids=TAKEN)
async def test_a_large_valid_body_is_read_to_its_end_and_other_requests_are_served(
    form, make, count, steps, longest_step
):
    assert await steps.measured(outcome(form.read(make()))) == count
    assert steps.longest < longest_step


@pytest.mark.parametrize("name", MANY_TASKS)
async def test_a_crafted_body_needs_no_memory_beyond_its_size(name, monkeypatch):
    """The first test also measures the memory for the other bodies."""
    monkeypatch.setattr(lines, "MAXIMUM_TASKS", 2_000)
    form, make, message = REFUSED[name]
    body = make()
    tracemalloc.start()
    error = await outcome(form.read(body))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert error.detail.startswith(message)
    assert peak < MOST_MEMORY / 5
