"""Repeating tasks under concurrency and retries: no write makes two successors, and none is lost."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from uuid import UUID, uuid5

import pytest

DEVICES = 50
ROUNDS = 4


@pytest.fixture
def begin(alice) -> Callable[..., Awaitable[dict]]:
    """Create a repeating task, with a subtask."""

    async def create(rrule: str = "FREQ=WEEKLY", due: str = "2090-01-05") -> dict:
        task = await alice.make("Water", due_date=due, repeat={"rrule": rrule})
        await alice.make("Can", parent_id=task["id"])
        return task

    return create


async def send(alice, task: dict, action: str, **options):
    return await alice.post(f"{alice.path}/{task['id']}{action}", **options)


async def complete(alice, task: dict, *, completed: bool = True, **options):
    return await send(alice, task, "/complete", json={"completed": completed}, **options)


async def tasks_of(alice, series: str, *, open_ones: int = 1) -> list[dict]:
    """Return the live tasks of a series, after checking what holds at any time."""
    found = [task for task in (await alice.get(alice.path)).json() if task["series"] == series]
    assert max(Counter(task["occurrence"] for task in found).values(), default=0) <= 1, "two tasks for one slot"
    assert sum(not task["completed"] for task in found) <= open_ones, "two open tasks of one series"
    return sorted(found, key=lambda task: task["occurrence"])


async def test_of_fifty_devices_that_complete_at_once_one_creates_the_successor(alice, begin):
    task = await begin()
    responses = await asyncio.gather(*(complete(alice, task) for _ in range(DEVICES)))
    assert {response.status_code for response in responses} == {200}
    assert len({response.content for response in responses}) == 1
    done, after = await tasks_of(alice, task["series"])
    assert (done["completed"], after["completed"], after["due_date"]) == (True, False, "2090-01-12")
    assert after["uid"] == str(uuid5(UUID(task["series"]), "2090-01-12"))
    children = (await alice.get(alice.path, params={"parent": after["id"]})).json()
    assert len(children) == 1


async def test_twenty_toggles_at_once_each_take_effect(alice, begin):
    task = await begin()
    responses = await asyncio.gather(*(send(alice, task, "/complete") for _ in range(20)))
    assert {response.status_code for response in responses} == {200}
    assert Counter(response.json()["completed"] for response in responses) == {True: 10, False: 10}
    (only,) = await tasks_of(alice, task["series"])
    assert (only["id"], only["completed"]) == (task["id"], False)


RIVALS = {
    "skip": lambda alice, task: send(alice, task, "/skip"),
    "reopen": lambda alice, task: complete(alice, task, completed=False),
    "delete": lambda alice, task: alice.request("DELETE", f"{alice.path}/{task['id']}"),
    "another rule": lambda alice, task: alice.patch(
        f"{alice.path}/{task['id']}", json={"repeat": {"rrule": "FREQ=DAILY"}}
    ),
    "no rule": lambda alice, task: alice.patch(f"{alice.path}/{task['id']}", json={"repeat": None}),
    "move": lambda alice, task: alice.patch(f"{alice.path}/{task['id']}", json={"due_date": "2090-01-07"}),
    "batch": lambda alice, task: alice.post(
        "/api/alice/batch", json={"operations": [{"op": "complete", "id": task["id"], "completed": True}]}
    ),
}


@pytest.mark.parametrize("rival", RIVALS)
async def test_a_completion_and_another_write_at_once_happen_one_after_the_other(alice, begin, rival):
    for _ in range(3):
        task = await begin()
        first, second = await asyncio.gather(complete(alice, task), RIVALS[rival](alice, task))
        # A deleted task cannot be completed, and a completed one cannot be skipped.
        assert first.status_code in {200, 404} if rival == "delete" else first.status_code == 200, first.text
        # The rule of a completed one cannot change.
        allowed = {"skip": {200, 409}, "delete": {204}, "another rule": {200, 422}}.get(rival, {200})
        assert second.status_code in allowed, second.text
        everything = (await alice.get(alice.path)).json()
        for series in {one["series"] for one in everything if one["series"]}:
            found = await tasks_of(alice, series)
            last = found[-1]
            if last["completed"]:  # then the series must have ended, or its successor have been taken back or deleted
                assert rival in {"reopen", "no rule"}, found
        await alice.request("DELETE", alice.path, params={"status": "all"})


async def test_any_mix_of_writes_leaves_at_most_one_task_for_each_slot(alice, begin):
    # An earlier task can be reopened after its successor was deleted, so that several may be open.
    dice = random.Random(17)
    started = [await begin(), await begin("FREQ=DAILY;COUNT=40")]
    writes = [*RIVALS.values(), *[complete] * 6]

    async def device() -> None:
        for _ in range(ROUNDS):
            seen = (await alice.get(alice.path)).json()
            if seen:
                response = await dice.choice(writes)(alice, dice.choice(seen))
                assert response.status_code in {200, 204, 404, 409, 422}, response.text
            for task in started:
                await tasks_of(alice, task["series"], open_ones=100)

    await asyncio.gather(*(device() for _ in range(8)))
    everything = (await alice.get(alice.path)).json()
    for series in {task["series"] for task in everything if task["series"]}:
        await tasks_of(alice, series, open_ones=100)
    assert len({task["uid"] for task in everything}) == len(everything)


@pytest.mark.parametrize("key", [None, "once"])
async def test_a_retry_after_a_lost_response_makes_no_second_successor(alice, begin, key):
    task = await begin()
    headers = {"Idempotency-Key": key} if key else {}
    for _ in range(3):
        assert (await complete(alice, task, headers=headers)).status_code == 200
    assert [one["completed"] for one in await tasks_of(alice, task["series"])] == [True, False]


async def test_a_retry_with_the_key_does_not_complete_the_task_that_was_reopened_since(alice, begin):
    task = await begin()
    headers = {"Idempotency-Key": "once"}
    first = await complete(alice, task, headers=headers)
    await complete(alice, task, completed=False)
    again = await complete(alice, task, headers=headers)
    assert (again.status_code, again.content, again.headers["idempotency-replayed"]) == (200, first.content, "true")
    assert [one["completed"] for one in await tasks_of(alice, task["series"])] == [False]


async def test_a_repeated_batch_with_an_operation_that_has_no_possible_plan_replays_its_error(alice, begin):
    task = await begin()
    operations = [
        {"op": "update", "id": task["id"], "changes": {"due_date": None}},
        {"op": "complete", "id": task["id"], "completed": True},
    ]
    first, second = [
        await alice.post(
            "/api/alice/batch", json={"atomic": False, "operations": operations}, headers={"Idempotency-Key": "once"}
        )
        for _ in range(2)
    ]
    assert [one["status"] for one in first.json()["results"]] == [422, 200]
    assert second.content == first.content
    assert len(await tasks_of(alice, task["series"])) == 2


async def test_a_successor_that_does_not_fit_leaves_the_task_open(alice, begin, connection, settings, refusal):
    task = await begin()
    full = settings.task_quota - 1
    await connection.execute("UPDATE users SET task_count = $1 WHERE id = 'alice'", full)
    refusal(await complete(alice, task), 409, "task_quota_exceeded")
    batch = {"operations": [{"op": "complete", "id": task["id"], "completed": True}]}
    assert refusal(await alice.post("/api/alice/batch", json=batch), 422, "batch_failed")["error"]["status"] == 409
    assert [one["completed"] for one in await tasks_of(alice, task["series"])] == [False]
    await connection.execute("UPDATE users SET task_count = 2 WHERE id = 'alice'")
    assert (await complete(alice, task)).status_code == 200


async def test_reopening_is_refused_if_the_trash_has_no_room_for_the_successor(
    alice, begin, connection, settings, refusal
):
    task = await begin()
    await complete(alice, task)
    await connection.execute("UPDATE users SET trash_count = $1 WHERE id = 'alice'", settings.trash_quota - 1)
    refusal(await complete(alice, task, completed=False), 409, "trash_full")
    assert [one["completed"] for one in await tasks_of(alice, task["series"])] == [True, False]


async def test_the_counts_follow_successors(alice, begin, connection):
    task = await begin()
    for completed in (True, False, True):
        await complete(alice, task, completed=completed)
    counts = await connection.fetchrow("SELECT task_count, trash_count FROM users WHERE id = 'alice'")
    rows = await connection.fetchrow(
        "SELECT count(*) FILTER (WHERE deleted_at IS NULL) AS live, count(deleted_at) AS deleted FROM tasks"
    )
    assert (counts["task_count"], counts["trash_count"]) == (rows["live"], rows["deleted"])
    summary = (await alice.get(f"{alice.path}/summary")).json()
    assert summary["total"] == rows["live"] == 4
