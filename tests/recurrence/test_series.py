"""Series: the slots are those of the npm package rrule-temporal, which implements RFC 5545 independently.

The comparison takes into account that the two differ on purpose:

- A time that clocks skip: the package leaves it out (RFC 5545 section 3.3.10); here it is read with the offset before
  the change. If that makes it the moment of the next slot (Apia skipped a whole day), there is one slot.
- A day that a month does not have: the package leaves it out. Here it clamps, so the package gets the rule in another
  form: SKIP=BACKWARD (RFC 7529) for the day of the start, and BYMONTHDAY=28,29,30,31;BYSETPOS=-1 for BYMONTHDAY=31.
- A rule without a further slot: the package gives up after a number of periods; here the series ends.

- BYSETPOS and a time that clocks skip: the package selects from the times that exist; here it selects from the days.

Version 2.2.8 of the package has faults in yearly rules with numbers in BYDAY. Such rules are left out: it ignores
BYMONTHDAY beside them, and weekdays without a number; it takes the first week of the next year for the 53rd week; and
it reads the numbers as those of the month when it decides whether COUNT includes the start.
"""

from __future__ import annotations

import json
import random
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, timezone
from itertools import islice
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from service.recurrence.patterns import pattern_of
from service.recurrence.rules import WEEKDAYS, read_rule
from service.recurrence.slots import Slot, moment_of, next_slot, read_zone, wall_of
from tests.end_to_end.npm import NODE, NPM, install

PACKAGE = Path(__file__).with_name("rrule_temporal")
SECONDS = 600  # for node, on a busy machine
ZONES = [
    "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "Pacific/Apia", "Africa/Casablanca",
]  # fmt: skip
SLOTS = 8  # of each series
PERIODS = 1_000  # days, weeks, months or years that the package looks at
# Versions of the time zone database agree about the past.
LAST = datetime(2025, 12, 30, tzinfo=timezone.utc)
CHANGES = range(2016, 2026)  # years

needs_node = pytest.mark.skipif(
    not (NODE and NPM), reason="LOUD: node is not installed, so slots are NOT compared with those of frontends"
)


@dataclass(frozen=True)
class Series:
    """A rule, the first slot, and its zone."""

    text: str
    start: Slot
    zone: ZoneInfo | None = None

    def slots(self, number: int = SLOTS) -> list[tuple[Slot, int]]:
        """Return the first slots and their numbers."""
        found: list[tuple[Slot, int]] = [(self.start, 1)]
        while len(found) < number and (following := self.after(*found[-1], after=found[-1][0])):
            found.append(following)
        return found

    def after(self, slot: Slot, number: int, *, after: Slot, from_completion: bool = False) -> tuple[Slot, int] | None:
        return next_slot(
            read_rule(self.text), start=self.start, slot=slot, number=number, after=after, zone=self.zone,
            from_completion=from_completion,
        )  # fmt: skip

    def moment(self, slot: Slot) -> datetime:
        return moment_of(slot, self.zone) if self.zone else datetime.combine(slot, time(), timezone.utc)

    def instant(self, time: Slot) -> datetime:
        """Return the moment of a slot, or of a current time that may be the second of two."""
        if not isinstance(time, datetime):
            return self.moment(time)
        return time.replace(tzinfo=self.zone).astimezone(timezone.utc)

    def is_skipped(self, slot: Slot) -> bool:
        """Return whether clocks skip this time."""
        return self.zone is not None and wall_of(self.moment(slot), self.zone) != slot

    def lines(self) -> str:
        """Return the series as lines of iCalendar for the package."""
        rule, text = read_rule(self.text), self.text
        pattern = pattern_of(rule, self.start)
        if pattern.clamped and rule.by_month_day:
            (last,) = rule.by_month_day
            days = ",".join(map(str, range(28, last + 1)))
            text = text.replace(f"BYMONTHDAY={last}", f"BYMONTHDAY={days};BYSETPOS=-1")
        elif pattern.clamped:
            text += ";RSCALE=GREGORIAN;SKIP=BACKWARD"
        start = f"{self.start:%Y%m%dT%H%M%S}"
        start = f";TZID={self.zone.key}:{start}" if self.zone else f":{start}Z"
        return f"DTSTART{start}\nRRULE:{text}"


def day_of(slot: Slot) -> date:
    return slot.date() if isinstance(slot, datetime) else slot


def some(chance: random.Random, items: list[int] | list[str], most: int) -> str:
    return ",".join(str(item) for item in chance.sample(items, chance.randint(1, most)))


def some_days(chance: random.Random, *, numbers: int) -> str:
    """Return a random BYDAY, with numbers up to `numbers`."""
    if not numbers:
        return some(chance, list(WEEKDAYS), 4)
    numbered = [f"{number}{day}" for number in range(-numbers, numbers + 1) for day in WEEKDAYS if number]
    return some(chance, numbered, 4)


