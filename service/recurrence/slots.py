"""Compute the slots of a repeating task: the days or times, one after another, that its rule gives.

A slot is a day for a task with a due date, and a wall-clock time for a task with a due moment. Wall-clock times have no
zone here; `moment_of` and `wall_of` convert them. Arithmetic starts at the current slot, not at the first one.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from datetime import MAXYEAR, date, datetime, timezone
from itertools import chain
from zoneinfo import ZoneInfo

from service.recurrence.patterns import pattern_of
from service.recurrence.rules import Rule
from service.recurrence.years import years
from service.recurrence.zones import read_zone

__all__ = ["Slot", "last_day", "moment_of", "next_slot", "occurs_again", "read_zone", "slot_at", "wall_of"]

Slot = date | datetime

LONGEST_GAP = 1  # day: Pacific/Apia skipped 30 December 2011


def next_slot(  # noqa: PLR0913 - a series has so many parts, and each call names them
    rule: Rule,
    *,
    start: Slot,
    slot: Slot,
    number: int,
    after: Slot,
    from_completion: bool,
    zone: ZoneInfo | None = None,
) -> tuple[Slot, int] | None:
    """Return the slot after `slot`, and its number; None if the series ends.

    `start` is the first slot of the series, which gives the parts that the rule does not name. `number` is the number
    of `slot`. `after` is today, or the current time as `wall_of` returns it. The slots of a series are of one type.

    By the schedule, the next slot is later than both `slot` and `after`; missed slots count. With `from_completion`,
    the rule starts anew on the day of `after`, and the next slot is on a later day than both `slot` and `after`. If it
    has no slot from that day on, it goes on from `slot`.

    With a `zone`, times are compared as moments, so that each slot is a later moment than the one before it, even while
    clocks change. Without it, UNTIL in UTC means its day in UTC.
    """
    first, current, today = _day(start), _day(slot), _day(after)
    timed = isinstance(start, datetime)
    limit, until = _comparable(slot, zone), last_day(rule.until, zone)
    found: Iterator[tuple[date, int]]
    if from_completion:
        floor = max(current, today)
        anew = _days_after(rule, start=today, origin=today, passed=floor, floor=floor)
        # Every seventh day from a Tuesday on is never a Monday, but a series without an end must go on.
        found = chain(anew, _days_after(rule, start=first, origin=current, passed=floor, floor=floor))
    else:
        floor = today
        if timed:  # the slot of today may be later than now, and that of yesterday, if clocks skipped it
            limit = max(limit, _comparable(after, zone))
            floor = date.fromordinal(max(today.toordinal() - LONGEST_GAP - 1, 1))
        found = _days_after(rule, start=first, origin=current, passed=current, floor=floor)
    for day, place in found:
        counted = number + (1 if from_completion else place)
        if day > until or (rule.count is not None and counted > rule.count):
            return None
        candidate = datetime.combine(day, start.time()).replace(fold=0) if isinstance(start, datetime) else day
        try:
            if _comparable(candidate, zone) > limit:
                return candidate, counted
        except OverflowError:  # in the last hours of the year 9999
            return None
    return None


def occurs_again(rule: Rule, start: Slot, zone: ZoneInfo | None = None) -> bool:
    """Return whether a series that starts at `start` has a second slot."""
    following = next_slot(rule, start=start, slot=start, number=1, after=start, from_completion=False, zone=zone)
    return following is not None


def moment_of(slot: datetime, zone: ZoneInfo) -> datetime:
    """Return the moment of a wall-clock time, in UTC.

    A time that clocks skip is read with the offset before the change, so it becomes later: 02:30 becomes 03:30. Of a
    time that occurs twice, it is the first (RFC 5545 section 3.3.5). Raises OverflowError outside of the years 1 to
    9999.
    """
    return slot.replace(tzinfo=zone, fold=0).astimezone(timezone.utc)


def wall_of(moment: datetime, zone: ZoneInfo) -> datetime:
    """Return the wall-clock time of a moment. Raises OverflowError outside of the years 1 to 9999.

    Of a time that occurs twice, the second has `fold` set (PEP 495), as `next_slot` expects it of `after`.
    """
    return moment.astimezone(zone).replace(tzinfo=None)


def slot_at(moment: datetime, zone: ZoneInfo, start: datetime) -> datetime:
    """Return the slot, of a series that starts at `start`, whose moment is `moment`.

    It is the wall-clock time of the moment, unless clocks skip the slot: then the slot is the time before the change.
    """
    wall = wall_of(moment, zone)
    for days in range(LONGEST_GAP, -1, -1):
        if wall.toordinal() > 2 * days:  # in UTC, the first day may begin before the calendar
            slot = datetime.combine(date.fromordinal(wall.toordinal() - days), start.time()).replace(fold=0)
            if moment_of(slot, zone) == moment:
                return slot
    return wall


def last_day(until: date | datetime | None, zone: ZoneInfo | None) -> date:
    """Return the last day of a series in the zone."""
    if until is None:
        return date.max
    if isinstance(until, datetime) and until.tzinfo is not None and zone is not None:
        try:
            until = until.astimezone(zone)
        except OverflowError:
            return date.max if until.year == MAXYEAR else date.min
    return _day(until)


def _days_after(rule: Rule, *, start: date, origin: date, passed: date, floor: date) -> Iterator[tuple[date, int]]:
    """Yield the days of a rule after `passed` and `floor`, with their places among its days after `passed`, from 1.

    `start` gives the implicit parts; the interval counts from the period that `origin` is in.
    """
    counted, last, skipped = 0, passed.toordinal(), max(passed, floor).toordinal()
    for first, days in years(pattern_of(rule, start), rule.interval, origin):
        begin = bisect_right(days, last - first)
        for place in range(bisect_right(days, skipped - first, lo=begin), len(days)):
            yield date.fromordinal(first + days[place]), counted + place - begin + 1
        counted += len(days) - begin


def _day(slot: Slot) -> date:
    return slot.date() if isinstance(slot, datetime) else slot


def _comparable(slot: Slot, zone: ZoneInfo | None) -> Slot:
    """Return the moment of a time with a zone. Raises OverflowError."""
    if not isinstance(slot, datetime) or zone is None:
        return slot
    return slot.replace(tzinfo=zone).astimezone(timezone.utc)
