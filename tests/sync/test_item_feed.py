"""GET /api/{user_id}/changes: the changes of tasks and lists, in one order of versions."""

from __future__ import annotations

import json

import pytest

from service.database.uids import new_uid
from service.lists.models import List
from service.lists.outcomes import Quotas
from service.lists.writes import UserLists
from service.tasks.batch.writes import Operation
from service.tasks.models import Task
from service.tasks.writes import UserTasks
from service.web.text import with_keys

FEED = "/api/me/changes"
QUOTA = 10_000


async def changes(caller, query: str = "", path: str = FEED) -> dict:
    response = await caller.get(f"{path}?{query}")
    assert response.status_code == 200, response.text
    return response.json()


async def one_by_one(caller, since: str) -> list[tuple[str, int, int]]:
    """Read all changes after `since` in pages of one change. Return their types, ids and versions."""
    found, more = [], True
    while more:
        page = await changes(caller, f"since={since}&limit=1")
        assert len(page["changes"]) <= 1
        found += page["changes"]
        since, more = page["next"], page["has_more"]
    return brief(found)


def brief(found: list[dict]) -> list[tuple[str, int, int]]:
    return [(one["type"], one["id"], one["version"]) for one in found]


def at(position: str, revision: int) -> str:
    """Return the position at `revision` in the same history as `position`."""
    return f"{position.partition('-')[0]}-{revision}"


@pytest.fixture
def tasks(pool, empty) -> UserTasks:
    return Task.objects.for_user("alice", using=pool)


@pytest.fixture
def lists(pool, empty) -> UserLists:
    return List.objects.for_user("alice", using=pool)


async def make(tasks: UserTasks, title: str = "A task", **values: object) -> int:
    return (await tasks.create(with_keys({"title": title, **values}), quota=QUOTA)).id


async def make_full(lists: UserLists, tasks: UserTasks) -> tuple[int, list[int]]:
    """Create a list with a task, and a second task with a subtask. Return the ids."""
    within = str(listed := (await lists.create({"name": "Garden"})).id)
    single, parent = await make(tasks, list_id=within), await make(tasks, list_id=within)
    return listed, [single, parent, await make(tasks, parent_id=str(parent))]


async def test_without_a_token_there_is_no_feed(http, refusal):
    refusal(await http.get("/api/alice/changes"), 401, "authentication_required")


async def test_another_user_is_refused_before_the_query_is_checked(bob, statements, refusal):
    with statements() as seen:
        refusal(await bob.get("/api/alice/changes?since=nonsense"), 403, "forbidden")
    assert seen == []


@pytest.mark.parametrize("query", ["since=1", "since=x", "limit=0", "limit=1001", "sort=id", "type=task"])
async def test_an_invalid_parameter_is_refused_by_name(alice, statements, refusal, query):
    with statements() as seen:
        refusal(await alice.get(f"{FEED}?{query}"), 422, "validation_error", query.partition("=")[0])
    assert seen == []


async def test_before_the_first_write_the_feed_is_empty_and_its_position_0_stays_valid(alice, lists, private):
    response = await alice.get(FEED)
    assert response.text == '{"changes":[],"next":"0","has_more":false}'
    assert response.headers["content-type"] == "application/json"
    private(response)
    assert (await alice.head(FEED)).status_code == 200
    await lists.create({"name": "Garden"})
    assert brief((await changes(alice, "since=0"))["changes"]) == [("list", 1, 1)]


async def test_a_full_sync_returns_live_tasks_and_lists_by_version_with_their_type_first(alice, lists, tasks):
    garden = await lists.create({"name": "Garden", "color": "#2e7d32"})
    made = await alice.make("Water the plants", list_id=garden.id)
    home = await lists.create({"name": "Haus & Höfe ☂"})
    await lists.delete((await lists.create({"name": "Gone"})).id, tasks=None, trash_quota=QUOTA)
    await alice.delete(f"{alice.path}/{await make(tasks)}")
    renamed = await lists.update(garden.id, {"name": "The garden"})
    response = await alice.get(FEED)
    assert response.json() == {
        "changes": [
            {"type": "task", **made},
            {"type": "list", **json.loads(home.document)},
            {"type": "list", **json.loads(renamed.document)},
        ],
        "next": at(response.json()["next"], 8),
        "has_more": False,
    }
    assert response.text.startswith(f'{{"changes":[{{"type":"task","id" : {made["id"]}, ')
    assert f'{{"type":"list",{home.document[1:]}' in response.text


