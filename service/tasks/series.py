"""Series of repeating tasks: the place of a task in its series, and the place after it."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta, timezone
from typing import Literal
from uuid import UUID, uuid4, uuid5
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Struct

from service.errors import FieldError, InvalidInputError
from service.recurrence.rules import read_rule
from service.recurrence.slots import Slot, moment_of, next_slot, occurs_again, slot_at, wall_of
from service.recurrence.zones import read_zone

NOON = time(12)  # in UTC, it is on the same day of the years 1 to 9999 in almost every zone


class Repeat(Struct, frozen=True, omit_defaults=True, rename={"origin": "from"}):
    """The rule of a series: an RRULE (RFC 5545) in canonical form, and the IANA time zone in which it applies.

    The next slot follows from the schedule, or from the completion.
    """

    rrule: str
    origin: Literal["schedule", "completion"]
    timezone: str | None = None

    @property
    def zone(self) -> ZoneInfo:
        """The time zone; UTC if there is none."""
        return read_zone(self.timezone or "UTC")


class Recurrence(Struct, frozen=True):
    """The place of a task in its series: the last members of the task's JSON, which `tasks.recurrence` stores.

    `series` is a UUID. `series_start` is the first slot, a day or a time in the time zone. `occurrence` is the slot
    that the task stands for, and `next_due` is the slot after it; both have the form of `due_date` or `due_at`.
    """

    repeat: Repeat
    series: str
    occurrence: str
    next_due: str | None
    series_start: str
    occurrence_number: int

    @property
    def text(self) -> str:
        """The JSON for the database."""
        return msgspec.json.encode(self).decode()

    @property
    def start(self) -> Slot:
        """The first slot."""
        return datetime.fromisoformat(self.series_start) if "T" in self.series_start else _day(self.series_start)

    @property
    def slot(self) -> Slot:
        """The slot that the task stands for."""
        start = self.start
        if isinstance(start, datetime):
            return slot_at(read_moment(self.occurrence), self.repeat.zone, start)
        return _day(self.occurrence)

    @property
    def due(self) -> date | datetime:
        """The slot as the due of a task: a day, or a time in UTC."""
        return read_moment(self.occurrence) if "T" in self.occurrence else _day(self.occurrence)

    def distance_from(self, earlier: Recurrence) -> tuple[int, float]:
        """Return the days and the seconds from the slot of an earlier place to this one; clocks may have changed."""
        slots = [place.slot for place in (earlier, self)]
        first, second = (slot if isinstance(slot, datetime) else datetime.combine(slot, NOON) for slot in slots)
        days, zone = second.toordinal() - first.toordinal(), self.repeat.zone
        try:
            elapsed = moment_of(second, zone) - moment_of(first, zone)
        except OverflowError:  # on the last day of the calendar, noon in the west is on no day in UTC
            elapsed = timedelta(days=days)
        return days, elapsed.total_seconds()

    def uid_of(self, occurrence: str) -> str:
        """Return the uid of the task of this series for a slot: the UUIDv5 (RFC 9562) of the slot in the series."""
        return str(uuid5(UUID(self.series), occurrence))

    def followed(self, now: datetime, *, completed: bool) -> tuple[Recurrence, Recurrence | None]:
        """Return this place with its `next_due` as of `now`, an aware time, and the next place, if there is one.

        If the task is not `completed` now, a series from the completion continues as if the task were completed at its
        slot, or now if that is later.
        """
        reached = self._reached(now)
        following = self._following(reached if completed else max(reached, self.slot))
        return msgspec.structs.replace(self, next_due=following and following.occurrence), following

    def skipped(self, now: datetime) -> Recurrence | None:
        """Return the place to which a skip at `now`, an aware time, moves an open task; None at the end of the series.

        It is that of `next_due`. If `next_due` is over, it is the first place that is not, or, from the completion, the
        place after a completion now. A day is over when it ends in the time zone, and a time when it comes.
        """
        if self.next_due is not None:
            following = msgspec.structs.replace(
                self, occurrence=self.next_due, occurrence_number=self.occurrence_number + 1, next_due=None
            )
            due, reached = following.due, self._reached(now)
            is_over = due <= now if isinstance(due, datetime) else due < reached
            if self.repeat.origin == "completion" and not is_over:
                return following
            if self.repeat.origin == "schedule" and not isinstance(due, datetime):
                return self._following(max(reached, due) - timedelta(days=1))  # missed slots count
        return self.followed(now, completed=False)[1]

    def _reached(self, now: datetime) -> Slot:
        """Return the day, or the wall-clock time, of `now` in the time zone."""
        wall = wall_of(now, self.repeat.zone)
        return wall if isinstance(self.start, datetime) else wall.date()

    def _following(self, after: Slot) -> Recurrence | None:
        zone = self.repeat.zone
        found = next_slot(
            read_rule(self.repeat.rrule), start=self.start, slot=self.slot, number=self.occurrence_number, after=after,
            from_completion=self.repeat.origin == "completion", zone=zone,
        )  # fmt: skip
        if found is None:
            return None
        text = text_of(moment_of(found[0], zone) if isinstance(found[0], datetime) else found[0])
        return msgspec.structs.replace(self, occurrence=text, occurrence_number=found[1], next_due=None)


def begin(repeat: Repeat, due: date | datetime | None, now: datetime) -> Recurrence:
    """Return the first place in a new series. Its slot is the `due`, a day or an aware time.

    Raises InvalidInputError as `check_due`, if the rule has no slot after the due, and at the ends of the calendar.
    """
    due = check_due(repeat, due)
    zone = repeat.zone
    try:
        start: Slot = wall_of(due, zone) if isinstance(due, datetime) else due
    except OverflowError:
        raise InvalidInputError(
            [FieldError("due_at", "is outside of the years 1 to 9999 in repeat.timezone")]
        ) from None
    if not occurs_again(read_rule(repeat.rrule), start, zone):
        raise InvalidInputError([
            FieldError("repeat.rrule", "has no second occurrence; change the rule, its COUNT or its UNTIL"),
        ])  # fmt: skip
    first = Recurrence(repeat, str(uuid4()), text_of(due), None, start.isoformat(), 1)
    return first.followed(now, completed=False)[0]


def check_due(repeat: Repeat, due: date | datetime | None) -> date | datetime:
    """Return the due of a repeating task. Raises InvalidInputError if there is none, or for a time without a zone."""
    if due is None:
        raise InvalidInputError([
            FieldError("repeat", "needs a due_date or a due_at; send one of them, or send repeat: null"),
        ])  # fmt: skip
    if isinstance(due, datetime) and repeat.timezone is None:
        raise InvalidInputError([
            FieldError("repeat.timezone", "is required with due_at; send an IANA time zone such as Europe/Berlin"),
        ])  # fmt: skip
    return due


def read_moment(text: str) -> datetime:
    """Return the time in the JSON of a task, in UTC."""
    return datetime.fromisoformat(text).astimezone(timezone.utc)


def text_of(due: date | datetime) -> str:
    """Format a day or a time in UTC as in the JSON of a task."""
    if isinstance(due, datetime):
        return due.isoformat(timespec="microseconds").replace("+00:00", "Z")
    return due.isoformat()


def _day(text: str) -> date:
    return date.fromisoformat(text)
