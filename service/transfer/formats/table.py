"""Write an archive as CSV (RFC 4180) without formulas that a spreadsheet would run; read the tasks of a CSV file."""

from __future__ import annotations

import csv
import io
import re
from codecs import BOM_UTF8
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Any

import msgspec

from service.database.items import ID
from service.errors import FieldError, InvalidInputError
from service.tasks.schemas import Task
from service.transfer.archive import Archive, pages_with_names
from service.transfer.formats.items import KEPT
from service.transfer.formats.lines import Line
from service.transfer.formats.sheet import Sheet
from service.web import validation
from service.web.pacing import Pace

LIST_NAME = "list"  # in place of `list_id`, because people read and write names
COLUMNS = (
    *(LIST_NAME if name == "list_id" else name for name in Task.__struct_fields__ if name != "user_id"), "deleted_at",
)  # fmt: skip
IGNORED = frozenset({"user_id", "version"})
NUMBERS = frozenset({"id", "list_id", "parent_id", "occurrence_number"})
AT_ONCE = 50  # tasks; the longest take 0.05 ms each
# Text that a spreadsheet may run as a formula, after any number of apostrophes (OWASP, "CSV Injection").
FORMULA = re.compile(r"'*[=+\-@\t\r]")
SWITCHES = {"true": True, "false": False}
# "due_date", "Due Date", "DUE-DATE" and "dueDate" name the same column.
SEPARATORS = re.compile(r"[\s_-]+")
NAMES = {name.replace("_", ""): name for name in (*COLUMNS, "list_id", "user_id")}
MOMENT = "; format the column as YYYY-MM-DDTHH:MM:SSZ, or as text"
TEXT = "; format the column as text before you save the table"
COLUMNS_ARE = f"the columns are {', '.join(COLUMNS)}"
HINTS = dict.fromkeys(("due_at", *KEPT), MOMENT) | {
    "due_date": "; format the column as YYYY-MM-DD before you save the table",
    "completed": "; write TRUE or FALSE",
    "repeat.timezone": '; write a zone as {"rrule": "FREQ=DAILY", "timezone": "Europe/Berlin"} into the column repeat',
    "series_start": TEXT, "occurrence": TEXT, "next_due": TEXT,
}  # fmt: skip


def defuse(text: str) -> str:
    """Return a cell that no spreadsheet runs as a formula: put one apostrophe before text that could be one."""
    return f"'{text}" if FORMULA.match(text) else text


def arm(cell: str) -> str:
    """Undo `defuse`."""
    return cell[1:] if cell.startswith("'") and FORMULA.match(cell) else cell


async def write(archive: Archive, *, marked: bool = False) -> AsyncIterator[bytes]:
    """Write the table of the tasks in pieces. The first piece follows the first database response.

    Yields to the event loop after each slice of work. If `marked`, the table begins with a byte order mark; without
    one, Excel does not recognize UTF-8. Raises UnavailableError, possibly after some of the pieces.
    """
    pace = Pace()
    head = (BOM_UTF8 if marked else b"") + rows([COLUMNS])
    async for page in pages_with_names(archive.tasks):
        decoded = msgspec.json.decode(f"[{page}]", type=list[tuple[dict[str, Any], str | None, str | None]])
        for start in range(0, len(decoded), AT_ONCE):
            part = [_row(task, name) for task, name, _ in decoded[start : start + AT_ONCE]]
            yield head + rows([_cell(task.get(column)) for column in COLUMNS] for task in part)
            head = b""
            await pace.keep()
    if head:
        yield head


def _row(task: dict[str, Any], list_name: str | None) -> dict[str, Any]:
    """Return the members for the columns. A rule without other members becomes its RRULE."""
    repeat = task["repeat"]
    if repeat is not None and repeat.keys() == {"rrule", "from"} and repeat["from"] == "schedule":
        repeat = repeat["rrule"]
    return task | {LIST_NAME: list_name, "repeat": repeat}


def rows(cells: Iterable[Iterable[str]]) -> bytes:
    """Return rows of cells as CSV in UTF-8. Each line ends with CR LF."""
    written = io.StringIO(newline="")
    csv.writer(written).writerows(cells)
    return written.getvalue().encode()


def _cell(value: Any) -> str:  # noqa: ANN401 - any JSON
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return defuse(value if isinstance(value, str) else msgspec.json.encode(value).decode())


def read(body: bytes) -> Iterator[Line | None]:
    """Read the tasks below the header line one by one. Yields None where the caller may yield to the event loop.

    Raises MalformedInputError for bytes that are not text. Raises InvalidInputError, which names the line, for text
    that is not a table of tasks. Both may come after some of the tasks.
    """
    sheet = Sheet(body)
    names: list[str] | None = None
    for cells in sheet:
        if cells is None:
            yield None
        elif names is None:
            names = _header(sheet, cells)
        else:
            yield Line(f"{sheet.place}: ", _members(sheet, names, cells), HINTS)
    if names is None:
        raise InvalidInputError([FieldError("line 1", f"must be a header with names of {', '.join(COLUMNS)}")])


def _header(sheet: Sheet, cells: list[str]) -> list[str]:
    """Return the name of each column; an empty name for a column that must be empty."""
    names: list[str] = []
    faults: list[FieldError] = []
    for cell in cells:
        name = NAMES.get(SEPARATORS.sub("", cell).lower(), "")
        if name and name in names:
            faults.append(FieldError(sheet.place, f"names the column {name} twice"))
        elif cell and not name:
            faults.append(FieldError(sheet.place, f"{cell[:50]!r} is not a column", COLUMNS_ARE))
        if len(faults) == validation.MAXIMUM_FAULTS:
            break
        names.append(name)
    else:
        if "title" not in names:
            faults.append(FieldError(sheet.place, "must name the column title"))
    if faults:
        raise InvalidInputError(faults)
    return names


def _members(sheet: Sheet, names: list[str], cells: list[str]) -> dict[str, Any]:
    """Convert the cells of a row to the members of a JSON object. Empty cells are left out and get their default.

    Spreadsheets drop empty cells at the end of a row, or add some, so only a cell with text needs a column. Raises
    InvalidInputError for text in a cell without a column.
    """
    found: dict[str, Any] = {"title": ""}
    for place, cell in enumerate(cells):
        name = names[place] if place < len(names) else ""
        if not cell or name in IGNORED:
            continue
        if not name:
            message = f"has text in cell {place + 1}, which has no name in the header"
            raise sheet.fault(message)
        found[name] = _value(name, arm(cell))
    return found


def _value(name: str, cell: str) -> Any:  # noqa: ANN401 - any JSON
    if name == "completed":
        return SWITCHES.get(cell.lower(), cell)
    if name in NUMBERS and ID.fullmatch(cell):
        return int(cell)
    if name == "repeat" and not cell.startswith("{"):
        return {"rrule": cell}
    if name == "repeat" or (name == "tags" and cell.startswith("[")):
        return _json(cell)
    return [tag for part in cell.split(",") if (tag := part.strip())] if name == "tags" else cell


def _json(cell: str) -> Any:  # noqa: ANN401 - any JSON
    """Read JSON, as the export writes it. Returns the text of a cell that is not JSON, which is then refused."""
    try:
        return msgspec.json.decode(cell)
    except (msgspec.DecodeError, RecursionError):
        return cell
