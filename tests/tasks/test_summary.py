"""Counting tasks by state, and the time zone of today."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest

from service.tasks import collection

COUNTS = ["total", "pending", "completed", "overdue", "due_today"]


@pytest.fixture
def clock(monkeypatch):
    """Set the clock of the routes."""

    def set_to(moment: str) -> None:
        class Clock(datetime):
            @classmethod
            def now(cls, zone):
                return datetime.fromisoformat(moment).astimezone(zone)

        monkeypatch.setattr(collection, "datetime", Clock)

    return set_to


async def summary(caller, **parameters: str) -> dict[str, int]:
    response = await caller.get(f"{caller.path}/summary", params=parameters)
    assert response.status_code == 200, response.text
    return response.json()


async def make(caller, *tasks: dict) -> None:
    """Create tasks with these fields, with one batch."""
    operations = [{"op": "create", "task": {"title": "A task", **fields}} for fields in tasks]
    response = await caller.post(f"{caller.path}/batch", json={"operations": operations})
    assert response.status_code == 200, response.text


async def test_without_a_token_nothing_is_counted(alice, http, refusal):
    refusal(await http.get(f"{alice.path}/summary"), 401, "authentication_required")


async def test_a_user_counts_only_their_own_tasks(alice, bob, refusal):
    await alice.make()
    refusal(await bob.get(f"{alice.path}/summary"), 403, "forbidden")
    assert (await summary(bob))["total"] == 0


async def test_a_user_without_tasks_has_zero_counts(alice, private):
    response = await alice.get(f"{alice.path}/summary")
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    private(response)
    assert response.json() == dict.fromkeys(COUNTS, 0)
    assert list(response.json()) == COUNTS


async def test_completed_tasks_are_neither_overdue_nor_due_and_deleted_ones_count_nowhere(alice):
    for completed in (False, True, True):
        await alice.make(completed=completed, due_date="2020-01-01")
        await alice.make(completed=completed, due_at="2020-01-01T00:00:00Z")
        await alice.make(completed=completed)
    deleted = await alice.make(due_date="2020-01-01")
    await alice.delete(f"{alice.path}/{deleted['id']}")
    assert await summary(alice) == {"total": 9, "pending": 3, "completed": 6, "overdue": 2, "due_today": 0}


async def test_a_day_is_overdue_when_it_is_over_and_a_moment_when_it_has_passed(alice):
    now = datetime.now(timezone.utc)
    for hours in (-48, -1, 1, 48):
        await alice.make(due_at=(now + timedelta(hours=hours)).isoformat())
    for days in (-2, 2):
        await alice.make(due_date=str((now + timedelta(days=days)).date()))
    assert (await summary(alice))["overdue"] == 3


@pytest.mark.parametrize(
    ("zone", "moment", "today"),
    [
        (None, "2030-06-15T23:30:00Z", "2030-06-15"),
        ("UTC", "2030-06-15T00:00:00Z", "2030-06-15"),
        ("Europe/Berlin", "2030-06-15T23:30:00Z", "2030-06-16"),
        ("America/New_York", "2030-06-15T03:30:00Z", "2030-06-14"),
        ("Pacific/Kiritimati", "2030-06-15T10:00:00Z", "2030-06-16"),
        ("Asia/Kathmandu", "2030-06-15T18:14:59Z", "2030-06-15"),
        ("Asia/Kathmandu", "2030-06-15T18:15:00Z", "2030-06-16"),
        ("Europe/Berlin", "2030-03-31T12:00:00Z", "2030-03-31"),  # 23 hours long
        ("Europe/Berlin", "2030-10-27T12:00:00Z", "2030-10-27"),  # 25 hours long
    ],
)
async def test_the_zone_decides_which_day_is_today_and_when_it_begins_and_ends(alice, clock, zone, moment, today):
    clock(moment)
    parameters = {"tz": zone} if zone else {}
    day = datetime.fromisoformat(today).replace(tzinfo=ZoneInfo(zone or "UTC"))
    starts, ends = (edge.astimezone(timezone.utc) for edge in (day, day + timedelta(days=1)))
    tick = timedelta(microseconds=1)
    dues: list[dict] = [{"due_at": due.isoformat()} for due in (starts - tick, ends)]
    dues += [{"due_date": str((day + timedelta(days=days)).date())} for days in (-1, 1)]
    await make(alice, *dues)
    assert (await summary(alice, **parameters))["due_today"] == 0
    dues = [{"due_at": due.isoformat()} for due in (starts, ends - tick)]
    await make(alice, *dues, {"due_date": today}, {"due_date": today, "completed": True})
    counted = await summary(alice, **parameters)
    assert counted["due_today"] == 3
    assert counted["overdue"] == 1  # yesterday; by the database's clock no moment of 2030 has passed


async def test_an_unknown_zone_is_refused(alice, refusal, statements, subtests):
    for zone in [
        "Berlin",
        "Europe/Berlin ",
        "Etc",
        "unknown",
        "CET+1",
        "+01:00",
        "../Europe/Berlin",
        "/etc/localtime",
        "UTC\0",
        "😀",
        "a" * 5000,
        "localtime",
        "posixrules",
        "posix/UTC",
        "right/UTC",
    ]:
        with subtests.test(zone=zone):
            with statements() as seen:
                response = await alice.get(f"{alice.path}/summary", params={"tz": zone})
            body = refusal(response, 422, "validation_error", "tz")
            assert "Europe/Berlin" in body["detail"]
            assert seen == []


async def test_a_zone_is_known_in_any_case(alice, clock, subtests):
    clock("2030-06-15T18:14:59Z")  # stops the minute, which is part of the ETag
    await alice.make(due_at="2030-06-15T18:15:00Z")
    for zone, name in [
        ("europe/berlin", "Europe/Berlin"),
        ("EUROPE/BERLIN", "Europe/Berlin"),
        ("utc", "UTC"),
        ("Etc/Unknown", "UTC"),
        ("etc/unknown", "UTC"),
        ("", "UTC"),
        ("asia/kathmandu", "Asia/Kathmandu"),
    ]:
        with subtests.test(zone=zone, name=name):
            one = await alice.get(f"{alice.path}/summary", params={"tz": zone})
            other = await alice.get(f"{alice.path}/summary", params={"tz": name})
            assert one.status_code == 200
            assert one.json() == other.json()
            assert one.headers["etag"] == other.headers["etag"]


async def test_the_error_for_an_unknown_zone_suggests_the_nearest_one(alice, refusal, subtests):
    for zone, nearest in [
        ("Berlin", "Europe/Berlin"), ("new york", "America/New_York"), ("Europe/Berln", "Europe/Berlin"),
    ]:  # fmt: skip
        with subtests.test(zone=zone):
            response = await alice.get(f"{alice.path}/summary", params={"tz": zone})
            body = refusal(response, 422, "validation_error", "tz")
            assert f"did you mean '{nearest}'?" in body["detail"]


async def test_an_unknown_or_repeated_parameter_is_refused(alice, refusal, subtests):
    for query, field in [("status=all", "status"), ("TZ=UTC", "TZ"), ("tz=UTC&tz=UTC", "tz")]:
        with subtests.test(query=query):
            refusal(await alice.get(f"{alice.path}/summary?{query}"), 422, "validation_error", field)