def some_rule(chance: random.Random, *, positions: bool) -> str:
    """Return a random rule, with `positions` perhaps one that has BYSETPOS for the package."""
    frequency = chance.choice(["DAILY", "WEEKLY", "MONTHLY", "YEARLY"])
    parts = {}
    if chance.random() < 0.5:
        parts["INTERVAL"] = chance.choice([1, 2, 2, 3, 4, 5, 6, 7, 12, 13, chance.randint(1, 60)])
    if chance.random() < 0.3:
        parts["BYMONTH"] = some(chance, [*range(1, 13)], 4)
    if frequency != "WEEKLY" and chance.random() < 0.35:
        days = [*range(1, 29), *range(-31, 0)]
        short = positions and chance.random() < 0.3
        parts["BYMONTHDAY"] = chance.choice([29, 30, 31]) if short else some(chance, days, 5)
    if chance.random() < 0.5:
        numbers = 5 if frequency == "MONTHLY" or "BYMONTH" in parts else 52
        numbered = frequency in {"MONTHLY", "YEARLY"} and chance.random() < 0.6
        if not (numbered and frequency == "YEARLY" and "BYMONTHDAY" in parts):
            parts["BYDAY"] = some_days(chance, numbers=numbers if numbered else 0)
    if positions and {"BYMONTH", "BYMONTHDAY", "BYDAY"} & {*parts} and chance.random() < 0.35:
        parts["BYSETPOS"] = some(chance, [1, 2, 3, -1, -2], 2)
    if chance.random() < 0.2 and not (frequency == "YEARLY" and "BYDAY" in parts):
        parts["COUNT"] = chance.randint(2, 12)
    if chance.random() < 0.3:
        parts["WKST"] = chance.choice(WEEKDAYS)
    shuffled = chance.sample([*parts.items()], len(parts))
    return ";".join(f"{name}={value}" for name, value in [("FREQ", frequency), *shuffled])


def some_series(chance: random.Random) -> Iterator[Series]:
    """Yield random series without end."""
    ends = [date(2024, 2, 29), date(2000, 2, 29), date(2023, 1, 31), date(2023, 8, 31), date(2022, 12, 31)]
    times = ["00:00:00", "00:30:00", "02:30:00", "02:00:00", "09:00:00", "23:59:59"]
    while True:
        zone = chance.choice([None, *map(read_zone, ZONES)])
        day = date(chance.randint(1990, 2024), 1, 1) + timedelta(days=chance.randrange(365))
        day = chance.choice(ends) if chance.random() < 0.2 else day
        clock = chance.choice(times)
        start = datetime.fromisoformat(f"{day}T{clock}") if zone else day
        series = Series(some_rule(chance, positions=not zone or clock > "03"), start, zone)
        rule = read_rule(series.text)
        several = rule.frequency == "YEARLY" and len(rule.by_month) > 1 and rule.by_month_day == (29,)
        if not series.is_skipped(start) and not several:
            yield series


def changes(zone: ZoneInfo) -> Iterator[tuple[datetime, datetime]]:
    """Yield the wall-clock times before and after each change of the clock."""

    def offset(moment: datetime) -> timedelta:
        return moment.astimezone(zone).utcoffset()

    day, step = datetime(CHANGES.start, 1, 1, tzinfo=timezone.utc), timedelta(minutes=15)
    while day.year < CHANGES.stop:
        moment, day = day, day + timedelta(days=1)
        if offset(moment) != offset(day):
            while offset(moment) == offset(moment + step):
                moment += step
            yield wall_of(moment, zone) + step, wall_of(moment + step, zone)


def series_through_changes(chance: random.Random) -> Iterator[Series]:
    """Yield series with a slot at each change of the clock in ten years, in the middle of the time in question."""
    for zone in map(read_zone, ZONES):
        for before, after in changes(zone):
            slot = min(before, after) + abs(after - before) / 2
            for text, days in (
                ("DAILY", 2),
                ("WEEKLY", 14),
                ("MONTHLY;BYDAY=SU,MO,TU,WE,TH,FR,SA", 3),
                ("YEARLY", 365),
            ):
                rule = f"FREQ={text}"
                rule += f";BYMONTH={slot.month};BYMONTHDAY={slot.day}" if text == "YEARLY" else ""
                rule += f";COUNT={chance.randint(5, 20)}" if chance.random() < 0.2 else ""
                yield Series(rule, slot - timedelta(days=days), zone)


def computed(several: list[Series], times: list[tuple[str, str]]) -> dict[str, list]:
    """Return what the package computes."""
    install(PACKAGE)
    wanted = {"series": [(series.lines(), SLOTS + 4, PERIODS) for series in several], "times": times}
    done = subprocess.run(
        [NODE, "slots.mjs"],
        cwd=PACKAGE,
        input=json.dumps(wanted).encode(),
        timeout=SECONDS,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)


