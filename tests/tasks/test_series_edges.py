"""Repeating tasks in unusual requests: each of them once broke a series, or could have."""

from __future__ import annotations

import pytest

from tests.tasks.test_recurrence import DAILY, NULLS, WEEKLY, Series, successor_of

MOMENT = {"due_at": "2090-01-05T09:00:00Z", "repeat": DAILY | {"timezone": "Europe/Berlin"}}


@pytest.fixture
def series(alice) -> Series:
    return Series(alice)


async def perform(series, *operations: dict, **options) -> list[dict]:
    """Return the results of a batch, which must be 200."""
    response = await series.caller.post("/api/alice/batch", json={"operations": operations, **options})
    assert response.status_code == 200, response.text
    return response.json()["results"]


async def counted(connection) -> None:
    row = await connection.fetchrow(
        "SELECT task_count, trash_count, (SELECT count(*) FROM tasks WHERE deleted_at IS NULL) AS live, "
        "(SELECT count(*) FROM tasks WHERE deleted_at IS NOT NULL) AS deleted FROM users WHERE id = 'alice'"
    )
    assert (row["task_count"], row["trash_count"]) == (row["live"], row["deleted"])


async def test_clearing_the_kind_of_due_that_is_not_set_changes_nothing(series):
    timed = await series.caller.make("Water", **MOMENT)
    assert await series.patch(timed, due_date=None) == timed
    dated = await series.caller.make("Feed", due_date="2090-01-05", repeat=DAILY)
    assert await series.patch(dated, due_at=None) == dated
    assert (await series.patch(dated, due_at=None, completed=True))["completed"]


async def test_the_whole_task_can_be_sent_back(series):
    timed = await series.caller.make("Water", **MOMENT)
    assert await series.patch(timed, **timed) == timed
    done = await series.patch(timed, **{**timed, "completed": True})
    assert await series.patch(done, **done) == done
    assert len(await series.all()) == 2


async def test_reopening_below_the_successor_is_refused(series, connection):
    task = await series.begin("FREQ=WEEKLY", "2090-01-05")
    after = await series.next(task)
    for reference in (after["id"], after["uid"]):
        response = await series.send("PATCH", task, json={"completed": False, "parent_id": reference})
        assert response.status_code == 409, response.text
    await counted(connection)
    assert (await series.read(after)) == after


async def test_completing_and_moving_below_a_completed_task_reopens_that_task(series):
    parent = await series.caller.make("Plants", completed=True)
    task = await series.begin("FREQ=WEEKLY", "2090-01-05")
    done = await series.patch(task, completed=True, parent_id=parent["id"])
    after = await series.read(successor_of(done))
    assert after["parent_id"] == parent["id"]
    assert (await series.read(parent))["completed"] is False


async def test_a_task_of_the_client_with_the_uid_of_the_successor_is_not_taken_back(series):
    task = await series.begin("FREQ=WEEKLY", "2090-01-05")
    own = await series.caller.make("Mine", uid=successor_of(task))
    await series.complete(task)
    response = await series.send("POST", task, "/complete", json={"completed": False})
    assert response.status_code == 409, response.text
    assert await series.read(own) == own


async def test_reopening_a_subtask_of_a_completed_occurrence_leaves_the_copies_alone(series):
    parent = await series.begin("FREQ=WEEKLY", "2090-01-05", "Plants")
    child = await series.begin("FREQ=DAILY", "2090-01-05", "Water", parent_id=parent["id"])
    after = await series.next(parent)
    (copy,) = await series.all(parent=after["id"])
    assert copy["series"] != child["series"]
    following = await series.next(copy)
    await series.complete(child, completed=False)
    assert await series.read(following) == following
    assert (await series.next(child))["parent_id"] == parent["id"]


@pytest.mark.steps
async def test_a_hundred_series_of_a_rare_slot_are_computed_in_short_steps(series):
    """The fixture `short_steps` fails the test if the event loop is blocked during it."""
    rule = "FREQ=DAILY;INTERVAL=331;BYMONTH=2;BYMONTHDAY=29;BYDAY=MO"  # it has few slots in ten thousand years
    task = {"title": "Water", "due_date": "0001-01-01", "repeat": {"rrule": rule}}
    made = await perform(series, *[{"op": "create", "task": task}] * 100)
    assert [one["status"] for one in made] == [201] * 100
    named = [one["task"]["id"] for one in made]
    skipped = await perform(series, *({"op": "skip", "id": one} for one in named))
    assert {one["task"]["occurrence_number"] for one in skipped} == {2}
    refused = await perform(series, *[{"op": "skip", "id": one} for one in named], atomic=False)
    assert {one["status"] for one in refused} == {409}


@pytest.mark.parametrize("key", [None, "once"])
async def test_a_batch_of_a_hundred_skips_of_one_task_performs_them_all(series, key):
    task = await series.begin("FREQ=DAILY", "2090-01-05")
    body = {"operations": [{"op": "skip", "id": task["id"]}] * 100}
    response = await series.caller.post("/api/alice/batch", json=body, headers={"Idempotency-Key": key} if key else {})
    assert response.status_code == 200, response.text
    assert response.json()["results"][-1]["task"] == await series.read(task)
    assert (await series.read(task))["due_date"] == "2090-04-15"


async def test_the_rule_of_a_completed_task_cannot_change_because_it_would_have_no_successor(series, refusal):
    plain = await series.caller.make("Once", due_date="2090-01-05", completed=True)
    done = await series.complete(await series.begin("FREQ=DAILY", "2090-01-05"))
    for task in (plain, done):
        response = await series.send("PATCH", task, json={"repeat": WEEKLY})
        refusal(response, 422, "validation_error", "repeat")
        assert await series.read(task) == task
    assert (await series.patch(done, repeat=None))["series"] is None
    opened = await series.patch(plain, repeat=WEEKLY, completed=False)
    assert opened["next_due"] == "2090-01-12"


async def test_reopening_with_repeat_null_lets_the_successor_continue_the_series(series, refusal):
    task = await series.begin("FREQ=WEEKLY", "2090-01-05")
    after = await series.patch(await series.next(task), title="Changed")
    refusal(await series.send("PATCH", task, json={"completed": False}), 409, "successor_changed")
    opened = await series.patch(task, completed=False, repeat=None)
    assert opened.items() >= NULLS.items()
    assert await series.read(after) == after
