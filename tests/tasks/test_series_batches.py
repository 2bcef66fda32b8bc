"""Batches with several operations on repeating tasks: what they do, and how many attempts they take."""

from __future__ import annotations

import random
from uuid import UUID, uuid4, uuid5

import pytest

from tests.tasks.test_recurrence import DAILY, Series

BATCH = "/api/alice/batch"


@pytest.fixture
def series(alice) -> Series:
    return Series(alice)


@pytest.fixture
def perform(alice, statements):
    """Return a function that sends a batch, and returns its results and the number of attempts."""

    async def send(*operations: dict, **options) -> tuple[list[dict], int]:
        with statements() as seen:
            response = await alice.post(BATCH, json={"operations": operations, **options})
        assert response.status_code == 200, response.text
        return response.json()["results"], attempts(seen)

    return send


def attempts(seen: list[tuple[str, object]]) -> int:
    return sum("perform_" in text for text, _ in seen)


def skip(task: dict) -> dict:
    return {"op": "skip", "id": task["id"]}


def complete(task: dict, *, completed: bool = True) -> dict:
    return {"op": "complete", "id": task["id"], "completed": completed}


def rename(task: dict, title: str) -> dict:
    return {"op": "update", "id": task["id"], "changes": {"title": title}}


async def test_many_skips_of_one_task_do_not_repeat_the_rest_of_the_batch_for_each(series, perform):
    shelf = (await series.caller.post("/api/alice/lists", json={"name": "Garden"})).json()
    parent = await series.caller.make("Plants")
    for number in range(5):
        await series.caller.make(f"Plant {number}", parent_id=parent["id"])
    task = await series.begin("FREQ=DAILY", "2090-01-05")
    move = {"op": "update", "id": parent["id"], "changes": {"list_id": shelf["id"]}}
    results, count = await perform(move, *[skip(task)] * 99)
    assert count <= 3
    first = results[1]["task"]["version"]
    assert [one["task"]["version"] for one in results[1:]] == [*range(first, first + 99)]
    assert [one["task"]["occurrence_number"] for one in results[1:]] == [*range(2, 101)]
    assert results[-1]["task"] == await series.read(task)
    assert results[-1]["task"]["due_date"] == "2090-04-14"


async def test_completing_and_reopening_in_turn_takes_few_attempts(series, perform):
    task = await series.begin("FREQ=DAILY", "2090-01-05")
    results, count = await perform(*[complete(task), complete(task, completed=False)] * 30, complete(task))
    assert count <= 4
    assert [one["task"]["completed"] for one in results] == [True, False] * 30 + [True]
    done, after = await series.all()
    assert (done["completed"], after["completed"], after["due_date"]) == (True, False, "2090-01-06")
    assert (await series.caller.get("/api/alice/trash")).json() == []


@pytest.mark.parametrize("atomic", [True, False])
async def test_two_operations_on_each_of_many_tasks_take_few_attempts(series, perform, atomic):
    tasks = [await series.begin("FREQ=DAILY", "2090-01-05", f"Task {number}") for number in range(15)]
    pairs = [one for task in tasks for one in (rename(task, f"{task['title']} again"), complete(task))]
    results, count = await perform(*pairs, atomic=atomic)
    assert count <= 5
    assert [one["task"]["completed"] for one in results] == [False, True] * 15
    found = await series.all(status="pending")
    assert [task["title"] for task in found] == [f"Task {number} again" for number in range(15)]
    assert {task["due_date"] for task in found} == {"2090-01-06"}


async def test_tasks_that_the_batch_creates_and_completes_take_few_attempts(series, perform):
    uids = [str(uuid4()) for _ in range(15)]
    pairs = [
        one
        for uid in uids
        for one in (
            {"op": "create", "task": {"title": "Water", "uid": uid, "due_date": "2090-01-05", "repeat": DAILY}},
            {"op": "complete", "id": uid, "completed": True},
        )
    ]
    results, count = await perform(*pairs)
    assert count <= 4
    done = [one["task"] for one in results[1::2]]
    assert [task["uid"] for task in done] == uids
    successors = {str(uuid5(UUID(task["series"]), "2090-01-06")) for task in done}
    assert {task["uid"] for task in await series.all(status="pending")} == successors


async def test_an_operation_that_is_refused_changes_no_plan_after_it(series, perform):
    task = await series.begin("FREQ=DAILY;COUNT=3", "2090-01-05")
    results, _ = await perform(*[skip(task)] * 4, rename(task, "Last"), complete(task), skip(task), atomic=False)
    assert [one["status"] for one in results] == [200, 200, 409, 409, 200, 200, 409]
    (done,) = await series.all()
    assert (done["title"], done["due_date"], done["completed"]) == ("Last", "2090-01-07", True)


async def test_two_tasks_written_in_turn_by_their_ids_and_uids_take_few_attempts(series, perform):
    first, second = [await series.begin("FREQ=DAILY", "2090-01-05", title) for title in ("Water", "Feed")]
    turns = [skip(first), complete(second), rename(first, "Water all"), complete(second, completed=False)]
    results, count = await perform(*turns, *(one | {"id": first["uid"]} for one in [skip(first)] * 2), *turns * 10)
    assert count <= 5
    assert [one["task"]["occurrence_number"] for one in (results[4], results[5], results[-4])] == [3, 4, 14]
    found = [(task["title"], task["due_date"], task["completed"]) for task in await series.all()]
    assert found == [("Water all", "2090-01-18", False), ("Feed", "2090-01-05", False)]


