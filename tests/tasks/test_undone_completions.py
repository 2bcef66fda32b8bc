"""Reopening a repeating task takes its successor back, unless a request has changed that one."""

from __future__ import annotations

import pytest

from tests.tasks.test_recurrence import Series, successor_of
from tests.tasks.test_series_edges import counted

LISTS = "/api/alice/lists"
TRASH = "/api/alice/trash"
OLD = "2026-01-02T03:04:05.000006Z"


@pytest.fixture
def series(alice) -> Series:
    return Series(alice)


async def begin(series: Series, title: str = "Water", **more) -> dict:
    return await series.begin("FREQ=WEEKLY", "2090-01-05", title, **more)


async def changed_since(series: Series, revision: int) -> list[str]:
    """The titles of the tasks that were written after the revision."""
    return sorted(task["title"] for task in await series.all() if task["version"] > revision)


async def trash(series: Series) -> list[dict]:
    return (await series.caller.get(TRASH)).json()


async def reopen(series: Series, task: dict):
    return await series.send("POST", task, "/complete", json={"completed": False})


async def taken_back(series: Series, task: dict, after: dict) -> None:
    """Reopen the task, and check that the successor is in the trash."""
    assert (await series.complete(task, completed=False))["completed"] is False
    assert after["id"] in {one["id"] for one in await trash(series)}


async def kept(series: Series, refusal, task: dict, after: dict) -> None:
    """Check that the task cannot be reopened, because the successor has changed."""
    problem = refusal(await reopen(series, task), 409, "successor_changed")
    assert problem["successor"] == await series.read(after)
    assert problem["successor"]["id"] == after["id"]


@pytest.mark.parametrize("side", ["before", "after"])
async def test_a_task_that_is_dropped_beside_the_successor_changes_only_one_of_them(series, side):
    other, task = await series.caller.make("Other"), await begin(series)
    await series.caller.make("Last", after=None)
    for _ in range(2):  # completed tasks of the series have the position of the open one
        done = await series.complete(task)
        after = await series.read(successor_of(done))
        anchor = after if side == "before" else done
        moved = await series.patch(other, **{side: anchor["id"]})
        assert await changed_since(series, after["version"]) == ["Other", "Water"]
        titles = [one["id"] for one in await series.all(sort="position")]
        assert titles.index(done["id"]) + 2 == titles.index(moved["id"]) + 1 == titles.index(after["id"])
        await taken_back(series, task, after)
        task = await series.next(task)
        other = await series.patch(other, before=None)


async def follow(series: Series, way: str, shelf: dict, parent: dict) -> None:
    """Write the list or the parent of the tasks, so that they follow."""
    caller = series.caller
    if way == "the parent moves":
        await series.patch(parent, list_id=None)
    elif way == "the parent is deleted and restored":
        assert (await series.send("DELETE", parent)).status_code == 204
        assert (await caller.post(f"{TRASH}/{parent['id']}/restore")).status_code == 200
    elif way == "the parent is completed and reopened":
        await series.complete(parent)
        await series.complete(parent, completed=False)
    elif way == "the list is deleted":
        assert (await caller.delete(f"{LISTS}/{shelf['id']}?tasks=inbox")).status_code == 204
    else:
        assert (await caller.delete(f"{LISTS}/{shelf['id']}?tasks=trash")).status_code == 204
        assert (await caller.post(f"{TRASH}/lists/{shelf['id']}/restore")).status_code == 200


WAYS = [
    "the parent moves", "the parent is deleted and restored", "the parent is completed and reopened",
    "the list is deleted", "the list is deleted and restored",
]  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
async def test_a_successor_that_only_follows_its_parent_or_list_is_taken_back(series, way):
    shelf = (await series.caller.post(LISTS, json={"name": "Garden"})).json()
    parent = await series.caller.make("Plants", list_id=shelf["id"])
    task = await begin(series, parent_id=parent["id"])
    after = await series.next(task)
    for _ in range(2 if way == "the parent is completed and reopened" else 1):
        await follow(series, way, shelf, parent)
    assert (await series.read(after))["version"] > after["version"]
    await taken_back(series, task, after)


