"""An archive as a table: CSV (RFC 4180) that a spreadsheet opens without running any of it."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Any

import msgspec

from service.api.formats.lines import Line
from service.errors import FieldError, InvalidInputError, MalformedInputError
from service.models import UserArchive

COLUMNS = (
    "id", "title", "description", "completed", "completed_at", "priority", "tags", "due_date", "due_at", "created_at",
    "updated_at", "version", "deleted_at",
)  # fmt: skip
IGNORED = frozenset({"id", "user_id", "version"})
# What a spreadsheet may take for a formula, with any number of apostrophes before it (OWASP, "CSV Injection").
FORMULA = re.compile(r"'*[=+\-@\t\r]")
SWITCHES = {"true": True, "false": False}


def defuse(text: str) -> str:
    """A cell that no spreadsheet takes for a formula: one apostrophe more before what could be one."""
    return f"'{text}" if FORMULA.match(text) else text


def arm(cell: str) -> str:
    """What `defuse` was given."""
    return cell[1:] if cell.startswith("'") and FORMULA.match(cell) else cell


async def write(archive: UserArchive) -> AsyncIterator[bytes]:
    """The table in pieces, none before the database has answered. Raises UnavailableError, at any piece."""
    head: list[Iterable[str]] = [COLUMNS]
    async for page in archive.pages(trash=True):
        tasks = msgspec.json.decode(f"[{page}]")
        yield rows([*head, *([_cell(task.get(column)) for column in COLUMNS] for task in tasks)])
        head = []
    if head:
        yield rows(head)


def rows(cells: Iterable[Iterable[str]]) -> bytes:
    """Lines of cells, in UTF-8 and each ended by CR LF."""
    written = io.StringIO(newline="")
    csv.writer(written).writerows(cells)
    return written.getvalue().encode()


def _cell(value: Any) -> str:  # noqa: ANN401 - any JSON
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return defuse(value if isinstance(value, str) else msgspec.json.encode(value).decode())


def read(body: bytes) -> Iterator[Line]:
    """The tasks under the header line; a byte order mark before it is no part of it.

    Raises MalformedInputError for what is not UTF-8, InvalidInputError, naming the line, where it is no table.
    """
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise MalformedInputError("The request body is not CSV in UTF-8.") from None
    return _lines(text)


def _lines(text: str) -> Iterator[Line]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    names: list[str] | None = None
    while True:
        number = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            break
        except csv.Error:
            raise InvalidInputError([FieldError(f"line {number}", "is not CSV as RFC 4180 has it")]) from None
        if names is None:
            names = _header(cells)
        elif cells and len(cells) != len(names):
            message = f"has {len(cells)} cells where the header has {len(names)}"
            raise InvalidInputError([FieldError(f"line {number}", message)])
        elif cells:
            yield Line(f"line {number}: ", _members(dict(zip(names, map(arm, cells), strict=True))))
    if names is None:
        raise InvalidInputError([FieldError("line 1", f"must be a header with names of {', '.join(COLUMNS)}")])


def _header(cells: list[str]) -> list[str]:
    names = [cell.strip().lower() for cell in cells]
    known = {*COLUMNS, *IGNORED}
    faults = [f"{name[:50]!r} is no column; known are {', '.join(COLUMNS)}" for name in names if name not in known]
    if len(set(names)) < len(names):
        faults.append("names a column twice")
    if "title" not in names:
        faults.append("must name the column title")
    if faults:
        raise InvalidInputError([FieldError("line 1", fault) for fault in faults[:20]])
    return names


def _members(cells: dict[str, str]) -> dict[str, Any]:
    """The cells of a row as the members of a JSON object; an empty one is left out, so that it gets its default."""
    found: dict[str, Any] = {}
    for name, cell in cells.items():
        if name in IGNORED or (cell == "" and name != "title"):
            continue
        found[name] = cell
        if name == "completed":
            found[name] = SWITCHES.get(cell.strip().lower(), cell)
        elif name == "tags":
            found[name] = _tags(cell)
    return found


def _tags(cell: str) -> Any:  # noqa: ANN401 - any JSON
    try:
        return msgspec.json.decode(cell)
    except (msgspec.DecodeError, RecursionError):
        return cell
