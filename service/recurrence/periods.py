"""Walk through the periods of a rule: days of the rule by year, month or week, at the rule's interval."""

from __future__ import annotations

import calendar
from collections.abc import Callable, Iterator, Sequence
from datetime import MAXYEAR, date
from math import gcd

from service.recurrence.patterns import Pattern, days_of_month, days_of_week, days_of_year

# The Gregorian calendar repeats after 400 years, which are whole weeks.
YEARS, MONTHS, WEEKS, DAYS = 400, 4_800, 20_871, 146_097
LAST_DAY = date.max.toordinal()

Period = tuple[int, Sequence[int]]


def periods(pattern: Pattern, interval: int, day: date) -> Iterator[Period]:
    """Yield the periods that have days, from the one with `day` on: the ordinal of its first day, and its days from 0.

    The first one may have days before `day`; the last one may have days after the year 9999. The iteration ends with
    that year, or when the calendar has repeated without a day. So it has at most 120,000 steps of less than 1 µs, and
    a few hundred for usual rules that never occur.
    """
    if pattern.frequency == "YEARLY":
        indexes, cycle, locate = range(day.year, MAXYEAR + 1, interval), YEARS // gcd(YEARS, interval), _years(pattern)
    elif pattern.frequency == "MONTHLY":
        indexes = range(day.year * 12 + day.month - 1, (MAXYEAR + 1) * 12, interval)
        cycle, locate = MONTHS // gcd(MONTHS, interval), _months(pattern)
    elif pattern.frequency == "WEEKLY":
        number = (day.toordinal() - 1 - pattern.week_start) // 7  # the first day of all is a Monday
        indexes, cycle = range(number, LAST_DAY // 7 + 1, interval), WEEKS // gcd(WEEKS, interval)
        locate = _weeks(pattern)
    else:
        indexes, cycle = range(day.year, MAXYEAR + 1), YEARS * interval // gcd(DAYS, interval)
        locate = _filtered_years(pattern, interval, day.toordinal())
    empty = 0
    for index in indexes:
        first, days = locate(index)
        if days:
            empty = 0
            yield first, days
        elif (empty := empty + 1) > cycle:
            return


def _first_day(year: int) -> int:
    """Return the ordinal of 1 January."""
    before = year - 1
    return before * 365 + before // 4 - before // 100 + before // 400 + 1


def _years(pattern: Pattern) -> Callable[[int], Period]:
    known: dict[tuple[bool, int], Sequence[int]] = {}

    def locate(year: int) -> Period:
        first = _first_day(year)
        kind = (calendar.isleap(year), (first - 1) % 7)
        if kind not in known:
            known[kind] = days_of_year(pattern, *kind)
        return first, known[kind]

    return locate


def _months(pattern: Pattern) -> Callable[[int], Period]:
    known: dict[tuple[int, int], Sequence[int]] = {}

    def locate(index: int) -> Period:
        year, month = index // 12, index % 12 + 1
        if pattern.by_month and month not in pattern.by_month:
            return 0, ()
        first = date(year, month, 1).toordinal()
        length = calendar.monthrange(year, month)[1]
        kind = (length, (first - 1) % 7)
        if kind not in known:
            known[kind] = days_of_month(pattern, *kind)
        return first, known[kind]

    return locate


def _weeks(pattern: Pattern) -> Callable[[int], Period]:
    known: dict[tuple[int, int, int], Sequence[int]] = {}

    def locate(number: int) -> Period:
        first = number * 7 + 1 + pattern.week_start
        begin = date.fromordinal(max(first, 1))
        end = date.fromordinal(min(first + 6, LAST_DAY))
        kind = (begin.month, end.month, end.day if begin.month != end.month else 0) if pattern.by_month else (0, 0, 0)
        if kind not in known:
            months = [begin.month if day < 7 - end.day else end.month for day in range(7)]
            known[kind] = days_of_week(pattern, months)
        return first, known[kind]

    return locate


def _filtered_years(pattern: Pattern, interval: int, day: int) -> Callable[[int], Period]:
    """Return the function that finds every `interval`-th day from the ordinal `day` on, if the pattern has it."""
    locate_all = _years(pattern)
    known: dict[tuple[int, int], Sequence[int]] = {}

    def locate(year: int) -> Period:
        first, days = locate_all(year)
        if interval == 1:
            return first, days
        phase = (day - first) % interval
        kind = (id(days), phase)
        if kind not in known:
            known[kind] = [found for found in days if found % interval == phase]
        return first, known[kind]

    return locate
