"""Repeating tasks: each ruling on series, successors, skipping, moving and reopening, over HTTP."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from uuid import UUID, uuid5

import pytest

DAILY = {"rrule": "FREQ=DAILY", "from": "schedule"}
WEEKLY = {"rrule": "FREQ=WEEKLY", "from": "schedule"}
NULLS = dict.fromkeys(("repeat", "series", "occurrence", "next_due"))


def today() -> date:
    """The day in UTC. A test that runs at midnight starts with it and compares later days only."""
    return datetime.now(timezone.utc).date()


class Series:
    """Alice's tasks, which repeat."""

    def __init__(self, caller):
        self.caller = caller

    async def begin(self, rrule: str, due: str, title: str = "Water", **more) -> dict:
        """Create a repeating task; the due is a day or a moment."""
        name = "due_at" if "T" in due else "due_date"
        options = {key: more.pop(key) for key in ("from", "timezone") if key in more}
        repeat = {"rrule": rrule, "from": "schedule", **options}
        return await self.caller.make(title, repeat=repeat, **{name: due}, **more)

    async def send(self, method: str, task: dict | str, action: str = "", **options):
        reference = task if isinstance(task, str) else task["id"]
        return await self.caller.request(method, f"{self.caller.path}/{reference}{action}", **options)

    async def complete(self, task: dict, *, completed: bool = True) -> dict:
        response = await self.send("POST", task, "/complete", json={"completed": completed})
        assert response.status_code == 200, response.text
        assert response.json()["completed"] is completed
        assert response.json() == await self.read(task)
        return response.json()

    async def read(self, task: dict | str) -> dict:
        response = await self.send("GET", task)
        assert response.status_code == 200, response.text
        return response.json()

    async def patch(self, task: dict, **fields) -> dict:
        response = await self.send("PATCH", task, json=fields)
        assert response.status_code == 200, response.text
        assert response.json() == await self.read(task)
        return response.json()

    async def next(self, task: dict) -> dict:
        """Complete a task, and return its successor."""
        done = await self.complete(task)
        return await self.read(successor_of(done))

    async def all(self, **query) -> list[dict]:
        return (await self.caller.get(self.caller.path, params={"sort": "created", "order": "asc", **query})).json()


def successor_of(task: dict) -> str:
    """The uid of the successor, which clients can compute."""
    return str(uuid5(UUID(task["series"]), task["next_due"]))


@pytest.fixture
def series(alice) -> Series:
    return Series(alice)


async def test_an_ordinary_task_has_no_series(series):
    task = await series.caller.make("Buy soil", due_date="2090-01-31")
    assert task.items() >= NULLS.items()
    assert (await series.complete(task)).items() >= NULLS.items()
    assert len(await series.all()) == 1


async def test_a_repeating_task_shows_its_rule_its_slot_and_the_next_one(series):
    task = await series.begin("FREQ=MONTHLY", "2090-01-31")
    assert task["repeat"] == {"rrule": "FREQ=MONTHLY", "from": "schedule"}
    assert UUID(task["series"])
    expected = {
        "series_start": "2090-01-31",
        "occurrence": "2090-01-31",
        "occurrence_number": 1,
        "next_due": "2090-02-28",
    }
    assert task.items() >= expected.items()
    assert await series.read(task) == task
    assert await series.all() == [task]


async def test_completing_completes_this_row_and_creates_the_next(series):
    task = await series.begin("FREQ=WEEKLY", "2090-01-05", tags=["home"], priority="high", description="All of them")
    done = await series.complete(task)
    after = await series.read(successor_of(done))
    assert done == task | {
        "completed": True, "completed_at": done["completed_at"], "updated_at": done["updated_at"],
        "version": task["version"] + 1,
    }  # fmt: skip
    changed = {
        "id": done["version"] + 1, "uid": successor_of(done), "due_date": "2090-01-12", "occurrence": "2090-01-12",
        "occurrence_number": 2, "next_due": "2090-01-19", "position": task["position"],
        "created_at": after["created_at"], "updated_at": after["created_at"], "version": done["version"] + 1,
    }  # fmt: skip
    assert after == task | changed
    assert await series.all() == [done, after]


