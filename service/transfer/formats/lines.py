"""Validate the tasks of a file one by one, by the rules for a new task. Errors name the position in the file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Annotated, Any, NamedTuple

import msgspec
from msgspec import UNSET, Meta, UnsetType

from service.database.uids import new_uid
from service.errors import FieldError, InvalidInputError, MalformedInputError
from service.tasks.schemas import TaskDraft, columns_of
from service.web import moments, validation
from service.web.pacing import Pace

MAXIMUM_TASKS = 10_000
MAXIMUM_SIZE = 96 * 1024 * 1024  # bytes of JSON for the database; a control character of a table takes six
TOO_MANY = FieldError("tasks", f"must be at most {MAXIMUM_TASKS:,}; import them in parts")
TOO_LARGE = FieldError("tasks", "take more than 96 MiB as JSON; import them in parts")
KEPT = ("completed_at", "created_at", "updated_at", "deleted_at")

Moment = Annotated[
    Annotated[str, Meta(extra_json_schema={"format": "date-time"})] | UnsetType | None,
    Meta(extra={"rule": f"{moments.RULE}, or null", "read": moments.read_moment}),
]


class ImportedTask(TaskDraft, kw_only=True, forbid_unknown_fields=True):
    """A task of a file: a new task that keeps its timestamps. With `deleted_at`, it is created in the trash."""

    completed_at: Moment = UNSET
    created_at: Moment = UNSET
    updated_at: Moment = UNSET
    deleted_at: Moment = UNSET


class Line(NamedTuple):
    """One task of a file: JSON text, or the members of an object.

    Errors begin with `place` and the field name. They end with the hint for that field, if there is one.
    """

    place: str
    value: bytes | dict[str, Any]
    hints: Mapping[str, str] = {}


async def validate(lines: Iterable[Line | None]) -> tuple[bytearray, int]:
    """Validate all tasks. Returns the JSON array for `UserImport.add_all`, and the number of tasks in it.

    Yields to the event loop after each slice of work, between two lines or where `lines` yields None.
    Raises InvalidInputError at the first limit: MAXIMUM_TASKS, MAXIMUM_SIZE or twenty faults. Each fault names its
    position in the file.
    """
    pace = Pace()
    valid = bytearray(b"[")
    count = 0
    faults: list[FieldError] = []
    reading = iter(lines)
    while len(faults) < validation.MAXIMUM_FAULTS:
        await pace.keep()
        try:
            line = next(reading)
            if line is None:
                continue
            if count == MAXIMUM_TASKS or len(valid) > MAXIMUM_SIZE:
                faults.append(TOO_MANY if count == MAXIMUM_TASKS else TOO_LARGE)
                break
            count += 1
            columns = _columns(line)
            if not faults:
                valid += b"," if count > 1 else b""
                valid += msgspec.json.encode(columns)
        except StopIteration:
            break
        except InvalidInputError as error:
            faults.extend(error.errors)
    if faults:
        await pace.rest()  # freeing 96 MiB takes a whole slice of time
        raise InvalidInputError(faults[: validation.MAXIMUM_FAULTS])
    valid += b"]"
    return valid, count


def _columns(line: Line) -> dict[str, Any]:
    try:
        task = _read(line.value)
        columns = {"uid": new_uid(), **columns_of(task), **_moments(task)}
    except InvalidInputError as error:
        raise InvalidInputError([_placed(line, fault) for fault in error.errors]) from None
    except MalformedInputError:
        raise MalformedInputError(f"{_place(line.place)} is not valid JSON in UTF-8.") from None
    return columns


def _read(value: bytes | dict[str, Any]) -> ImportedTask:
    return (
        validation.convert(value, ImportedTask, strict=True)
        if isinstance(value, dict)
        else validation.decode(value, ImportedTask)
    )


def _moments(task: ImportedTask) -> dict[str, datetime]:
    kept: dict[str, datetime] = {}
    faults = []
    for name in KEPT:
        sent = getattr(task, name)
        if sent is UNSET or sent is None:
            continue
        try:
            kept[name] = moments.read_moment(sent)
        except ValueError as error:
            faults.append(FieldError(name, str(error)))
    if faults:
        raise InvalidInputError(faults)
    return kept


def _placed(line: Line, fault: FieldError) -> FieldError:
    place = _place(line.place) if fault.field == "body" else line.place + fault.field
    return fault._replace(field=place, message=fault.message + line.hints.get(fault.field, ""))


def _place(place: str) -> str:
    return place.rstrip(".: ")
