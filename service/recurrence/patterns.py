"""Find the days of a rule in a year, without its interval.

There are only 14 kinds of years and 28 kinds of months, by their length and their first weekday. Each kind is expanded
once for a rule, and looked up afterwards.
"""

from __future__ import annotations

import calendar
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import MAXYEAR, date, datetime, time
from functools import lru_cache
from itertools import accumulate
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
    by_month, by_month_day, by_day, clamped = rule.by_month, rule.by_month_day, rule.by_day, set[int]()
    if rule.frequency == "WEEKLY":
        by_day = by_day or ((0, start.weekday()),)
    elif rule.frequency in {"MONTHLY", "YEARLY"} and not by_day:
        if not by_month_day and rule.frequency == "YEARLY":
            by_month = by_month or (start.month,)
        by_month_day = by_month_day or (start.day,)
        clamped = {day for day in by_month_day if day > SHORTEST_MONTH}
        if rule.by_month_day and rule.frequency == "YEARLY":  # such as 31 April, which is a mistake; 29 February is not
            clamped &= {29} if 2 in by_month else set()  # noqa: PLR2004 - the number of February
    return Pattern(
        frequency=rule.frequency,
        week_start=rule.week_start,
        by_month=by_month,
        by_month_day=by_month_day,
        by_day=by_day,
        by_set_position=rule.by_set_position,
        clamped=() if rule.by_set_position else tuple(sorted(clamped)),
    )


@lru_cache
def first_days_of_months(leap: bool) -> list[int]:  # noqa: FBT001 - part of a key
    """Return the days of the year on which its months begin, from 0, and the number of its days."""
    lengths = (calendar.monthrange(2024 if leap else 2023, month)[1] for month in range(1, 13))
    return list(accumulate(lengths, initial=0))


@lru_cache(maxsize=512)
def days_of_year(pattern: Pattern, leap: bool, weekday: int) -> Sequence[int]:  # noqa: FBT001 - part of a key
    """Return the days of a year, 0 for 1 January, by its kind: a leap year or not, and the weekday of 1 January."""
    if pattern.frequency == "WEEKLY":
        return _by_weeks(pattern, leap, weekday)
    if pattern.frequency == "DAILY" and not (pattern.by_month or pattern.by_month_day or pattern.by_day):
        return range(365 + leap)
    if pattern.frequency == "MONTHLY" or not (
        pattern.frequency == "DAILY" or pattern.by_day or pattern.by_set_position
    ):
        begins = first_days_of_months(leap)
        return [
            begins[month - 1] + day
            for month in sorted(pattern.by_month) or range(1, 13)
            for day in days_of_month(pattern, begins[month] - begins[month - 1], (weekday + begins[month - 1]) % 7)
        ]
    return _expanded(pattern, rrule.YEARLY, YEARS[leap, weekday])


def _by_weeks(pattern: Pattern, leap: bool, weekday: int) -> list[int]:  # noqa: FBT001 - part of a key
    """Return the days of a year in its weeks, of which the first and the last one may be in two years."""
    weekdays = {weekday for _number, weekday in pattern.by_day}
    length, found = 365 + leap, list[int]()
    for begin in range(-((weekday - pattern.week_start) % 7), length, 7):
        days = [
            begin + day
            for day in range(7)
            if (pattern.week_start + day) % 7 in weekdays
            and (not pattern.by_month or _month(begin + day, leap) in pattern.by_month)
        ]
        if pattern.by_set_position:
            places = (place - (place > 0) for place in pattern.by_set_position if abs(place) <= len(days))
            days = sorted({days[place] for place in places})
        found += (day for day in days if 0 <= day < length)
    return found


def _month(day: int, leap: bool) -> int:  # noqa: FBT001 - part of a key
    """Return the month of a day of the year, also for days in the weeks around the year."""
    return (bisect_right(first_days_of_months(leap), day) - 1) % 12 + 1


@lru_cache(maxsize=512)
def days_of_month(pattern: Pattern, length: int, weekday: int) -> Sequence[int]:
    """Return the days of a month, 0 for its first one, by its length and its first weekday; BYMONTH is not regarded."""
    if pattern.by_day or pattern.by_set_position:
        return _expanded(pattern, rrule.MONTHLY, MONTHS[length, weekday])
    days = (min(day, length) if day in pattern.clamped else day for day in pattern.by_month_day)
    return sorted({day - 1 if day > 0 else length + day for day in days if abs(day) <= length})


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