@pytest.mark.parametrize("method", ["PATCH", "PUT", "POST toggle", "PATCH toggle", "batch", "keyed", "keyed batch"])
async def test_every_way_to_complete_creates_the_successor(series, method):
    task = await series.begin("FREQ=DAILY", "2090-01-05")
    operation = {"operations": [{"op": "complete", "id": task["id"], "completed": True}]}
    key = {"headers": {"Idempotency-Key": "once"}}
    if method == "batch":
        response = await series.caller.post("/api/alice/batch", json=operation)
    elif method == "keyed batch":
        response = await series.caller.post("/api/alice/batch", json=operation, **key)
        repeated = await series.caller.post("/api/alice/batch", json=operation, **key)
        assert (repeated.status_code, repeated.content) == (200, response.content)
    elif method == "keyed":
        response = await series.send("POST", task, "/complete", **key)
        repeated = await series.send("POST", task, "/complete", **key)
        assert (repeated.status_code, repeated.content) == (200, response.content)
    elif "toggle" in method:
        response = await series.send(method.split()[0], task, "/complete")
    else:
        response = await series.send(method, task, json={"completed": True, "title": "Water all"})
    assert response.status_code == 200, response.text
    done, after = await series.all()
    assert (done["completed"], after["completed"]) == (True, False)
    assert after["uid"] == successor_of(done)
    assert after["title"] == done["title"]


async def test_a_second_completion_changes_nothing(series):
    task = await series.begin("FREQ=DAILY", "2090-01-05")
    done = await series.complete(task)
    assert await series.complete(task) == done
    assert len(await series.all()) == 2


async def test_a_late_task_continues_after_today_without_a_pile_of_missed_ones(series):
    late = today() - timedelta(days=10)
    task = await series.begin("FREQ=DAILY;INTERVAL=3", late.isoformat())
    after = await series.next(task)
    assert after["due_date"] == (late + timedelta(days=12)).isoformat()
    assert after["occurrence_number"] == 5


async def test_an_early_task_never_returns_to_the_slot_just_done(series):
    task = await series.begin("FREQ=WEEKLY", "2090-01-05")
    assert (await series.next(task))["due_date"] == "2090-01-12"


async def test_from_the_completion_the_rule_starts_on_the_day_of_the_completion(series):
    late = today() - timedelta(days=10)
    task = await series.begin("FREQ=DAILY;INTERVAL=3", late.isoformat(), **{"from": "completion"})
    start = today()
    after = await series.next(task)
    assert date.fromisoformat(after["due_date"]) - start in {timedelta(days=3), timedelta(days=4)}  # at midnight
    assert after["occurrence_number"] == 2


async def test_the_31st_becomes_the_last_day_of_shorter_months_and_comes_back(series):
    task = await series.begin("FREQ=MONTHLY", "2090-01-31")
    days = []
    for _ in range(4):
        task = await series.next(task)
        days.append(task["due_date"])
    assert days == ["2090-02-28", "2090-03-31", "2090-04-30", "2090-05-31"]
    assert task["series_start"] == "2090-01-31"


async def test_29_february_becomes_the_28th_and_comes_back(series):
    task = await series.begin("FREQ=YEARLY", "2092-02-29")
    days = []
    for _ in range(4):
        task = await series.next(task)
        days.append(task["due_date"])
    assert days == ["2093-02-28", "2094-02-28", "2095-02-28", "2096-02-29"]


async def test_until_includes_its_day(series):
    task = await series.begin("FREQ=DAILY;UNTIL=20900107", "2090-01-05")
    task = await series.next(await series.next(task))
    assert (task["due_date"], task["next_due"]) == ("2090-01-07", None)
    await series.complete(task)
    assert [one["completed"] for one in await series.all()] == [True] * 3


async def test_count_counts_slots(series):
    task = await series.begin("FREQ=DAILY;COUNT=3", "2090-01-05")
    task = await series.next(await series.next(task))
    assert (task["due_date"], task["occurrence_number"], task["next_due"]) == ("2090-01-07", 3, None)
    await series.complete(task)
    assert len(await series.all()) == 3


