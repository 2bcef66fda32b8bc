"""Write a rule for programs that know only RFC 5545: with its implicit parts, and with other words for short months."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, time
from functools import lru_cache
from zoneinfo import ZoneInfo

from service.recurrence.patterns import SHORTEST_MONTH, Pattern, days_of_month, pattern_of
from service.recurrence.rules import WEEKDAYS, Rule
from service.recurrence.slots import Slot, last_day, moment_of

LENGTHS = {month: {28, 29} if month == 2 else {30 + (month in {1, 3, 5, 7, 8, 10, 12})} for month in range(1, 13)}  # noqa: PLR2004 - the number of February


def standard_rule(rule: Rule, *, start: Slot, slot: Slot, number: int, zone: ZoneInfo) -> str | None:
    """Return the RRULE of a calendar component that begins at `slot` (its DTSTART), a slot by the schedule.

    It gives the slots from `slot` on, as `next_slot` does. Returns None if no RRULE gives them.

    `start` is the first slot of the series, and `number` the number of `slot`. UNTIL has the type that section 3.3.10
    requires: a day for days, and a moment in UTC for times in `zone`.
    """
    pattern = pattern_of(rule, start.date() if isinstance(start, datetime) else start)
    if pattern.clamped:
        unclamped = _unclamped(pattern, rule.interval)
        if unclamped is None:
            return None
        pattern = unclamped
    parts = {
        "FREQ": pattern.frequency,
        "INTERVAL": rule.interval if rule.interval > 1 else "",
        "BYMONTH": _joined(pattern.by_month),
        "BYMONTHDAY": _joined(pattern.by_month_day),
        "BYDAY": ",".join(f"{nth or ''}{WEEKDAYS[weekday]}" for nth, weekday in pattern.by_day),
        "BYSETPOS": _joined(pattern.by_set_position),
        "COUNT": "" if rule.count is None else max(rule.count - number + 1, 1),
        "UNTIL": _until(last_day(rule.until, zone), zone if isinstance(slot, datetime) else None),
        "WKST": WEEKDAYS[rule.week_start] if rule.week_start else "",
    }
    return ";".join(f"{name}={value}" for name, value in parts.items() if value)


def _joined(numbers: tuple[int, ...]) -> str:
    return ",".join(map(str, numbers))


def _until(day: date, zone: ZoneInfo | None) -> str:
    if day == date.max:
        return ""
    if zone is None:
        return day.isoformat().replace("-", "")
    last = moment_of(datetime.combine(day, time(23, 59, 59)), zone)
    return last.replace(tzinfo=None).isoformat().replace("-", "").replace(":", "") + "Z"


@lru_cache(maxsize=512)
def _unclamped(pattern: Pattern, interval: int) -> Pattern | None:
    """Return a pattern that gives the same days without `clamped`, or None if there is none.

    The 31st becomes the last day, -1. The 30th becomes the last of the days 28 to 30, by BYSETPOS. Each candidate is
    compared in months of each length.
    """
    months = pattern.by_month or tuple(range(1, 13))
    wanted = {length: days_of_month(pattern, length, 0) for month in months for length in LENGTHS[month]}
    days, last = pattern.by_month_day, max(pattern.clamped)
    for candidate in (days, (*(day for day in days if day != last), -1)):
        plain = replace(pattern, by_month_day=candidate, clamped=())
        if all(days_of_month(plain, length, 0) == found for length, found in wanted.items()):
            return plain
    pool = tuple(sorted({*days, *range(SHORTEST_MONTH, last + 1)}))
    positions = _positions(replace(pattern, by_month_day=pool, clamped=()), wanted)
    if not positions or (pattern.frequency == "YEARLY" and interval > 1):
        return None
    # Positions count within a year, if the frequency is YEARLY.
    return replace(pattern, frequency="MONTHLY", by_month_day=pool, by_set_position=positions, clamped=())


def _positions(pool: Pattern, wanted: Mapping[int, Sequence[int]]) -> tuple[int, ...]:
    """Return the positions, in the days of `pool`, of the `wanted` days in months of each length; else none."""
    offered = {length: days_of_month(pool, length, 0) for length in wanted}
    missing = {(length, day) for length, days in wanted.items() for day in days}
    found = []
    for position in (-1, *range(1, len(pool.by_month_day) + 1)):
        chosen = {
            (length, days[position - (position > 0)]) for length, days in offered.items() if abs(position) <= len(days)
        }
        if chosen & missing and all(day in wanted[length] for length, day in chosen):
            found.append(position)
            missing -= chosen
    return () if missing else tuple(found)
