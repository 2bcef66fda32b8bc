"""Repeating tasks in iCalendar: the `icalendar` library reads them, and the standard gives the slots of the service."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone

import icalendar
import pytest
from dateutil.rrule import rrulestr

from service.recurrence.zones import read_zone
from service.transfer.formats.timezones import timezone_lines

EXPORT = "/api/me/export"
ZONES = [
    "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "Pacific/Apia", "Africa/Casablanca",
    "Europe/Dublin", "Asia/Jerusalem", "America/Nuuk", "Africa/Monrovia", "America/Sao_Paulo", "Etc/GMT+12",
]  # fmt: skip


async def make(caller, rrule: str, due: str, title: str = "A", **repeat: str) -> dict:
    repeat = {"rrule": rrule, "from": "schedule"} | repeat
    return await caller.make(title, repeat=repeat, **{"due_at" if "T" in due else "due_date": due})


async def act(caller, task: dict, action: str, **body: object) -> dict:
    method, path = ("PATCH", "") if action == "patch" else ("POST", f"/{action}")
    response = await caller.request(method, f"{caller.path}/{task['uid']}{path}", json=body)
    assert response.status_code == 200, response.text
    return response.json()


async def calendar_of(caller) -> icalendar.Calendar:
    response = await caller.get(EXPORT, params={"format": "ical"})
    assert response.status_code == 200
    assert max(map(len, response.content.split(b"\r\n"))) <= 75
    return icalendar.Calendar.from_ical(response.content)


async def todos_of(caller) -> list[icalendar.Todo]:
    return (await calendar_of(caller)).walk("VTODO")


def rule_of(todo: icalendar.Todo) -> str:
    return todo["rrule"].to_ical().decode()


async def test_an_open_task_of_a_series_of_days_has_its_rule_from_its_slot_on(alice):
    task = await make(alice, "FREQ=MONTHLY;COUNT=9", "2090-01-31")
    await act(alice, task, "complete", completed=True)
    done, after = await todos_of(alice)
    assert (done["status"], done["due"].dt, "rrule" in done, "dtstart" in done) == (
        "COMPLETED", date(2090, 1, 31), False, False
    )  # fmt: skip
    assert (after["status"], after["dtstart"].dt, after["due"].dt) == (
        "NEEDS-ACTION", date(2090, 2, 28), date(2090, 2, 28)
    )  # fmt: skip
    assert rule_of(after) == "FREQ=MONTHLY;COUNT=8;BYMONTHDAY=-1"
    assert done["uid"] != after["uid"]


async def test_a_series_of_times_keeps_its_time_in_its_time_zone_which_the_calendar_describes(alice):
    for title in ("A", "B"):
        await make(alice, "FREQ=DAILY;UNTIL=20900410", "2090-03-24T02:30:00+01:00", title, timezone="Europe/Berlin")
    await make(alice, "FREQ=WEEKLY", "2090-01-05T09:00:00-05:00", "C", timezone="America/New_York")
    await make(alice, "FREQ=DAILY", "2090-01-05T09:00:00Z", "D", timezone="UTC")
    await make(alice, "FREQ=DAILY", "2090-01-05", "E", timezone="Asia/Tokyo")
    calendar = await calendar_of(alice)
    assert [zone["tzid"] for zone in calendar.walk("VTIMEZONE")] == ["Europe/Berlin", "America/New_York"]
    names = [component.name for component in calendar.subcomponents]
    assert names == ["VTIMEZONE", "VTODO", "VTODO", "VTIMEZONE", "VTODO", "VTODO", "VTODO"]
    first, _, third, fourth, fifth = calendar.walk("VTODO")
    assert first["dtstart"].to_ical() == first["due"].to_ical() == b"20900324T023000"
    assert first["dtstart"].params["tzid"] == "Europe/Berlin"
    assert rule_of(first) == "FREQ=DAILY;UNTIL=20900410T215959Z"
    begin = first["dtstart"].dt.replace(tzinfo=read_zone("Europe/Berlin"))
    slots = [slot.astimezone(timezone.utc) for slot in rrulestr(rule_of(first), dtstart=begin)]
    assert [f"{slot:%d %H:%M}" for slot in slots[:4]] == ["24 01:30", "25 01:30", "26 01:30", "27 00:30"]
    assert (slots[-1].day, len(slots)) == (10, 18)
    assert third["dtstart"].to_ical() == b"20900105T090000"
    assert fourth["dtstart"].to_ical() == fourth["due"].to_ical() == b"20900105T090000Z"
    assert "tzid" not in fourth["dtstart"].params
    assert fifth["dtstart"].dt == date(2090, 1, 5)


async def test_a_moved_occurrence_replaces_that_of_its_slot(alice):
    task = await make(alice, "FREQ=WEEKLY", "2090-01-05T09:00:00+01:00", timezone="Europe/Berlin")
    await act(alice, task, "patch", due_at="2090-01-06T10:00:00+01:00", tags=["home"])
    day = await make(alice, "FREQ=WEEKLY", "2090-01-05", timezone="Europe/Berlin")
    await act(alice, day, "patch", due_at="2090-01-06T10:00:00Z")
    whole, moved, days, moved_day = await todos_of(alice)
    assert whole["uid"] == moved["uid"] == task["uid"]
    assert whole["dtstart"].to_ical() == moved["recurrence-id"].to_ical() == b"20900105T090000"
    assert moved["recurrence-id"].params["tzid"] == "Europe/Berlin"
    assert whole["due"].to_ical() == b"20900105T090000"
    assert moved["due"].dt == datetime(2090, 1, 6, 9, tzinfo=timezone.utc)
    assert ("rrule" in whole, "rrule" in moved, "dtstart" in moved) == (True, False, False)
    assert str(moved["summary"]) == str(whole["summary"])
    assert moved["categories"].cats == whole["categories"].cats
    assert days["dtstart"].dt == moved_day["recurrence-id"].dt == date(2090, 1, 5)
    assert moved_day["due"].dt == datetime(2090, 1, 6, 10, tzinfo=timezone.utc)


async def test_a_series_that_no_rrule_can_express_has_its_repetition_in_a_property_of_ours(alice):
    await make(alice, "FREQ=DAILY;INTERVAL=3", "2090-01-05", "A", **{"from": "completion"})
    await make(alice, "FREQ=MONTHLY;BYMONTHDAY=30,-3", "2090-01-30", "B")
    first, second = await todos_of(alice)
    assert not {"rrule", "dtstart"} & ({name.lower() for name in first} | {name.lower() for name in second})
    assert first["due"].dt == date(2090, 1, 5)
    own = [str(todo["x-doable-repeat"]).replace("\\", "") for todo in (first, second)]
    assert own == [
        '{"rrule":"FREQ=DAILY;INTERVAL=3","from":"completion"}',
        '{"rrule":"FREQ=MONTHLY;BYMONTHDAY=30,-3","from":"schedule"}',
    ]


async def test_the_last_occurrence_of_a_series_and_an_ordinary_task_have_no_rule(alice):
    task = await make(alice, "FREQ=DAILY;COUNT=2", "2090-01-05")
    await act(alice, task, "skip")
    await alice.make("B", due_date="2090-01-06")
    for todo in await todos_of(alice):
        assert todo["due"].dt == date(2090, 1, 6)
        assert not {"rrule", "dtstart", "x-doable-repeat"} & {name.lower() for name in todo}


@pytest.mark.parametrize("name", ZONES)
def test_a_calendar_gets_the_offsets_that_the_service_uses(name):
    lines = "\r\n".join(timezone_lines(name))
    described = icalendar.Timezone.from_ical(lines).to_tz(lookup_tzid=False)
    zone = read_zone(name)
    first, step = datetime(1971, 1, 1, 12, tzinfo=timezone.utc), timedelta(days=13, hours=5)
    moments = [(first + step * number).astimezone(zone).replace(tzinfo=None) for number in range(3_565)]  # until 2099
    offsets = [zone.utcoffset(moment) for moment in moments]
    # Before and after each change of the clock, and every two months.
    for number, (moment, offset) in enumerate(zip(moments, offsets, strict=True)):
        if number % 5 == 0 or len({*offsets[number - 1 : number + 2]}) > 1:
            assert described.utcoffset(moment) == offset, moment


def test_a_rule_describes_the_changes_of_the_clocks_without_an_end():
    berlin = [line for line in timezone_lines("Europe/Berlin") if line.startswith("RRULE")]
    assert berlin == ["RRULE:FREQ=YEARLY;BYMONTH=3;BYDAY=-1SU", "RRULE:FREQ=YEARLY;BYMONTH=10;BYDAY=-1SU"]
    new_york = [line for line in timezone_lines("America/New_York") if line.startswith("RRULE")]
    assert new_york == ["RRULE:FREQ=YEARLY;BYMONTH=3;BYDAY=2SU", "RRULE:FREQ=YEARLY;BYMONTH=11;BYDAY=1SU"]
    jerusalem = [line for line in timezone_lines("Asia/Jerusalem") if line.startswith("RRULE:FREQ=YEARLY;BYMONTH=3")]
    assert jerusalem == ["RRULE:FREQ=YEARLY;BYMONTH=3;BYMONTHDAY=23,24,25,26,27,28,29;BYDAY=FR"]


@pytest.mark.parametrize("name", ["Asia/Kolkata", "UTC"])
def test_a_zone_that_keeps_its_offset_has_one_observance_and_no_rule(name):
    lines = timezone_lines(name)
    assert sum(line.startswith("BEGIN:") for line in lines) == 2
    assert not any(line.startswith("R") for line in lines)