async def test_missed_slots_count(series):
    late = today() - timedelta(days=10)
    task = await series.begin("FREQ=DAILY;COUNT=5", late.isoformat())
    assert (await series.complete(task))["next_due"] is None
    assert len(await series.all()) == 1


async def test_a_due_moment_keeps_its_wall_time_when_clocks_change(series):
    task = await series.begin("FREQ=DAILY", "2026-03-28T01:30:00Z", timezone="Europe/Berlin")  # 02:30 in Berlin
    assert task["next_due"] is not None
    task = await series.begin("FREQ=WEEKLY", "2090-03-22T09:00:00+01:00", timezone="Europe/Berlin")
    task = await series.next(task)
    assert task["due_at"] == "2090-03-29T07:00:00.000000Z"
    assert task["series_start"] == "2090-03-22T09:00:00"


async def test_a_time_that_does_not_exist_is_read_with_the_offset_before_the_gap_and_comes_back(series):
    task = await series.begin("FREQ=DAILY", "2090-03-25T02:30:00+01:00", timezone="Europe/Berlin")
    times = []
    for _ in range(2):
        task = await series.next(task)
        times.append(task["due_at"])
    assert times == ["2090-03-26T01:30:00.000000Z", "2090-03-27T00:30:00.000000Z"]


async def test_a_time_that_exists_twice_is_the_first(series):
    task = await series.begin("FREQ=DAILY", "2090-10-28T02:30:00+02:00", timezone="Europe/Berlin")
    assert (await series.next(task))["due_at"] == "2090-10-29T00:30:00.000000Z"


async def test_skipping_moves_this_row_to_the_next_slot(series):
    task = await series.begin("FREQ=WEEKLY", "2090-01-05")
    response = await series.send("POST", task, "/skip")
    moved = response.json()
    assert response.status_code == 200, response.text
    assert moved == task | {
        "due_date": "2090-01-12", "occurrence": "2090-01-12", "occurrence_number": 2, "next_due": "2090-01-19",
        "updated_at": moved["updated_at"], "version": task["version"] + 1,
    }  # fmt: skip
    assert response.headers["etag"].startswith(f'"{moved["version"]}.')
    assert await series.all() == [moved]


async def test_skipping_is_an_operation_of_a_batch(series):
    task = await series.begin("FREQ=WEEKLY", "2090-01-05")
    body = {"operations": [{"op": "skip", "id": task["uid"]}, {"op": "skip", "id": task["id"]}]}
    response = await series.caller.post("/api/alice/batch", json=body)
    assert response.status_code == 200, response.text
    assert [one["task"]["due_date"] for one in response.json()["results"]] == ["2090-01-12", "2090-01-19"]


async def test_a_repeated_skip_with_a_key_skips_once(series):
    task = await series.begin("FREQ=WEEKLY", "2090-01-05")
    options = {"headers": {"Idempotency-Key": "once"}}
    first, second = [await series.send("POST", task, "/skip", **options) for _ in range(2)]
    assert (first.status_code, first.content) == (second.status_code, second.content)
    assert (await series.read(task))["due_date"] == "2090-01-12"


async def test_a_skip_respects_the_expected_version(series, refusal):
    task = await series.begin("FREQ=WEEKLY", "2090-01-05")
    refusal(await series.send("POST", task, "/skip", json={"if_version": task["version"] + 1}), 412, "version_mismatch")
    assert await series.read(task) == task
    assert (await series.send("POST", task, "/skip", json={"if_version": task["version"]})).status_code == 200


