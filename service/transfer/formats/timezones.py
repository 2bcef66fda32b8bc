"""Describe a time zone to calendars: VTIMEZONE (RFC 5545 section 3.6.5), from the offsets that `zoneinfo` knows."""

from __future__ import annotations

import calendar
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta, timezone
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple
from zoneinfo import ZoneInfo

from service.recurrence.rules import WEEKDAYS
from service.recurrence.zones import read_zone

FIRST, LAST_YEAR = datetime(1970, 1, 1, tzinfo=timezone.utc), 2099
STEP = timedelta(days=6)  # since 1970, no zone has changed its clocks twice within 6 days
SECOND = timedelta(seconds=1)
# After 28 years, each day of the year has been each day of the week. So a rule has shown all the days that it can give.
CYCLE = 28  # years
WEEK = 7


class Clock(NamedTuple):
    """The clocks of a zone: their offset from UTC, whether it is daylight saving time, and its abbreviation."""

    offset: timedelta
    is_daylight: bool
    name: str


class Change(NamedTuple):
    """A change of the clocks. `onset` is the time on the clocks before the change."""

    onset: datetime
    before: timedelta
    after: Clock


@lru_cache(maxsize=100)
def timezone_lines(name: str) -> Sequence[str]:
    """Return the content lines of the zone `name`, which `read_zone` knows.

    They are exact from 1970 to 2099. Changes that repeat each year by then continue after it. The first call for a zone
    takes 10 ms.
    """
    zone = read_zone(name)
    first, changes = _clock(FIRST, zone), _changes(zone)
    start = Change((FIRST + first.offset).replace(tzinfo=None), first.offset, first)
    lines = ["BEGIN:VTIMEZONE", f"TZID:{name}", *_observance([start])]
    for repeated in _repeated(changes):
        lines += _observance(repeated[:1], _rule(repeated))
        changes = [change for change in changes if change not in repeated]
    single: dict[tuple[timedelta, Clock], list[Change]] = defaultdict(list)
    for change in changes:
        single[change.before, change.after].append(change)
    for group in single.values():
        lines += _observance(group)
    return (*lines, "END:VTIMEZONE")


def _changes(zone: ZoneInfo) -> list[Change]:
    """Return the changes of the offset, in their order."""
    steps = [FIRST]
    while steps[-1].year <= LAST_YEAR:
        steps.append(steps[-1] + STEP)
    changes = []
    for (step, before), (following, after) in pairwise((step, _offset(step, zone)) for step in steps):
        if before != after:
            moment = _moment(step, following, zone)
            changes.append(Change((moment + before).replace(tzinfo=None), before, _clock(moment, zone)))
    return changes


def _moment(low: datetime, high: datetime, zone: ZoneInfo) -> datetime:
    """Return the moment between `low` and `high` from which the offset is that at `high`."""
    before = _offset(low, zone)
    while high - low > SECOND:
        middle = (low + (high - low) / 2).replace(microsecond=0)
        low, high = (middle, high) if _offset(middle, zone) == before else (low, middle)
    return high


def _clock(moment: datetime, zone: ZoneInfo) -> Clock:
    local = moment.astimezone(zone)
    return Clock(_offset(moment, zone), bool(local.dst()), local.tzname() or "")


def _offset(moment: datetime, zone: ZoneInfo) -> timedelta:
    return moment.astimezone(zone).utcoffset() or timedelta()


def _repeated(changes: Sequence[Change]) -> Iterator[list[Change]]:
    """Yield the changes that a rule describes: each year until the last one, on one weekday of the same seven days."""
    kinds: dict[object, list[Change]] = defaultdict(list)
    for change in changes:
        onset = change.onset
        kinds[change.before, change.after, onset.month, onset.weekday(), onset.time()].append(change)
    for kind in kinds.values():
        found: list[Change] = []
        for change in reversed(kind):
            days = [one.onset.day for one in (change, *found)]
            if change.onset.year != LAST_YEAR - len(found) or max(days) - min(days) >= WEEK:
                break
            found.insert(0, change)
        if len(found) >= CYCLE:
            yield found


def _rule(changes: Sequence[Change]) -> str:
    onset, first = changes[0].onset, min(change.onset.day for change in changes)
    weekday = WEEKDAYS[onset.weekday()]
    if first + WEEK > calendar.monthrange(onset.year, onset.month)[1]:
        days = f"BYDAY=-1{weekday}"
    elif first % WEEK == 1:
        days = f"BYDAY={first // WEEK + 1}{weekday}"
    else:
        days = f"BYMONTHDAY={','.join(map(str, range(first, first + WEEK)))};BYDAY={weekday}"
    return f"RRULE:FREQ=YEARLY;BYMONTH={onset.month};{days}"


def _observance(changes: Sequence[Change], rule: str | None = None) -> Iterator[str]:
    first, kind = changes[0], "DAYLIGHT" if changes[0].after.is_daylight else "STANDARD"
    yield f"BEGIN:{kind}"
    yield f"DTSTART:{_local(first.onset)}"
    yield f"TZOFFSETFROM:{_hours(first.before)}"
    yield f"TZOFFSETTO:{_hours(first.after.offset)}"
    yield f"TZNAME:{first.after.name}"
    if rule:
        yield rule
    elif changes[1:]:
        yield f"RDATE:{','.join(_local(change.onset) for change in changes[1:])}"
    yield f"END:{kind}"


def _local(time: datetime) -> str:
    return f"{time:%Y%m%dT%H%M%S}"


def _hours(offset: timedelta) -> str:
    """Format an offset from UTC (section 3.3.14)."""
    minutes, seconds = divmod(abs(int(offset.total_seconds())), 60)
    sign = "-" if offset < timedelta() else "+"
    return f"{sign}{minutes // 60:02}{minutes % 60:02}{f'{seconds:02}' if seconds else ''}"
