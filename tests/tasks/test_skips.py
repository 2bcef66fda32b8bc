"""POST …/skip: where it moves a task whose next slot is today, still to come, or over."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, time, timedelta, timezone
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from service.errors import InvalidInputError
from service.recurrence.zones import read_zone
from service.tasks.series import Recurrence, Repeat, begin
from tests.tasks.test_recurrence import Series

RULES = [
    "FREQ=DAILY", "FREQ=DAILY;INTERVAL=3", "FREQ=DAILY;COUNT=5", "FREQ=WEEKLY", "FREQ=WEEKLY;BYDAY=MO,TH,SU",
    "FREQ=WEEKLY;INTERVAL=2;COUNT=3", "FREQ=MONTHLY", "FREQ=MONTHLY;BYDAY=-1FR", "FREQ=YEARLY",
    "FREQ=DAILY;UNTIL=20260401",
]  # fmt: skip
ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Pacific/Kiritimati", "Etc/GMT+12", "Australia/Lord_Howe"]
CLOCKS = [time(0), time(2, 30), time(9), time(23, 59, 59)]


@pytest.fixture
def series(alice) -> Series:
    return Series(alice)


def zone_at_noon() -> ZoneInfo:
    """A time zone in which it is about noon now, so that no test sees a midnight."""
    hours = 12 - datetime.now(timezone.utc).hour
    return read_zone(f"Etc/GMT{-hours:+}")  # POSIX counts to the west


async def begun(series: Series, zone: ZoneInfo, slot: date, next_due: date, **repeat: str) -> dict:
    """Return a task that was written on its due day, in the past."""
    task = {
        "title": "Water", "due_date": slot.isoformat(), "series": str(uuid4()), "series_start": slot.isoformat(),
        "occurrence": slot.isoformat(), "occurrence_number": 1, "next_due": next_due.isoformat(),
        "repeat": {"rrule": "FREQ=DAILY", "timezone": zone.key, **repeat},
    }  # fmt: skip
    file = await series.caller.post("/api/alice/import", json={"tasks": [task]})
    assert file.status_code == 200, file.text
    (made,) = await series.all()
    return made


async def skip(series: Series, task: dict) -> dict:
    response = await series.send("POST", task, "/skip")
    assert response.status_code == 200, response.text
    return response.json()


async def test_skipping_yesterday_moves_to_the_slot_of_today(series):
    zone = zone_at_noon()
    today, day = datetime.now(zone).date(), timedelta(days=1)
    task = await begun(series, zone, today - day, today)
    moved = await skip(series, task)
    expected = {"due_date": str(today), "occurrence": str(today), "occurrence_number": 2, "next_due": str(today + day)}
    assert moved == task | expected | {"version": moved["version"], "updated_at": moved["updated_at"]}
    assert (await skip(series, moved))["due_date"] == str(today + day)


async def test_the_slot_of_today_may_be_the_last_one(series, refusal):
    zone = zone_at_noon()
    today, day = datetime.now(zone).date(), timedelta(days=1)
    moved = await skip(series, await begun(series, zone, today - day, today, rrule="FREQ=DAILY;COUNT=2"))
    assert (moved["due_date"], moved["next_due"]) == (str(today), None)
    refusal(await series.send("POST", moved, "/skip"), 409, "nothing_to_skip")


async def test_if_the_next_slot_is_over_a_skip_moves_to_the_first_one_that_is_not(series):
    zone = zone_at_noon()
    today, day = datetime.now(zone).date(), timedelta(days=1)
    moved = await skip(series, await begun(series, zone, today - 9 * day, today - 8 * day))
    assert (moved["due_date"], moved["occurrence_number"]) == (str(today), 10)


@pytest.mark.parametrize("left", [0, 1])
async def test_from_the_completion_a_skip_moves_to_next_due_as_well(series, left):
    """A next_due of today is not over yet."""
    zone = zone_at_noon()
    today, day = datetime.now(zone).date(), timedelta(days=1)
    again = {"rrule": "FREQ=DAILY;INTERVAL=3", "from": "completion"}
    task = await begun(series, zone, today + (left - 3) * day, today + left * day, **again)
    moved = await skip(series, task)
    assert (moved["due_date"], moved["occurrence_number"]) == (str(today + left * day), 2)
    assert moved["next_due"] == str(today + (left + 3) * day)


async def test_skipping_in_a_batch_moves_to_the_slot_of_today_too(series):
    zone = zone_at_noon()
    today, day = datetime.now(zone).date(), timedelta(days=1)
    task = await begun(series, zone, today - day, today)
    body = {"operations": [{"op": "skip", "id": task["id"]}]}
    response = await series.caller.post("/api/alice/batch", json=body)
    assert response.json()["results"][0]["task"]["due_date"] == str(today)


def is_over(place: Recurrence, now: datetime) -> bool:
    due = place.due
    return due <= now if isinstance(due, datetime) else due < now.astimezone(place.repeat.zone).date()


def steps(place: Recurrence) -> Iterator[Recurrence]:
    """Yield the places after `place` by the schedule, one after another."""
    while place := place._following(place.slot):
        yield place


@settings(max_examples=100)
@given(
    repeat=st.builds(
        Repeat, st.sampled_from(RULES), st.sampled_from(["schedule", "completion"]), st.sampled_from(ZONES)
    ),
    day=st.dates(date(2026, 1, 1), date(2026, 3, 31)), clock=st.none() | st.sampled_from(CLOCKS),
    early=st.timedeltas(timedelta(days=-5), timedelta(days=20)), later=st.timedeltas(timedelta(), timedelta(days=60)),
)  # fmt: skip
def test_a_skip_moves_to_next_due_while_that_is_not_over(repeat, day, clock, early, later):
    zoned = repeat.zone
    due = datetime.combine(day, clock, zoned).astimezone(timezone.utc) if clock else day
    written = datetime.combine(day, clock or time(12), zoned).astimezone(timezone.utc) + early
    try:
        place = begin(repeat, due, written)
    except InvalidInputError:  # the rule ends before the due
        return
    assume(place.next_due)
    now = written + later
    moved = place.skipped(now)
    following = Recurrence(repeat, place.series, place.next_due, None, place.series_start, 0)
    if not is_over(following, now):
        assert moved is not None
        assert moved.occurrence == place.next_due
    assert moved is None or not is_over(moved, now)
    if repeat.origin == "completion":
        assert moved is None or moved.occurrence_number == 2
        return
    places = (one for one in steps(place) if one.occurrence >= place.next_due and not is_over(one, now))
    assert moved == next(places, None)