async def test_only_an_open_repeating_task_with_a_next_slot_can_be_skipped(series, refusal):
    plain = await series.caller.make("Once", due_date="2090-01-05")
    problem = refusal(await series.send("POST", plain, "/skip"), 409, "nothing_to_skip")
    assert problem["detail"] == "This task does not repeat, so there is no occurrence to skip."
    done = await series.complete(await series.begin("FREQ=DAILY", "2090-01-05"))
    refusal(await series.send("POST", done, "/skip"), 409, "nothing_to_skip")
    last = await series.next(await series.begin("FREQ=DAILY;COUNT=2", "2090-01-05", "Feed"))
    refusal(await series.send("POST", last, "/skip"), 409, "nothing_to_skip")
    refusal(await series.send("POST", {"id": 2**62}, "/skip"), 404, "task_not_found")


async def test_moving_one_leaves_the_series(series):
    task = await series.begin("FREQ=WEEKLY", "2090-01-05")
    moved = await series.patch(task, due_date="2090-01-08")
    assert (moved["due_date"], moved["occurrence"], moved["series"]) == ("2090-01-08", "2090-01-05", task["series"])
    after = await series.next(moved)
    assert (after["due_date"], after["occurrence"]) == ("2090-01-12", "2090-01-12")


async def test_one_day_can_be_moved_to_a_moment_if_the_series_has_a_time_zone(series, refusal):
    task = await series.begin("FREQ=WEEKLY", "2090-01-05")
    moment = {"due_at": "2090-01-05T09:00:00Z"}
    refusal(await series.send("PATCH", task, json=moment), 422, "validation_error", "repeat.timezone")
    zoned = await series.begin("FREQ=WEEKLY", "2090-01-05", timezone="Europe/Berlin")
    moved = await series.patch(zoned, due_at="2090-01-05T09:00:00Z")
    assert (moved["due_date"], moved["due_at"]) == (None, "2090-01-05T09:00:00.000000Z")
    assert (await series.next(moved))["due_date"] == "2090-01-12"


async def test_sending_the_whole_task_back_changes_nothing(series):
    task = await series.begin("FREQ=WEEKLY", "2090-01-05T09:00:00+01:00", timezone="europe/berlin")
    assert task["repeat"]["timezone"] == "Europe/Berlin"
    assert await series.patch(task, **{name: value for name, value in task.items() if name != "due_date"}) == task


async def test_another_rule_begins_a_new_series_at_the_due(series):
    task = await series.next(await series.begin("FREQ=WEEKLY", "2090-01-05"))
    changed = await series.patch(task, repeat=DAILY)
    assert changed["series"] != task["series"]
    expected = {
        "series_start": "2090-01-12",
        "occurrence": "2090-01-12",
        "occurrence_number": 1,
        "next_due": "2090-01-13",
    }
    assert changed.items() >= expected.items()


async def test_a_task_can_begin_to_repeat_and_end(series):
    plain = await series.caller.make("Water", due_date="2090-01-05")
    task = await series.patch(plain, repeat=WEEKLY)
    assert task["next_due"] == "2090-01-12"
    ended = await series.patch(task, repeat=None)
    assert ended.items() >= NULLS.items()
    await series.complete(ended)
    assert len(await series.all()) == 1


async def test_a_rule_and_a_due_can_be_sent_together(series):
    plain = await series.caller.make("Water")
    task = await series.patch(plain, repeat=WEEKLY, due_date="2090-01-05")
    assert (task["due_date"], task["next_due"]) == ("2090-01-05", "2090-01-12")
    done = await series.patch(task, repeat=DAILY, completed=True)
    assert (done["next_due"], (await series.read(successor_of(done)))["due_date"]) == ("2090-01-06", "2090-01-06")
    both = await series.caller.make("Feed", due_date="2090-01-05")
    assert (await series.patch(both, due_date=None, repeat=None)).items() >= NULLS.items()


async def test_reopening_takes_an_untouched_successor_back(series):
    task = await series.begin("FREQ=WEEKLY", "2090-01-05")
    done = await series.complete(task)
    opened = await series.complete(task, completed=False)
    assert opened == task | {"updated_at": opened["updated_at"], "version": opened["version"]}
    assert await series.all() == [opened]
    trash = (await series.caller.get("/api/alice/trash")).json()
    assert [one["uid"] for one in trash] == [successor_of(done)]