def difference(series: Series, slots: list[tuple[Slot, int]], theirs: dict) -> str | None:
    """Return how the slots after the start differ from those of the package, or None."""
    start, last = series.moment(series.start), series.moment(slots[-1][0])
    moments = [moment for moment in map(datetime.fromisoformat, theirs["moments"]) if moment > start]
    kept = [slot for slot, _ in slots[1:] if not series.is_skipped(slot) or series.moment(slot) in moments]
    ours = [series.moment(slot) for slot in kept]
    if len(slots) == SLOTS or len(kept) < len(slots) - 1:  # the package may have some more
        moments = [moment for moment in moments if moment <= last]
    if series.zone:
        ours, moments = [moment for moment in ours if moment < LAST], [moment for moment in moments if moment < LAST]
    if theirs["error"]:
        assert "Maximum iterations" in theirs["error"]
        looked_at = start + timedelta(days=PERIODS)
        ours = [moment for moment in ours if moment in moments or moment < looked_at]
    return None if ours == moments else f"{series.lines()!r}: {list(map(str, ours))}, not {list(map(str, moments))}"


def compare(several: list[Series]) -> None:
    """Compare the slots of series, and the moments of all wall-clock times, with the package."""
    slots = [series.slots() for series in several]
    times = [
        (slot, series.zone)
        for series, found in zip(several, slots, strict=True)
        for slot, _ in found
        if series.zone and moment_of(slot, series.zone) < LAST
    ]
    theirs = computed(several, [(slot.isoformat(), zone.key) for slot, zone in times])
    differences = map(difference, several, slots, theirs["series"])
    assert [found for found in differences if found] == []
    moments = [datetime.fromisoformat(moment) for moment in theirs["times"]]
    assert [moment_of(*time) for time in times] == moments


@needs_node
def test_random_series_and_every_change_of_the_clock_in_ten_years_agree_with_the_package():
    chance = random.Random(1005)  # of many seeds, this one gives rules with most parts
    through_changes = [*series_through_changes(chance)]
    assert len(through_changes) == 4 * 96
    compare([*through_changes[chance.randrange(4) :: 4], *islice(some_series(chance), 30)])


@needs_node
@pytest.mark.trial
def test_10_000_random_series_agree_with_the_package():
    chance = random.Random(7529)
    through_changes = [*series_through_changes(chance)]
    compare([*through_changes, *islice(some_series(chance), 10_000 - len(through_changes))])


def late_times(chance: random.Random, number: int) -> Iterator[tuple[Series, list[tuple[Slot, int]], Slot]]:
    """Yield random series, their first slots, and a time in the midst of them."""
    for series in islice(some_series(chance), number):
        slots = series.slots()
        (slot, _), days = chance.choice(slots), chance.randint(-2, 20)
        if isinstance(slot, datetime):
            yield series, slots, slot + timedelta(days=days, minutes=chance.randint(-90, 90))
        else:
            yield series, slots, slot + timedelta(days=days)


def check_late_completions(number: int) -> None:
    """Compare late completions with counting the slots one after another."""
    compared = 0
    for series, slots, now in late_times(random.Random(19), number):
        wanted = next((slot for slot in slots[1:] if series.instant(slot[0]) > series.instant(now)), None)
        if wanted or len(slots) < SLOTS:
            assert series.after(*slots[0], after=now) == wanted, (series, now)
            compared += 1
    assert compared > 0.8 * number


def check_completions(number: int) -> None:
    """Compare the next slot from completion with the series that starts on the day of completion."""
    chance, compared, most = random.Random(23), 0, 20
    for series, slots, now in late_times(chance, number):
        slot, place = chance.choice(slots)
        restarted = datetime.combine(now, series.start.time()) if isinstance(now, datetime) else now
        count = read_rule(series.text).count
        anew = Series(series.text.replace(f";COUNT={count}", ""), restarted, series.zone).slots(most)
        days = (found for found, _ in anew[1:] if day_of(found) > max(day_of(slot), day_of(now)))
        following = next((found for found in days if series.instant(found) > series.instant(slot)), None)
        if following:
            wanted = (following, place + 1) if count is None or place < count else None
            assert series.after(slot, place, after=now, from_completion=True) == wanted, (series, now)
            compared += 1
    assert compared > 0.7 * number


def test_a_late_completion_gives_the_slot_and_the_number_that_counting_gives():
    check_late_completions(80)


def test_from_completion_the_next_slot_is_one_of_the_series_that_starts_on_that_day():
    check_completions(50)


@pytest.mark.trial
def test_late_completions_and_the_rule_from_completion_hold_for_thousands_of_series():
    check_late_completions(5_000)
    check_completions(5_000)


@pytest.mark.parametrize("from_completion", [False, True])
def test_each_slot_is_later_than_the_one_before_it(from_completion):
    for series, slots, now in late_times(random.Random(29), 40):
        for slot, number in slots:
            found = series.after(slot, number, after=now, from_completion=from_completion)
            if found is not None:
                assert series.instant(found[0]) > series.instant(slot)
                assert from_completion or series.instant(found[0]) > series.instant(now)
                assert found[1] > number


def test_the_lock_file_names_no_registry():
    assert "resolved" not in (PACKAGE / "package-lock.json").read_text()
