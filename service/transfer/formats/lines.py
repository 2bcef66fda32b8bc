"""Validate the lists and tasks of a file one by one. Errors name the position in the file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import msgspec

from service.database.uids import new_uid
from service.errors import FieldError, InvalidInputError, MalformedInputError
from service.transfer.formats.items import Item, read_list, read_task
from service.transfer.formats.recurrences import Copies
from service.transfer.formats.references import References
from service.web import validation
from service.web.pacing import Pace

MAXIMUM_TASKS = 10_000
MAXIMUM_LISTS = 10_000  # with the deleted ones
MAXIMUM_SIZE = 96 * 1024 * 1024  # bytes of JSON for the database; a control character of a table takes six
TOO_MANY = FieldError("tasks", f"must be at most {MAXIMUM_TASKS:,}; import them in parts")
TOO_MANY_LISTS = FieldError("lists", f"must be at most {MAXIMUM_LISTS:,}; import them in parts")
TOO_LARGE = FieldError("tasks", "take more than 96 MiB as JSON; import them in parts")


class Line(NamedTuple):
    """One task of a file, or one list: JSON text, or the members of an object.

    Errors begin with `place` and the field name. They end with the hint for that field, if there is one.
    """

    place: str
    value: bytes | dict[str, Any]
    hints: Mapping[str, str] = {}
    is_list: bool = False


class File(NamedTuple):
    """The valid lists and tasks of a file as JSON arrays, and the references between them."""

    lists: bytearray
    tasks: bytearray
    references: References


async def validate(lines: Iterable[Line | None]) -> File:
    """Validate all lists and tasks.

    Yields to the event loop after each slice of work, between two lines or where `lines` yields None.
    Raises InvalidInputError at the first limit: MAXIMUM_TASKS, MAXIMUM_LISTS, MAXIMUM_SIZE or twenty faults. Each fault
    names its position in the file.
    """
    pace = Pace()
    lists, tasks = bytearray(b"["), bytearray(b"[")
    references, copies = References(), Copies()
    faults: list[FieldError] = []
    reading = iter(lines)
    while len(faults) < validation.MAXIMUM_FAULTS:
        await pace.keep()
        try:
            line = next(reading)
            if line is None:
                continue
            if limit := _limit(line, references, len(lists) + len(tasks)):
                faults.append(limit)
                break
            columns = _read(line, references, copies)
            if not faults:
                _append(lists if line.is_list else tasks, columns)
        except StopIteration:
            break
        except InvalidInputError as error:
            faults.extend(error.errors)
    if faults := faults or await _resolve(references, pace):
        await pace.rest()  # freeing 96 MiB takes a whole slice of time
        raise InvalidInputError(faults[: validation.MAXIMUM_FAULTS])
    for name in references.names:
        _append(lists, {"name": name, "uid": new_uid(), "is_by_name": True})
    lists += b"]"
    tasks += b"]"
    return File(lists, tasks, references)


async def _resolve(references: References, pace: Pace) -> list[FieldError]:
    """Resolve all references. Returns their faults."""
    faults = []
    for fault in references.resolve():
        if fault:
            faults.append(fault)
        if len(faults) == validation.MAXIMUM_FAULTS:
            break
        await pace.keep()
    return faults


def _limit(line: Line, references: References, size: int) -> FieldError | None:
    """Return the fault of a line that exceeds a limit of the file."""
    if size > MAXIMUM_SIZE:
        return TOO_LARGE
    if line.is_list:
        return TOO_MANY_LISTS if references.list_places.count == MAXIMUM_LISTS else None
    return TOO_MANY if references.task_places.count == MAXIMUM_TASKS else None


def _append(array: bytearray, columns: Mapping[str, Any]) -> None:
    if len(array) > 1:
        array += b","
    array += msgspec.json.encode(columns)


def _read(line: Line, references: References, copies: Copies) -> dict[str, Any]:
    try:
        if isinstance(line.value, bytes) and line.is_list:
            item = read_list(line.value)
            references.list_places.add(item)
        else:
            item = read_task(line.value)
            references.add_task(item, line.place)
    except InvalidInputError as error:
        raise InvalidInputError([_placed(line, fault) for fault in error.errors]) from None
    except MalformedInputError:
        raise MalformedInputError(f"{_place(line.place)} is not valid JSON in UTF-8.") from None
    return item.columns | _names(item, copies)


def _names(item: Item, copies: Copies) -> dict[str, str]:
    """Return the uid in the file, the place in the series, and the UUIDs that replace them if they are taken."""
    names = copies.columns(item.uid, item.recurrence)
    if item.uid:
        names["named"] = item.uid
    if item.recurrence:
        names["recurrence"] = item.recurrence.text
    return names


def _placed(line: Line, fault: FieldError) -> FieldError:
    place = _place(line.place) if fault.field == "body" else line.place + fault.field
    return fault._replace(field=place, message=fault.message + line.hints.get(fault.field, ""))


def _place(place: str) -> str:
    return place.rstrip(".: ")