async def test_completing_again_after_reopening_restores_the_same_successor(series):
    task = await series.begin("FREQ=WEEKLY", "2090-01-05")
    first = await series.next(task)
    await series.complete(task, completed=False)
    await series.patch(task, title="Water all")
    second = await series.next(task)
    assert (second["id"], second["uid"], second["title"]) == (first["id"], first["uid"], "Water all")
    assert (await series.caller.get("/api/alice/trash")).json() == []
    assert len(await series.all()) == 2


@pytest.mark.parametrize("change", [{"title": "Other"}, {"due_date": "2090-01-13"}, {"completed": True}])
async def test_reopening_is_refused_if_the_successor_has_changed(series, refusal, change):
    task = await series.begin("FREQ=WEEKLY", "2090-01-05")
    after = await series.next(task)
    after = await series.patch(after, **change)
    done = await series.read(task)
    response = await series.send("POST", task, "/complete", json={"completed": False})
    assert refusal(response, 409, "successor_changed")["successor"] == after
    assert await series.read(task) == done
    batch = {"operations": [{"op": "update", "id": task["id"], "changes": {"completed": False}}]}
    refused = refusal(await series.caller.post("/api/alice/batch", json=batch), 422, "batch_failed")
    assert refused["error"]["successor"] == after


async def test_reopening_after_the_successor_was_deleted_opens_this_one_only(series):
    task = await series.begin("FREQ=WEEKLY", "2090-01-05")
    after = await series.next(task)
    assert (await series.send("DELETE", after)).status_code == 204
    await series.complete(task, completed=False)
    assert len(await series.all()) == 1
    again = await series.next(task)
    assert again["uid"] == after["uid"]


async def test_the_successor_takes_list_parent_and_position(series):
    shelf = (await series.caller.post("/api/alice/lists", json={"name": "Garden"})).json()
    parent = await series.caller.make("Plants", list_id=shelf["id"])
    task = await series.begin("FREQ=DAILY", "2090-01-05", parent_id=parent["id"])
    await series.caller.make("Other", parent_id=parent["id"])
    after = await series.next(task)
    expected = {"list_id": shelf["id"], "parent_id": parent["id"], "position": task["position"]}
    assert after.items() >= expected.items()
    assert (await series.read(parent))["completed"] is False


async def test_the_successor_has_the_subtasks_opened_again(series):
    task = await series.begin("FREQ=WEEKLY", "2090-01-05")
    done_before = await series.caller.make("Can", parent_id=task["id"], completed=True, due_date="2090-01-04")
    left = await series.caller.make("Water", parent_id=task["id"], tags=["wet"])
    after = await series.next(task)
    children = await series.all(parent=after["id"])
    assert [(one["title"], one["completed"], one["tags"], one["due_date"]) for one in children] == [
        ("Can", False, [], "2090-01-11"), ("Water", False, ["wet"], None),
    ]  # fmt: skip
    assert [one["position"] for one in children] == [done_before["position"], left["position"]]
    assert [one["version"] for one in children] == [after["version"] + 1, after["version"] + 2]
    assert all(one["completed"] for one in await series.all(parent=task["id"]))


async def test_reopening_takes_the_subtasks_of_the_successor_back(series, refusal):
    task = await series.begin("FREQ=WEEKLY", "2090-01-05")
    await series.caller.make("Can", parent_id=task["id"])
    after = await series.next(task)
    await series.complete(task, completed=False)
    assert [one["title"] for one in await series.all()] == ["Water", "Can"]
    again = await series.next(task)
    assert again["id"] == after["id"]
    (child,) = await series.all(parent=again["id"])
    await series.patch(child, title="Big can")
    refusal(await series.send("POST", task, "/complete", json={"completed": False}), 409, "successor_changed")


async def test_a_subtask_added_to_the_successor_counts_as_a_change(series, refusal):
    task = await series.begin("FREQ=WEEKLY", "2090-01-05")
    after = await series.next(task)
    await series.caller.make("New", parent_id=after["id"])
    refusal(await series.send("POST", task, "/complete", json={"completed": False}), 409, "successor_changed")


