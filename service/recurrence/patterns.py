"""Find the days of a rule within one year, month or week.

A rule never walks through the calendar here. There are only 14 kinds of years and 28 kinds of months, by their length
and their first weekday; each kind is expanded once, and looked up afterwards.
"""

from __future__ import annotations

import calendar
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import MAXYEAR, date, datetime, time
from functools import lru_cache
from typing import Literal

from dateutil import rrule

from service.recurrence.rules import MOST_WEEKS, MOST_WEEKS_OF_A_MONTH, Frequency, Rule

# dateutil looks for the next period that has a day, up to the year 9999. After so many months there is none.
BEYOND_THE_LAST_YEAR = 12 * MAXYEAR
SHORTEST_MONTH = 28

# In 28 years without a change of century, each kind of year and month occurs.
YEARS = {(calendar.isleap(year), date(year, 1, 1).weekday()): date(year, 1, 1) for year in range(2000, 2028)}
MONTHS = {
    (calendar.monthrange(year, month)[1], date(year, month, 1).weekday()): date(year, month, 1)
    for year in range(2000, 2028)
    for month in range(1, 13)
}


@dataclass(frozen=True, slots=True)
class Pattern:
    """The parts of a rule that select days, with the implicit parts filled in.

    `clamped` are the days of a month that become the last day of a shorter month, as with SKIP=BACKWARD (RFC 7529).
    The other days that a month does not have are left out.
    """

    frequency: Frequency
    week_start: int
    by_month: tuple[int, ...]
    by_month_day: tuple[int, ...]
    by_day: tuple[tuple[int, int], ...]
    by_set_position: tuple[int, ...]
    clamped: tuple[int, ...]


def pattern_of(rule: Rule, start: date) -> Pattern:
    """Return the pattern of a rule whose implicit parts come from `start` (RFC 5545 section 3.3.10, on DTSTART)."""
    by_month, by_month_day, by_day = rule.by_month, rule.by_month_day, rule.by_day
    clamped: tuple[int, ...] = ()
    if rule.frequency == "WEEKLY":
        by_day = by_day or ((0, start.weekday()),)
    elif rule.frequency in {"MONTHLY", "YEARLY"} and not by_day:
        if not by_month_day and rule.frequency == "YEARLY":
            by_month = by_month or (start.month,)
        clamped = tuple(day for day in by_month_day or (start.day,) if day > SHORTEST_MONTH)
        if by_month_day and rule.frequency == "YEARLY":
            clamped = (29,) if 2 in by_month else ()  # noqa: PLR2004 - 29 February
        by_month_day = by_month_day or (start.day,)
    clamped = () if rule.by_set_position else clamped
    return Pattern(rule.frequency, rule.week_start, by_month, by_month_day, by_day, rule.by_set_position, clamped)


def days_of_week(pattern: Pattern, months: Sequence[int]) -> Sequence[int]:
    """Return the days of a week, 0 for its first one. `months` has the month of each of its seven days."""
    weekdays = {weekday for _number, weekday in pattern.by_day}
    days = [
        day
        for day in range(7)
        if (pattern.week_start + day) % 7 in weekdays and (not pattern.by_month or months[day] in pattern.by_month)
    ]
    if not pattern.by_set_position:
        return days
    found = {days[place - (place > 0)] for place in pattern.by_set_position if -len(days) <= place <= len(days)}
    return sorted(found)


@lru_cache(maxsize=512)
def days_of_month(pattern: Pattern, length: int, weekday: int) -> Sequence[int]:
    """Return the days of a month, 0 for its first one, by its length and its first weekday; BYMONTH is not regarded."""
    if pattern.by_day or pattern.by_set_position:
        return _expanded(pattern, rrule.MONTHLY, MONTHS[length, weekday])
    days = (min(day, length) if day in pattern.clamped else day for day in pattern.by_month_day)
    return sorted({day - 1 if day > 0 else length + day for day in days if abs(day) <= length})


@lru_cache(maxsize=512)
def days_of_year(pattern: Pattern, leap: bool, weekday: int) -> Sequence[int]:  # noqa: FBT001 - part of a lookup key
    """Return the days of a year, 0 for 1 January, by its kind: a leap year or not, and the weekday of 1 January."""
    first = YEARS[leap, weekday]
    if pattern.frequency == "DAILY" and not (pattern.by_month or pattern.by_month_day or pattern.by_day):
        return range(365 + leap)
    if pattern.frequency == "DAILY" or pattern.by_day or pattern.by_set_position:
        return _expanded(pattern, rrule.YEARLY, first)
    days: list[int] = []
    for month in sorted(pattern.by_month) or range(1, 13):
        begin = first.replace(month=month)
        length = calendar.monthrange(begin.year, month)[1]
        days += ((begin - first).days + day for day in days_of_month(pattern, length, begin.weekday()))
    return days


def _expanded(pattern: Pattern, frequency: Literal[0, 1], first: date) -> Sequence[int]:
    """Return the days of one month or year as dateutil finds them, 0 for the first one.

    Days of a daily rule are the days of the year that pass its filters. A set of them has one day, the first and last.
    """
    positions, weekdays = pattern.by_set_position, _weekdays(pattern)
    if pattern.frequency == "DAILY":
        if positions and not {1, -1} & {*positions}:
            return ()
        positions, weekdays = (), weekdays or list(rrule.weekdays)
    found = rrule.rrule(
        frequency,
        dtstart=datetime.combine(first, time()),
        interval=BEYOND_THE_LAST_YEAR,
        wkst=pattern.week_start,
        bymonth=pattern.by_month if frequency == rrule.YEARLY else None,
        bymonthday=pattern.by_month_day,
        byweekday=weekdays,
        bysetpos=positions or None,
    )
    return [(day.date() - first).days for day in found]


def _weekdays(pattern: Pattern) -> list[rrule.weekday]:
    """Return BYDAY for dateutil, which finds no day at all if some weekdays have numbers and others have none."""
    numbered = any(number for number, _weekday in pattern.by_day)
    weeks = MOST_WEEKS_OF_A_MONTH if pattern.frequency == "MONTHLY" or pattern.by_month else MOST_WEEKS
    return [
        rrule.weekday(weekday, each)
        for number, weekday in pattern.by_day
        for each in ([number or None] if number or not numbered else range(1, weeks + 1))
    ]