async def test_a_deleted_item_is_a_tombstone_with_its_type_and_uid(alice, lists, tasks):
    garden, task = await lists.create({"name": "Garden"}), await alice.make()
    position = (await changes(alice))["next"]
    await lists.delete(garden.id, tasks=None, trash_quota=QUOTA)
    await alice.delete(f"{alice.path}/{task['id']}")
    assert (await alice.get(f"{FEED}?since={position}")).text == (
        f'{{"changes":[{{"type":"list","id":1,"uid":"{garden.uid}","version":3,"deleted":true}},'
        f'{{"type":"task","id":2,"uid":"{task["uid"]}","version":4,"deleted":true}}],'
        f'"next":"{at(position, 4)}","has_more":false}}'
    )


async def test_the_feed_of_tasks_has_no_lists_and_no_types_and_moves_its_position_past_writes_of_lists(alice, lists):
    task = await alice.make()
    before = await alice.get(f"{alice.path}/changes")
    position = before.json()["next"]
    assert (
        before.text
        == f'{{"changes":[{(await alice.get(f"{alice.path}/1")).text}],"next":"{position}","has_more":false}}'
    )
    garden = await lists.create({"name": "Garden"})
    await lists.update(garden.id, {"name": "The garden"})
    path = f"{alice.path}/changes"
    later = at(position, 3)
    assert await changes(alice, f"since={position}", path) == {"changes": [], "next": later, "has_more": False}
    assert await changes(alice, "", path) == {"changes": [task], "next": later, "has_more": False}
    await lists.delete(garden.id, tasks=None, trash_quota=QUOTA)
    deleted = await alice.delete(f"{alice.path}/{task['id']}")
    assert deleted.status_code == 204
    assert (await alice.get(f"{path}?since={later}")).text == (
        f'{{"changes":[{{"id":1,"uid":"{task["uid"]}","version":5,"deleted":true}}],'
        f'"next":"{at(position, 5)}","has_more":false}}'
    )


async def test_each_feed_continues_from_the_position_of_the_other(alice, lists, tasks):
    await make(tasks)
    of_tasks = (await changes(alice, path=f"{alice.path}/changes"))["next"]
    await lists.create({"name": "Garden"})
    found = await changes(alice, f"since={of_tasks}")
    assert brief(found["changes"]) == [("list", 2, 2)]
    await make(tasks, "Later")
    assert [
        one["id"] for one in (await changes(alice, f"since={found['next']}", f"{alice.path}/changes"))["changes"]
    ] == [3]


async def test_a_limit_counts_tasks_and_lists_together(alice, lists, tasks):
    for number in range(3):
        await lists.create({"name": f"List {number}"})
        await make(tasks)
    page = await changes(alice, "limit=4")
    assert brief(page["changes"]) == [("list", 1, 1), ("task", 2, 2), ("list", 3, 3), ("task", 4, 4)]
    assert (page["next"], page["has_more"]) == (at(page["next"], 4), True)
    page = await changes(alice, f"since={page['next']}&limit=2")
    assert brief(page["changes"]) == [("list", 5, 5), ("task", 6, 6)]
    assert (page["next"], page["has_more"]) == (at(page["next"], 6), False)


async def test_every_member_of_a_family_is_reported_even_in_pages_of_one_change(alice, lists, tasks):
    listed, (_, parent, child) = await make_full(lists, tasks)
    other = await make(tasks, parent_id=str(parent))
    position = (await changes(alice))["next"]
    await tasks.complete(parent, True)  # noqa: FBT003 - the value to set
    assert sorted(await one_by_one(alice, position), key=lambda one: one[1]) == [
        ("task", parent, 6), ("task", child, 7), ("task", other, 8)
    ]  # fmt: skip
    await tasks.update(parent, {"list_id": "none"})
    await tasks.delete(parent, trash_quota=QUOTA)
    found = await one_by_one(alice, position)
    assert {(kind, item) for kind, item, _ in found} == {("task", parent), ("task", child), ("task", other)}
    assert [version for *_, version in found] == [12, 13, 14]
    assert listed not in {item for _, item, _ in found}


@pytest.mark.parametrize("limit", [1, 500])
async def test_a_deleted_list_reports_each_task_that_moves_to_the_inbox(alice, lists, tasks, limit):
    listed, members = await make_full(lists, tasks)
    position = (await changes(alice))["next"]
    await lists.delete(listed, tasks="inbox", trash_quota=QUOTA)
    assert await one_by_one(alice, position) == [("list", 1, 5), *(("task", one, 4 + one) for one in members)]
    found = (await changes(alice, f"since={position}&limit={limit}"))["changes"]
    assert [one.get("deleted", False) for one in found] == [True, False, False, False][:limit]
    assert [one["list_id"] for one in found[1:]] == [None, None, None][: limit - 1]


