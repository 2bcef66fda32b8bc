"""The tasks of a file, one by one: held to the rules of a task that is created, with faults named by their place."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Any, NamedTuple

import msgspec
from msgspec import UNSET, Meta, UnsetType

from service.api import fields
from service.api.schemas import TaskDraft, columns_of, in_utc
from service.errors import FieldError, InvalidInputError, MalformedInputError

MAXIMUM_TASKS = 10_000
MAXIMUM_LINE = 64 * 1024  # bytes, as for a task that is created alone
BREATH = 0.01  # seconds of work before others get their turn
TOO_MANY = FieldError("tasks", f"must be at most {MAXIMUM_TASKS:,}; import them in parts")
KEPT = ("completed_at", "created_at", "updated_at", "deleted_at")

Moment = Annotated[
    Annotated[datetime, Meta(tz=True)] | UnsetType | None,
    Meta(extra={"rule": "a moment with its offset, such as 2026-12-24T18:00:00+01:00, or null"}),
]


class ImportedTask(TaskDraft, kw_only=True, forbid_unknown_fields=True):
    """A task of a file: as one that is created, but its moments are kept. With `deleted_at` it lies in the trash."""

    completed_at: Moment = UNSET
    created_at: Moment = UNSET
    updated_at: Moment = UNSET
    deleted_at: Moment = UNSET


class Line(NamedTuple):
    """What one task is read from: JSON text, or the members of an object; `place` is put before a faulty field."""

    place: str
    value: bytes | dict[str, Any]


async def validate(lines: Iterable[Line]) -> tuple[str, int]:
    """The JSON array that `UserTasks.add_all` takes, and how many tasks it holds.

    Raises InvalidInputError naming up to twenty faults by their places. Others get their turn all the while.
    """
    loop = asyncio.get_running_loop()
    began = loop.time()
    valid: list[bytes] = []
    faults: list[FieldError] = []
    reading = iter(lines)
    while len(faults) < fields.MAXIMUM_FAULTS:
        try:
            line = next(reading, None)
            if line is None or len(valid) == MAXIMUM_TASKS:
                faults += [] if line is None else [TOO_MANY]
                break
            valid.append(msgspec.json.encode(_columns(line)))
        except InvalidInputError as error:
            faults.extend(error.errors)
            valid.append(b"")
        if loop.time() - began > BREATH:
            await asyncio.sleep(0)
            began = loop.time()
    if faults:
        raise InvalidInputError(faults[: fields.MAXIMUM_FAULTS])
    return f"[{b','.join(valid).decode()}]", len(valid)


def _columns(line: Line) -> dict[str, Any]:
    try:
        task = _read(line.value)
        columns = {**columns_of(task), **_moments(task)}
    except InvalidInputError as error:
        raise InvalidInputError([FieldError(_placed(line.place, name), text) for name, text in error.errors]) from None
    except MalformedInputError:
        raise InvalidInputError([FieldError(_placed(line.place, "body"), "is not valid JSON in UTF-8")]) from None
    return columns


def _read(value: bytes | dict[str, Any]) -> ImportedTask:
    if isinstance(value, dict):
        return fields.convert(value, ImportedTask, strict=True)
    if len(value) > MAXIMUM_LINE:
        raise InvalidInputError([FieldError("body", "must be at most 64 KiB")])
    return fields.decode(value, ImportedTask)


def _moments(task: ImportedTask) -> dict[str, datetime]:
    moments: dict[str, datetime] = {}
    faults = []
    for name in KEPT:
        sent = getattr(task, name)
        if sent is UNSET or sent is None:
            continue
        if moment := in_utc(sent):
            moments[name] = moment
        else:
            faults.append(FieldError(name, fields.rule(ImportedTask, name)))
    if faults:
        raise InvalidInputError(faults)
    return moments


def _placed(place: str, field: str) -> str:
    return place.rstrip(".: ") if field == "body" else place + field
