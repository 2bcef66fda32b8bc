"""Walk through the years of a rule, and apply its interval.

All frequencies are walked by years. A rule may be late by two thousand years, or have no day up to the year 9999, so
each year costs no more than a look-up: years of one kind, at the same place in the interval, have the same days.
"""

from __future__ import annotations

import calendar
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from datetime import MAXYEAR, date
from math import gcd

from service.recurrence.patterns import Pattern, days_of_year, first_days_of_months

# The Gregorian calendar repeats after 400 years, which are whole weeks.
CYCLE = 400  # years
DAYS = 146_097  # of a cycle


def years(pattern: Pattern, interval: int, day: date) -> Iterator[tuple[int, Sequence[int]]]:
    """Yield the years of a rule that have days: the ordinal of 1 January, and its days in order, 0 for 1 January.

    The interval counts from the year, month, week or day that `day` is in. That year is the first one, with its days
    before `day`, too. The iteration ends with the year 9999, or as soon as the calendar has repeated without a day.
    """
    step = interval if pattern.frequency == "YEARLY" else 1
    most = _cycle(pattern, interval) // step
    phase_of = _phases(pattern, interval, day)
    kinds, known, empty = dict[int, Sequence[int]](), dict[tuple[int, int], Sequence[int]](), 0
    for year in range(day.year, MAXYEAR + 1, step):
        before = year - 1
        first = before * 365 + before // 4 - before // 100 + before // 400 + 1
        leap, weekday = calendar.isleap(year), (first - 1) % 7
        kind = weekday + 7 * leap
        if (days := kinds.get(kind)) is None:
            days = kinds[kind] = days_of_year(pattern, leap, weekday)
        if days and interval > 1 and step == 1:
            key = (kind, phase_of(year, first))
            if (selected := known.get(key)) is None:
                selected = known[key] = _selected(pattern, interval, days, leap, key[1])
            days = selected
        if days:
            empty = 0
            yield first, days
        elif (empty := empty + 1) > most:
            return


def _cycle(pattern: Pattern, interval: int) -> int:
    """Return the number of years after which the days of a rule repeat."""
    if pattern.frequency == "YEARLY":
        return CYCLE * interval // gcd(CYCLE, interval)
    if pattern.frequency == "MONTHLY":
        return CYCLE * interval // gcd(CYCLE * 12, interval)
    length = interval * (7 if pattern.frequency == "WEEKLY" else 1)
    return CYCLE * length // gcd(DAYS, length)


def _phases(pattern: Pattern, interval: int, day: date) -> Callable[[int, int], int]:
    """Return the function of a year and its first day that gives its place in the interval: the first period of it."""
    if pattern.frequency == "YEARLY":
        return lambda _year, _first: 0
    if pattern.frequency == "MONTHLY":
        month = day.year * 12 + day.month - 1
        return lambda year, _first: (month - year * 12) % interval
    if pattern.frequency == "WEEKLY":
        start = day.toordinal() - (day.weekday() - pattern.week_start) % 7
        return lambda _year, first: (start - first) % (interval * 7)
    start = day.toordinal()
    return lambda _year, first: (start - first) % interval


def _selected(pattern: Pattern, interval: int, days: Sequence[int], leap: bool, phase: int) -> Sequence[int]:  # noqa: FBT001 - part of a key
    """Return those of the days of a year that are in every `interval`-th period; `phase` is the first one."""
    if pattern.frequency == "MONTHLY":
        begins = first_days_of_months(leap)
        periods = [(begins[month], begins[month + 1]) for month in range(phase, 12, interval)]
    else:
        length = 7 if pattern.frequency == "WEEKLY" else 1
        step = length * interval
        periods = [(begin, begin + length) for begin in range(phase - step, 366, step)]  # a week may begin in December
    return [day for begin, end in periods for day in days[bisect_left(days, begin) : bisect_left(days, end)]]
