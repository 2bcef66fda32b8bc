"""The tasks of a file, one by one: held to the rules of a task that is created, with faults named by their place."""

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
MAXIMUM_SIZE = 96 * 1024 * 1024  # bytes of the JSON for the database: six for each control character of a table
TOO_MANY = FieldError("tasks", f"must be at most {MAXIMUM_TASKS:,}; import them in parts")
TOO_LARGE = FieldError("tasks", "take more than 96 MiB as JSON; import them in parts")
KEPT = ("completed_at", "created_at", "updated_at", "deleted_at")

Moment = Annotated[
    Annotated[str, Meta(extra_json_schema={"format": "date-time"})] | UnsetType | None,
    Meta(extra={"rule": f"{moments.RULE}, or null", "read": moments.read_moment}),
]


class ImportedTask(TaskDraft, kw_only=True, forbid_unknown_fields=True):
    """A task of a file: as one that is created, but its moments are kept. With `deleted_at` it lies in the trash."""

    completed_at: Moment = UNSET
    created_at: Moment = UNSET
    updated_at: Moment = UNSET
    deleted_at: Moment = UNSET


class Line(NamedTuple):
    """One task of a file: JSON text, or the members of an object.

    `place` is put before the name of a faulty field, and the field's hint, if it has one, after the message.
    """

    place: str
    value: bytes | dict[str, Any]
    hints: Mapping[str, str] = {}


async def validate(lines: Iterable[Line | None]) -> tuple[bytearray, int]:
    """The JSON array that `UserTasks.add_all` takes, and how many tasks it holds.

    Yields to the event loop after each slice of work, between two lines or where `lines` gives None.
    Raises InvalidInputError at the first bound that is reached: MAXIMUM_TASKS, MAXIMUM_SIZE, or twenty faults, each
    named by its place.
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
        await pace.rest()  # to free 96 MiB takes a step of its own
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