async def test_completing_the_parent_completes_a_repeating_subtask_without_a_successor(series):
    parent = await series.caller.make("Plants")
    await series.begin("FREQ=DAILY", "2090-01-05", parent_id=parent["id"])
    await series.complete(parent)
    assert [one["completed"] for one in await series.all()] == [True, True]
    await series.complete(parent, completed=False)
    assert [one["completed"] for one in await series.all()] == [False, False]


async def test_history_of_a_repeating_subtask_is_not_copied_to_the_successor_of_its_parent(series):
    parent = await series.begin("FREQ=WEEKLY", "2090-01-05", "Plants")
    child = await series.begin("FREQ=DAILY", "2090-01-05", "Water", parent_id=parent["id"])
    await series.next(child)
    after = await series.next(parent)
    copies = await series.all(parent=after["id"])
    assert [(one["title"], one["due_date"], one["completed"]) for one in copies] == [("Water", "2090-01-06", False)]


async def test_a_completed_occurrence_that_a_subtask_reopens_leaves_its_series(series):
    task = await series.begin("FREQ=WEEKLY", "2090-01-05")
    child = await series.caller.make("Can", parent_id=task["id"])
    after = await series.next(task)
    await series.complete(child, completed=False)
    opened = await series.read(task)
    assert (opened["completed"], opened["repeat"]) == (False, None)
    assert await series.read(after["uid"]) == after


async def test_a_batch_may_complete_a_task_that_it_creates(series):
    uid = "019aceef-9a40-7c1e-8f3a-5b1d6c2e9f04"
    body = {"operations": [
        {"op": "create", "task": {"title": "Water", "uid": uid, "due_date": "2090-01-05", "repeat": DAILY}},
        {"op": "update", "id": uid, "changes": {"title": "Water all"}},
        {"op": "complete", "id": uid, "completed": True},
    ]}  # fmt: skip
    response = await series.caller.post("/api/alice/batch", json=body)
    assert response.status_code == 200, response.text
    done, after = await series.all()
    assert (done["completed"], after["title"], after["due_date"]) == (True, "Water all", "2090-01-06")


async def test_in_a_batch_that_is_not_atomic_only_the_operation_without_a_possible_plan_fails(series):
    task = await series.begin("FREQ=DAILY", "2090-01-05")
    body = {"atomic": False, "operations": [
        {"op": "update", "id": task["id"], "changes": {"due_date": None}},
        {"op": "complete", "id": task["id"], "completed": True},
        {"op": "create", "task": {"title": "Other"}},
    ]}  # fmt: skip
    results = (await series.caller.post("/api/alice/batch", json=body)).json()["results"]
    assert [one["status"] for one in results] == [422, 200, 201]
    assert len(await series.all()) == 3
    body["atomic"] = True
    refused = await series.caller.post("/api/alice/batch", json=body)
    assert (refused.status_code, refused.json()["index"]) == (422, 0)
    assert len(await series.all()) == 3


async def test_the_change_feed_has_the_completed_task_before_its_successor(series):
    task = await series.begin("FREQ=DAILY", "2090-01-05")
    since = (await series.caller.get("/api/alice/changes", params={"since": 0})).json()["next"]
    done = await series.complete(task)
    feed = (await series.caller.get("/api/alice/changes", params={"since": since})).json()
    after = await series.read(successor_of(done))
    assert feed["changes"] == [{"type": "task", **done}, {"type": "task", **after}]