async def test_an_operation_on_the_parent_of_a_repeating_task_is_seen_by_the_next_plan(series, perform):
    parent = await series.caller.make("Plants")
    task = await series.begin("FREQ=DAILY", "2090-01-05", parent_id=parent["id"])
    turns = [skip(task), complete(parent), skip(task), complete(parent, completed=False)]
    results, _ = await perform(*turns, skip(task), atomic=False)
    assert [one["status"] for one in results] == [200, 200, 409, 200, 200]
    assert results[-1]["task"] == await series.read(task)
    assert (results[-1]["task"]["due_date"], results[-1]["task"]["completed"]) == ("2090-01-07", False)


@pytest.mark.parametrize("atomic", [True, False])
async def test_a_batch_that_needs_too_many_attempts_is_refused(series, refusal, statements, atomic):
    task, other = await series.begin("FREQ=DAILY", "2090-01-05"), await series.caller.make("Other")
    between = [{"op": "delete", "id": other["id"]}, {"op": "restore", "id": other["id"]}]
    body = {"atomic": atomic, "operations": [skip(task), *between] * 33}
    key = {"headers": {"Idempotency-Key": "once"}}
    with statements() as seen:
        response = await series.caller.post(BATCH, json=body, **key)
    problem = refusal(response, 422, "validation_error", "operations")
    assert "send one operation for each of them, or several batches" in problem["detail"]
    assert attempts(seen) <= 11
    assert await series.all() == [task, other]
    body["operations"] = body["operations"][:6]
    assert (await series.caller.post(BATCH, json=body, **key)).status_code == 200


FIELDS = ("title", "completed", "due_date", "occurrence", "occurrence_number", "next_due")
DUE = {"due_date": "2090-01-05"}
CHANGES: list[dict] = [
    {"title": "Other"}, {"due_date": "2090-02-01"}, {"priority": "high", "completed": True}, {"completed": False},
    {"repeat": {"rrule": "FREQ=DAILY;INTERVAL=2"}},
]  # fmt: skip


async def some_tasks(alice) -> list[dict]:
    """Create tasks with subtasks, some of which repeat; one was completed and has a successor."""
    daily, counted = {"rrule": "FREQ=DAILY"}, {"rrule": "FREQ=DAILY;COUNT=4"}
    await alice.make("A", repeat=daily, **DUE)
    parents = [await alice.make("B", repeat=counted, **DUE), await alice.make("C")]
    for number, parent in enumerate(parents):
        await alice.make(f"Plain {number}", parent_id=parent["id"])
        await alice.make(f"Repeating {number}", parent_id=parent["id"], repeat=daily, **DUE)
    await alice.post(f"{alice.path}/{parents[0]['id']}/complete")
    return (await alice.get(alice.path)).json()


def some_operations(chance: random.Random, number: int) -> list[tuple[int, dict]]:
    """Return pairs of the index of a task, and an operation on it without its id; often several on one task."""
    drawn = []
    for _ in range(10):
        index = chance.randrange(number)
        for _ in range(chance.randint(1, 3)):
            done = {"op": "complete", "completed": chance.random() < 0.6}
            drawn.append((index, chance.choice([{"op": "skip"}, done, done, {"op": "update", "changes": None}])))
    return [
        (index, {**one, "changes": chance.choice(CHANGES)} if one["op"] == "update" else one) for index, one in drawn
    ]


async def check_batches(caller, seeds: range) -> None:
    """Compare random batches with the same operations one by one, by another user."""
    refused = 0
    for seed in seeds:
        chance, users = random.Random(seed), [caller(f"one {seed}"), caller(f"two {seed}")]
        tasks = [await some_tasks(user) for user in users]
        drawn = some_operations(chance, len(tasks[0]))
        sent = [[{**one, "id": mine[index]["id"]} for index, one in drawn] for mine in tasks]
        response = await users[0].post("/api/me/batch", json={"atomic": False, "operations": sent[0]})
        if response.status_code == 422:
            refused += 1
            continue
        singles = [await users[1].post("/api/me/batch", json={"atomic": False, "operations": [one]}) for one in sent[1]]
        results = [response.json()["results"], [one.json()["results"][0] for one in singles]]
        outcomes = [[(one["status"], *shown(one.get("task", {}))) for one in each] for each in results]
        assert outcomes[0] == outcomes[1], seed
        states = [[shown(task) for task in (await user.get(user.path)).json()] for user in users]
        assert states[0] == states[1], seed
    assert refused < len(seeds) / 4


def shown(task: dict) -> tuple:
    return tuple(task.get(name) for name in FIELDS)


async def test_random_batches_do_what_their_operations_do_one_by_one(caller):
    await check_batches(caller, range(4))


@pytest.mark.trial
async def test_hundreds_of_random_batches_do_what_their_operations_do_one_by_one(caller):
    await check_batches(caller, range(4, 300))