@pytest.mark.parametrize("way", WAYS[3:])
async def test_a_successor_follows_its_list_together_with_its_subtasks(series, way):
    shelf = (await series.caller.post(LISTS, json={"name": "Garden"})).json()
    task = await begin(series, list_id=shelf["id"])
    await series.caller.make("Can", parent_id=task["id"])
    after = await series.next(task)
    await follow(series, way, shelf, task)
    await taken_back(series, task, after)
    assert sorted(one["title"] for one in await trash(series)) == ["Can", "Water"]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("first", [True, False], ids=["change first", "follow first"])
async def test_a_successor_that_was_changed_and_follows_is_kept(series, refusal, way, first):
    shelf = (await series.caller.post(LISTS, json={"name": "Garden"})).json()
    parent = await series.caller.make("Plants", list_id=shelf["id"])
    task = await begin(series, parent_id=parent["id"])
    after = await series.next(task)
    if first:
        await series.patch(after, title="Water all")
    await follow(series, way, shelf, parent)
    if not first:
        await series.patch(after, title="Water all")
    await kept(series, refusal, task, after)


async def test_a_successor_that_was_dragged_itself_is_kept(series, refusal):
    await series.caller.make("Other")
    task = await begin(series)
    after = await series.next(task)
    await series.patch(after, after=None)
    await kept(series, refusal, task, after)


async def test_a_successor_that_its_parent_has_completed_is_kept(series, refusal):
    parent = await series.caller.make("Plants")
    task = await begin(series, parent_id=parent["id"])
    after = await series.next(task)
    await series.complete(parent)
    await kept(series, refusal, task, after)


@pytest.mark.parametrize("fields", [{"parent_id": None}, {"parent_id": "other"}])
async def test_a_successor_that_a_copied_subtask_has_left_is_kept(series, refusal, fields):
    other, task = await series.caller.make("Other"), await begin(series)
    await series.caller.make("Can", parent_id=task["id"])
    after = await series.next(task)
    (copy,) = await series.all(parent=after["id"])
    await series.patch(copy, parent_id=fields["parent_id"] and other["id"])
    await kept(series, refusal, task, after)


async def test_a_successor_with_an_imported_subtask_is_kept(series, refusal):
    task = await begin(series)
    after = await series.next(task)
    line = {"title": "Can", "parent_id": after["uid"], "created_at": OLD, "updated_at": OLD}
    assert (await series.caller.post("/api/alice/import", json={"tasks": [line]})).json()["imported"] == 1
    await kept(series, refusal, task, after)


async def family_of(series: Series, after: dict) -> list[tuple]:
    return [(one["id"], one["uid"], one["title"]) for one in (after, *await series.all(parent=after["id"]))]


async def test_completing_again_takes_the_whole_family_out_of_the_trash(series, connection):
    task = await begin(series)
    for title in ("Can", "Hose"):
        await series.caller.make(title, parent_id=task["id"])
    start = (await series.caller.get("/api/alice/changes", params={"since": 0})).json()["next"]
    after = await series.next(task)
    first = await family_of(series, after)
    for _ in range(2):
        await taken_back(series, task, after)
        assert {one["id"] for one in await trash(series)} == {id_ for id_, _, _ in first}
        after = await series.next(task)
        assert await family_of(series, after) == first
        assert await trash(series) == []
    await counted(connection)
    feed = (await series.caller.get("/api/alice/changes", params={"since": start})).json()["changes"]
    assert not any("deleted" in one for one in feed)
    assert {one["id"] for one in feed} == {one["id"] for one in await series.all()}


async def test_completing_again_with_other_subtasks_keeps_the_rest_of_the_family_in_the_trash(series, connection):
    task = await begin(series)
    can, hose = [await series.caller.make(title, parent_id=task["id"]) for title in ("Can", "Hose")]
    after = await series.next(task)
    family = await family_of(series, after)
    await taken_back(series, task, after)
    assert (await series.send("DELETE", can)).status_code == 204
    after = await series.next(task)
    assert await family_of(series, after) == [family[0], (*family[1][:2], "Hose")]
    assert {one["id"] for one in await trash(series)} == {can["id"], family[2][0]}
    await taken_back(series, task, after)
    await series.patch(hose, title="Long hose")
    for title in ("Rake", "Soil"):
        await series.caller.make(title, parent_id=task["id"])
    after = await series.next(task)
    again = await family_of(series, after)
    assert [title for _, _, title in again] == ["Water", "Long hose", "Rake", "Soil"]
    assert [one[:2] for one in again[:2]] == [one[:2] for one in family[:2]]
    assert {one["id"] for one in await trash(series)} == {can["id"], family[2][0]}
    await counted(connection)
