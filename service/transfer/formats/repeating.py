"""The properties of a VTODO that repeats: RRULE and its DTSTART (RFC 5545 section 3.8.5.3)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

from msgspec import UNSET

from service.recurrence.rules import read_rule
from service.recurrence.standard import standard_rule
from service.tasks.schemas import Task
from service.tasks.series import Recurrence, Repeat

UTC = "UTC"


class Repeating(NamedTuple):
    """The rest of the series of an open task. `rrule` is None if an RRULE cannot express it."""

    place: Recurrence
    rrule: str | None

    @property
    def zone(self) -> str | None:
        """The name of the time zone that the calendar must describe, if there is one."""
        is_timed = self.rrule is not None and isinstance(self.place.start, datetime)
        return self.place.repeat.timezone if is_timed and self.place.repeat.timezone != UTC else None

    def slot(self, name: str) -> str:
        """Return the property `name` with the slot: a day, or a time in the time zone of the series."""
        slot = self.place.slot
        if not isinstance(slot, datetime):
            return f"{name};VALUE=DATE:{slot.isoformat().replace('-', '')}"
        time = slot.replace(microsecond=0).isoformat().replace("-", "").replace(":", "")
        return f"{name};TZID={self.zone}:{time}" if self.zone else f"{name}:{time}Z"

    def lines(self) -> Iterator[str]:
        """Return the properties of the component that repeats."""
        yield self.slot("DTSTART")
        yield self.slot("DUE")
        yield f"RRULE:{self.rrule}"


def repeating(task: Task) -> Repeating | None:
    """Return the rest of the series of a task; None if no other occurrence follows, or if the task is completed."""
    if task.repeat is None or task.completed or task.next_due is None:
        return None
    zone = None if task.repeat.timezone is UNSET else task.repeat.timezone
    place = Recurrence(
        Repeat(task.repeat.rrule, task.repeat.origin, zone), task.series or "", task.occurrence or "", task.next_due,
        task.series_start or "", task.occurrence_number or 0,
    )  # fmt: skip
    if place.repeat.origin == "completion":  # the next slot depends on the completion
        return Repeating(place, None)
    rrule = standard_rule(
        read_rule(place.repeat.rrule), start=place.start, slot=place.slot, number=place.occurrence_number,
        zone=place.repeat.zone,
    )  # fmt: skip
    return Repeating(place, rrule)