async def test_a_list_moved_to_the_trash_and_back_reports_each_of_its_tasks(alice, lists, tasks):
    listed, members = await make_full(lists, tasks)
    position = (await changes(alice))["next"]
    await lists.delete(listed, tasks="trash", trash_quota=QUOTA)
    assert await one_by_one(alice, position) == [("list", 1, 5), *(("task", one, 4 + one) for one in members)]
    page = await changes(alice, f"since={position}")
    assert [one.get("deleted") for one in page["changes"]] == [True] * 4
    await lists.restore(listed, task_quota=QUOTA)
    assert await one_by_one(alice, page["next"]) == [("list", 1, 9), *(("task", one, 8 + one) for one in members)]
    found = (await changes(alice, f"since={page['next']}"))["changes"]
    assert [one["list_id"] for one in found[1:]] == [listed] * 3


async def test_a_batch_of_tasks_and_lists_is_reported_in_the_order_of_its_operations(alice, lists, tasks):
    old = (await lists.create({"name": "Old"})).id
    position = (await changes(alice))["next"]
    uid, task_uid = new_uid(), new_uid()
    await tasks.perform(
        [
            Operation("create_list", changes={"name": "New", "uid": uid}),
            Operation("create", changes=with_keys({"title": "A", "list_id": uid, "uid": task_uid})),
            Operation("update_list", old, {"name": "Older"}),
            Operation("complete", task_uid, {"completed": True}),
            Operation("delete_list", old, {"contents": None}),
        ],
        atomic=True,
        quotas=Quotas(QUOTA, QUOTA),
    )
    found = await changes(alice, f"since={position}")
    assert brief(found["changes"]) == [("list", 2, 2), ("task", 3, 5), ("list", 1, 6)]
    created, completed, deleted = found["changes"]
    assert (created["uid"], completed["uid"], completed["list_id"]) == (uid, task_uid, created["id"])
    assert (completed["completed"], deleted["deleted"]) == (True, True)
    assert found["next"] == at(position, 6)


async def test_the_feed_has_no_changes_of_other_users(alice, bob, lists, pool, refusal):
    theirs = List.objects.for_user("bob", using=pool)
    for number in range(3):
        await theirs.create({"name": f"Bob's {number}"})
    await lists.create({"name": "Alice's"})
    assert [one["name"] for one in (await changes(alice))["changes"]] == ["Alice's"]
    refusal(await alice.get(f"{FEED}?since={(await changes(bob))['next']}"), 410, "sync_position_gone")


async def test_a_position_before_a_destroyed_list_is_410_in_both_feeds_and_one_after_it_is_not(
    alice, lists, tasks, refusal
):
    gone, kept = [(await lists.create({"name": name})).id for name in ("Gone", "Kept")]
    await lists.delete(gone, tasks=None, trash_quota=QUOTA)  # revision 3
    await make(tasks)
    await lists.destroy(gone)  # revision 5
    newest = (await changes(alice))["next"]
    assert newest == at(newest, 5)
    for path in (FEED, f"{alice.path}/changes"):
        for revision in (0, 1, 2):
            refusal(await alice.get(f"{path}?since={at(newest, revision)}"), 410, "sync_position_gone")
    assert brief((await changes(alice, f"since={at(newest, 3)}"))["changes"]) == [("task", 4, 4)]
    # A full sync reads on past positions that are older than the tombstone.
    assert await one_by_one(alice, "0") == [("list", kept, 2), ("task", 4, 4)]


async def test_a_position_from_before_an_erasure_is_410_whatever_was_written_since(alice, lists, tasks, refusal):
    listed, _ = await make_full(lists, tasks)
    await lists.delete(listed, tasks="trash", trash_quota=QUOTA)
    position = (await changes(alice))["next"]
    assert (await alice.request("DELETE", "/api/me", json={"confirm": "alice"})).status_code == 204
    refusal(await alice.get(f"{FEED}?since={position}"), 410, "sync_position_gone")
    made = [await lists.create({"name": f"After {number}"}) for number in range(9)]
    refusal(await alice.get(f"{FEED}?since={position}"), 410, "sync_position_gone")
    found = await changes(alice, "since=0")
    assert found["changes"] == [{"type": "list", **json.loads(one.document)} for one in made]
    assert (await changes(alice, f"since={found['next']}"))["changes"] == []


async def test_a_page_of_the_feed_is_one_statement(alice, statements):
    await alice.make()
    with statements() as seen:
        await changes(alice)
    assert len(seen) == 1
    assert seen[0][1] == ("alice", "", 0, 0, 500)
