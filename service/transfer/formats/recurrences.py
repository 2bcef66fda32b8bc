"""The place of an imported task in its series: as in an export, or the first place in a new series."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, datetime, timezone
from types import MappingProxyType
from typing import Annotated, Any
from uuid import uuid4

import msgspec
from msgspec import UNSET, Meta, UnsetType

from service.database.uids import new_uid
from service.errors import FieldError, InvalidInputError
from service.tasks import series
from service.tasks.repeat_schemas import read_repeat
from service.tasks.schemas import TaskDraft
from service.tasks.series import Recurrence, Repeat
from service.web import moments
from service.web.fields import Cleaner, clean, read_new_uid, rule

MOST_SLOTS = date.max.toordinal()  # a series has at most one on each day
# A time in the time zone of a series has no offset.
WALL_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?", re.ASCII)
NEEDED = ("series", "series_start", "occurrence", "occurrence_number")


def _start(sent: str | None) -> date | datetime | None:
    if sent is None:
        return None
    if moments.DAY.fullmatch(sent):
        return moments.read_day(sent)
    if not WALL_TIME.fullmatch(sent):
        raise ValueError
    try:
        return datetime.fromisoformat(sent.upper())
    except ValueError:  # such as the 25th hour
        raise ValueError from None


def _slot(sent: str | None) -> date | datetime | None:
    if sent is None:
        return None
    return moments.read_day(sent) if moments.DAY.fullmatch(sent) else moments.read_moment(sent)


CLEANERS: Mapping[str, Cleaner] = MappingProxyType({
    "repeat": read_repeat, "series": read_new_uid, "series_start": _start, "occurrence": _slot,
    "occurrence_number": lambda sent: sent, "next_due": _slot,
})  # fmt: skip

Series = Annotated[  # without the format `uuid` in the schema, because any text is accepted if the task does not repeat
    str | UnsetType | None,
    rule("the UUID of its series, as in an export; without it, a new series begins", read=read_new_uid),
]
SeriesStart = Annotated[
    str | UnsetType | None,
    rule("a day, or a time without an offset such as 2026-12-24T18:00:00, as in an export", read=_start),
]
Occurrence = Annotated[
    str | UnsetType | None,
    rule("a day, or a timestamp with its offset, of the same kind as series_start, as in an export", read=_slot),
]
OccurrenceNumber = Annotated[
    Annotated[int, Meta(ge=1, le=MOST_SLOTS)] | UnsetType | None,
    rule(f"a whole number from 1 to {MOST_SLOTS:,}, as in an export"),
]


class RepeatingDraft(TaskDraft, kw_only=True, forbid_unknown_fields=True):
    """A new task that may have a place in a series. Without `repeat`, the place is ignored."""

    series: Series = UNSET
    series_start: SeriesStart = UNSET
    occurrence: Occurrence = UNSET
    occurrence_number: OccurrenceNumber = UNSET
    next_due: Occurrence = UNSET


def read_recurrence(task: RepeatingDraft, columns: Mapping[str, Any]) -> Recurrence | None:
    """Return the place of a task in its series, or None if it does not repeat.

    `columns` are the other columns of the task. Raises InvalidInputError as `series.begin`, and for a place that is
    incomplete or contradicts itself.
    """
    if task.repeat is UNSET or task.repeat is None:
        return None
    sent, faults = clean(task, CLEANERS)
    if faults:
        raise InvalidInputError(faults)
    repeat = sent["repeat"]
    due = columns.get("due_date") or columns.get("due_at")
    if not any(sent.get(name) for name in NEEDED):
        if columns.get("completed"):
            raise InvalidInputError([
                FieldError("repeat", "must be empty for a completed task without a series; leave it out"),
            ])  # fmt: skip
        return series.begin(repeat, due, datetime.now(timezone.utc))
    series.check_due(repeat, due)
    faults = [
        FieldError(name, "is missing; a task of a series needs series, series_start, occurrence and occurrence_number,"
                   " and a task that begins a new series needs none of them")
        for name in NEEDED if not sent.get(name)
    ] or _contradictions(repeat, sent)  # fmt: skip
    if faults:
        raise InvalidInputError(faults)
    return _place(repeat, sent)


def _contradictions(repeat: Repeat, sent: Mapping[str, Any]) -> list[FieldError]:
    """Return the faults of slots of different kinds, of times without a zone, and of a `next_due` that is no later."""
    start, slot, following = sent["series_start"], sent["occurrence"], sent.get("next_due")
    if isinstance(start, datetime) and repeat.timezone is None:
        return [FieldError("repeat.timezone", "is required for a series of times; send it as in the export")]
    faults = [
        FieldError(name, "must be a timestamp, because series_start is a time" if isinstance(start, datetime)
                   else "must be a day, because series_start is a day")
        for name in ("occurrence", "next_due")
        if sent.get(name) and isinstance(sent[name], datetime) is not isinstance(start, datetime)
    ]  # fmt: skip
    if not faults and following is not None and following <= slot:
        faults.append(FieldError("next_due", "must be later than occurrence, or empty for the last one"))
    return faults


def _place(repeat: Repeat, sent: Mapping[str, Any]) -> Recurrence:
    following = sent.get("next_due")
    place = Recurrence(
        repeat, sent["series"], series.text_of(sent["occurrence"]), following and series.text_of(following),
        sent["series_start"].isoformat(), sent["occurrence_number"],
    )  # fmt: skip
    try:
        place.slot  # noqa: B018 - it must be computable
    except OverflowError:
        fault = FieldError("occurrence", "is outside of the years 1 to 9999 in its time zone")
        raise InvalidInputError([fault]) from None
    return place


class Copies:
    """The names of copies: new UUIDs for the series of a file and for their tasks.

    The database uses them if it copies a series, because the owner has that series already. The uid of a successor
    follows from its series and its slot, so a copied task of the file must have the uid that its copied series gives.
    """

    def __init__(self) -> None:
        """Start with an empty file."""
        self._series: dict[str, str] = {}
        self._successors: dict[str, str] = {}

    def columns(self, uid: str | None, place: Recurrence | None) -> dict[str, str]:
        """Return the uid that a task gets if `uid`, that in the file, is replaced; and the two UUIDs of its series."""
        if place is None:
            return {"uid": new_uid()}
        copied = self._series.setdefault(place.series, str(uuid4()))
        copy = msgspec.structs.replace(place, series=copied)
        for slot in filter(None, (place.occurrence, place.next_due)):
            self._successors[place.uid_of(slot)] = copy.uid_of(slot)
        return {"uid": self._successors.get(uid or "") or new_uid(), "series": place.series, "copied": copied}