REFUSED = {
    "no due": ({"repeat": DAILY}, "repeat", "needs a due_date or a due_at"),
    "no zone": ({"repeat": DAILY, "due_at": "2090-01-05T09:00:00Z"}, "repeat.timezone", "is required with due_at"),
    "completed": ({"repeat": DAILY, "due_date": "2090-01-05", "completed": True}, "completed", "create it, then"),
    "unknown part": ({"repeat": {"rrule": "FREQ=DAILY;BYHOUR=9"}}, "repeat.rrule", "BYHOUR is not supported"),
    "hourly": ({"repeat": {"rrule": "FREQ=HOURLY"}}, "repeat.rrule", "FREQ must be"),
    "interval 0": ({"repeat": {"rrule": "FREQ=DAILY;INTERVAL=0"}}, "repeat.rrule", "INTERVAL must be"),
    "count and until": ({"repeat": {"rrule": "FREQ=DAILY;COUNT=2;UNTIL=20900101"}}, "repeat.rrule", "COUNT"),
    "unknown zone": ({"repeat": DAILY | {"timezone": "Berlin"}}, "repeat.timezone", "did you mean 'Europe/Berlin'"),
    "unknown origin": ({"repeat": DAILY | {"from": "now"}}, "repeat.from", "must be schedule"),
    "unknown member": ({"repeat": DAILY | {"rule": 1}}, "repeat.rule", "is not known"),
    "no rule": ({"repeat": {"from": "schedule"}}, "repeat.rrule", "is required"),
    "a number": ({"repeat": 5}, "repeat", "must be"),
    "never": (
        {"repeat": {"rrule": "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30"}, "due_date": "2090-01-05"}, "repeat.rrule",
        "no second occurrence",
    ),
}  # fmt: skip


async def test_beside_a_good_rule_another_invalid_field_is_422(series, refusal):
    body = {"title": "Water", "due_date": "2090-01-05", "repeat": WEEKLY, "tags": "home"}
    refusal(await series.caller.post(series.caller.path, json=body), 422, "validation_error", "tags")


@pytest.mark.parametrize(
    ("due", "zone"),
    [("0001-01-01T23:59:00Z", "Asia/Tokyo"), ("9999-12-30", "Etc/GMT+12")],
)
async def test_a_series_works_at_the_ends_of_the_calendar(series, due, zone):
    task = await series.begin("FREQ=DAILY", due, timezone=zone)
    await series.caller.make("Can", parent_id=task["id"])
    after = await series.next(task)
    assert after["occurrence"] > task["occurrence"]
    assert (await series.complete(after))["completed"] is True


async def test_a_repetition_that_cannot_be_meant_is_422_and_names_the_part(series, refusal, subtests):
    for name, (fields, field, message) in REFUSED.items():
        with subtests.test(name):
            response = await series.caller.post(series.caller.path, json={"title": "Water"} | fields)
            problem = refusal(response, 422, "validation_error", field)
            assert message in problem["errors"][0]["message"]
            assert await series.all() == []


@pytest.mark.parametrize("clearing", [{"due_date": None}, {"due_at": None, "due_date": None}])
async def test_the_due_of_a_repeating_task_cannot_be_cleared(series, refusal, clearing):
    task = await series.begin("FREQ=DAILY", "2090-01-05")
    refusal(await series.send("PATCH", task, json=clearing), 422, "validation_error", "repeat")
    assert await series.read(task) == task


@pytest.mark.parametrize(
    ("due_at", "zone"), [("9999-12-31T23:00:00Z", "Asia/Tokyo"), ("0001-01-01T00:30:00Z", "America/New_York")]
)
async def test_a_due_beyond_the_calendar_of_its_zone_is_refused(series, refusal, due_at, zone):
    body = {"title": "Water", "due_at": due_at, "repeat": DAILY | {"timezone": zone}}
    refusal(await series.caller.post(series.caller.path, json=body), 422, "validation_error", "due_at")


async def test_a_series_may_start_long_ago(series):
    task = await series.begin("FREQ=YEARLY", "0500-01-01T09:00:00Z", timezone="UTC")
    assert (task["occurrence"], task["series_start"]) == ("0500-01-01T09:00:00.000000Z", "0500-01-01T09:00:00")
    after = await series.next(task)
    assert after["due_at"] > datetime.now(timezone.utc).isoformat()


async def test_the_form_of_a_rule_does_not_matter(series, subtests):
    for rrule in ["freq=daily", "RRULE:FREQ=DAILY", " FREQ=DAILY; ", "FREQ=DAILY;"]:
        with subtests.test(rrule=rrule):
            assert (await series.begin(rrule, "2090-01-05"))["repeat"] == DAILY
