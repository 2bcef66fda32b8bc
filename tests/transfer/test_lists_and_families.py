"""Lists, subtasks, positions and uids of files: what an export contains, and what an import makes of it."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable

import icalendar
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.database.uids import new_uid
from service.errors import InvalidInputError
from service.lists.models import List
from service.lists.writes import UserLists
from service.transfer.formats import document, lines

IMPORT, EXPORT = "/api/me/import", "/api/me/export"
CSV = {"Content-Type": "text/csv"}
WHEN = "2026-01-02T03:04:05.000006Z"
NUMBERS = {"id", "user_id", "list_id", "parent_id", "position", "version"}  # they differ between accounts


@pytest.fixture
def lists_of(pool, empty) -> Callable[[str], UserLists]:
    return lambda user_id: List.objects.for_user(user_id, using=pool)


async def send(caller, tasks: Iterable[dict] = (), lists: Iterable[dict] = (), *, conflict: str = "create"):
    body = {"version": 2, "lists": [*lists], "tasks": [*tasks]}
    return await caller.post(IMPORT, params={"on_conflict": conflict}, json=body)


async def add(caller, tasks: Iterable[dict] = (), lists: Iterable[dict] = (), *, conflict: str = "create") -> dict:
    """Import, and return the export afterwards."""
    response = await send(caller, tasks, lists, conflict=conflict)
    assert response.status_code == 200, response.text
    return await exported(caller)


async def exported(caller) -> dict:
    return (await caller.get(EXPORT)).json()


def by_title(export: dict) -> dict[str, dict]:
    return {task["title"]: task for task in export["tasks"]}


def structure(export: dict) -> dict:
    """Return everything in an export that is the same in every account: uids instead of ids, order instead of keys."""
    uids = {item["id"]: item["uid"] for item in (*export["lists"], *export["tasks"])}

    def seen(item: dict) -> dict:
        named = {name: uids.get(item[name]) for name in ("list_id", "parent_id") if name in item}
        return {name: value for name, value in item.items() if name not in NUMBERS} | named

    def order(items: list[dict]) -> list[str]:
        return [item["uid"] for item in sorted(items, key=lambda item: (item["position"].encode(), item["id"]))]

    groups = {(task["list_id"], task["parent_id"]): None for task in export["tasks"]}
    return {
        "lists": [seen(item) for item in export["lists"]],
        "tasks": [seen(item) for item in export["tasks"]],
        "order of lists": order(export["lists"]),
        "order of tasks": [
            order([task for task in export["tasks"] if (task["list_id"], task["parent_id"]) == group])
            for group in groups
        ],
    }


async def fill(caller, lists: UserLists) -> dict:
    """Lists, families and an order by hand, in the trash too."""
    home = await lists.create({"name": "Home", "color": "#1e90ff"})
    work = await lists.create({"name": "=Work", "archived": True, "placed": "before", "place": None})
    gone = await lists.create({"name": "Gone"})
    thrown = await caller.make("Thrown with its list", list_id=gone.id)
    await lists.delete(gone.id, tasks="trash", trash_quota=10_000)
    child = await caller.make("Older than its parent")
    parent = await caller.make("Parent", list_id=home.uid)
    assert (await caller.patch(f"{caller.path}/{child['id']}", json={"parent_id": parent["id"]})).status_code == 200
    await caller.make("Second child", parent_id=parent["uid"], after=None)
    deleted = await caller.make("Deleted child", parent_id=parent["id"])
    assert (await caller.delete(f"{caller.path}/{deleted['id']}")).status_code == 204
    for number in range(6):
        await caller.make(f"Task {number}", list_id=work.id, after=None)
    last = await caller.make("Done", completed=True)
    for number in range(3):
        await caller.make(f"Inbox {number}", before=last["uid"])
    family = await caller.make("Deleted family")
    await caller.make("Deleted with it", parent_id=family["id"])
    assert (await caller.delete(f"{caller.path}/{family['id']}")).status_code == 204
    return await exported(caller) | {"thrown": thrown}


async def test_an_export_has_the_lists_before_the_tasks_and_the_trash_of_both(alice, lists_of):
    body = await fill(alice, lists_of("alice"))
    assert [*body][:6] == ["format", "version", "exported_at", "user", "lists", "tasks"]
    home, work, gone = body["lists"]
    assert (home["name"], home["color"], home["archived"], "deleted_at" in home) == ("Home", "#1e90ff", False, False)
    assert (work["name"], work["archived"]) == ("=Work", True)
    assert gone["deleted_at"] == by_title(body)["Thrown with its list"]["deleted_at"]
    assert by_title(body)["Thrown with its list"]["list_id"] == gone["id"]
    assert by_title(body)["Older than its parent"]["list_id"] == home["id"]


async def test_another_account_gets_the_same_lists_families_and_order(alice, bob, lists_of):
    for _ in range(10):
        await alice.make("A task that makes alice's revision greater than bob's")
    mine = await fill(alice, lists_of("alice"))
    theirs = await add(bob, mine["tasks"], mine["lists"])
    assert structure(theirs) == structure(mine)
    assert (await add(bob, mine["tasks"], mine["lists"], conflict="skip"))["user"] == theirs["user"]


@pytest.mark.parametrize("form", ["json", "csv"])
async def test_the_users_own_export_imported_with_skip_changes_nothing(alice, lists_of, form):
    before = await fill(alice, lists_of("alice"))
    file = await alice.get(EXPORT, params={"format": form})
    headers = {"Content-Type": file.headers["content-type"]}
    response = await alice.post(IMPORT, params={"on_conflict": "skip"}, content=file.content, headers=headers)
    assert response.json() == {"imported": 0, "skipped": len(before["tasks"])}
    assert (await exported(alice)) | {"exported_at": ...} == {
        name: value for name, value in before.items() if name != "thrown"
    } | {"exported_at": ...}  # fmt: skip


async def test_the_counts_of_the_owner_are_those_of_the_rows(alice, bob, lists_of, connection):
    mine = await fill(alice, lists_of("alice"))
    await add(bob, mine["tasks"], mine["lists"])
    counts = "SELECT task_count, trash_count, list_count, has_subtasks FROM users WHERE id = $1"
    assert await connection.fetchrow(counts, "bob") == await connection.fetchrow(counts, "alice")
    assert (await connection.fetchrow(counts, "bob"))["has_subtasks"] is True
    assert (await connection.fetchrow(counts, "bob"))["list_count"] == 2


async def test_with_create_an_own_export_makes_copies_with_new_uids_and_a_family_of_their_own(alice, lists_of):
    await lists_of("alice").create({"name": "Home"})
    before = await exported(alice)
    parent = await alice.make("Parent", list_id=before["lists"][0]["id"])
    await alice.make("Child", parent_id=parent["id"])
    file = await exported(alice)
    after = await add(alice, file["tasks"], file["lists"])
    assert after["lists"][0] == file["lists"][0]
    assert after["tasks"][:2] == file["tasks"]
    copied, (copy, child) = after["lists"][1], after["tasks"][2:]
    assert (copied["name"], copy["title"], child["title"]) == ("Home", "Parent", "Child")
    assert (copy["list_id"], child["list_id"], child["parent_id"]) == (copied["id"], copied["id"], copy["id"])
    uids = [item["uid"] for item in (*after["lists"], *after["tasks"])]
    assert len({*uids}) == len(uids)


async def test_a_destroyed_task_of_a_backup_comes_back_to_its_list_parent_and_place(alice, lists_of):
    home = await lists_of("alice").create({"name": "Home"})
    parent = await alice.make("Parent", list_id=home.id)
    for title in "ABC":
        await alice.make(title, parent_id=parent["id"], after=None)
    backup = await exported(alice)
    lost = by_title(backup)["B"]
    await alice.delete(f"{alice.path}/{lost['id']}")
    await alice.delete(f"/api/me/trash/{lost['uid']}")
    after = await add(alice, backup["tasks"], backup["lists"], conflict="skip")
    assert len(after["tasks"]) == 4
    back = by_title(after)["B"]
    assert (back["uid"], back["parent_id"], back["list_id"], back["position"]) == (
        lost["uid"], parent["id"], home.id, lost["position"],
    )  # fmt: skip


async def test_a_new_task_comes_before_imported_ones_whose_ids_were_greater(alice, bob):
    for number in range(20):
        await alice.make(f"Task {number}")
    mine = await exported(alice)
    await add(bob, mine["tasks"][10:])
    await bob.make("New")
    titles = [task["title"] for task in (await bob.get(bob.path, params={"sort": "position"})).json()]
    assert titles == ["New", *(f"Task {number}" for number in range(19, 9, -1))]


async def test_an_id_counts_within_the_file_only(alice, bob, lists_of):
    theirs = await lists_of("bob").create({"name": "Bob's"})
    other = await bob.make("Bob's")
    after = await add(
        alice,
        [{"id": theirs.id, "title": "Parent", "list_id": other["id"]}, {"title": "Child", "parent_id": theirs.id}],
        [{"id": other["id"], "name": "Alice's"}],
    )
    (own,) = after["lists"]
    parent, child = after["tasks"]
    assert (own["name"], parent["list_id"], child["list_id"]) == ("Alice's", own["id"], own["id"])
    assert child["parent_id"] == parent["id"]


async def test_a_uid_names_an_item_of_the_file_or_one_of_the_callers(alice, lists_of):
    mine = await lists_of("alice").create({"name": "Mine"})
    there = await alice.make("There", list_id=mine.id)
    list_uid, uid = new_uid(), new_uid()
    after = by_title(
        await add(
            alice,
            [
                {"title": "A", "parent_id": there["uid"].upper()}, {"title": "B", "list_id": mine.uid},
                {"title": "C", "parent_id": uid}, {"title": "D", "uid": uid, "list_id": list_uid},
            ],
            [{"uid": list_uid, "name": "New"}],
        )
    )  # fmt: skip
    assert (after["A"]["parent_id"], after["A"]["list_id"]) == (there["id"], mine.id)
    assert (after["B"]["parent_id"], after["B"]["list_id"]) == (None, mine.id)
    assert after["D"]["uid"] == uid
    assert (after["C"]["parent_id"], after["C"]["list_id"]) == (after["D"]["id"], after["D"]["list_id"])
    assert after["D"]["list_id"] not in {None, mine.id}


UID, OTHER = "019aceef-9a40-7c1e-8f3a-5b1d6c2e9f04", "019aceef-9a40-7c1e-8f3a-5b1d6c2e9f05"
P = {"id": 1, "uid": UID, "title": "P"}
REFUSED = {
    "an unknown list id": ([P, {"title": "A", "list_id": 9}], [], ["tasks[1].list_id"]),
    "an unknown list uid": ([P, {"title": "A", "list_id": OTHER}], [], ["tasks[1].list_id"]),
    "an unknown parent id": ([P, {"title": "A", "parent_id": 9}], [], ["tasks[1].parent_id"]),
    "an unknown parent uid": ([P, {"title": "A", "parent_id": OTHER}], [], ["tasks[1].parent_id"]),
    "a list that is a task": ([P, {"title": "A", "list_id": 1}], [], ["tasks[1].list_id"]),
    "a subtask of a subtask": (
        [P, {"id": 2, "title": "A", "parent_id": 1}, {"title": "B", "parent_id": 2}], [], ["tasks[2].parent_id"],
    ),
    "its own parent": ([P, {"id": 2, "title": "A", "parent_id": 2}], [], ["tasks[1].parent_id"]),
    "two parents of each other": (
        [{**P, "parent_id": 2}, {"id": 2, "title": "A", "parent_id": 1}], [],
        ["tasks[0].parent_id", "tasks[1].parent_id"],
    ),
    "an id of two tasks": ([P, {"id": 1, "title": "A"}, {"title": "B", "parent_id": 1}], [], ["tasks[2].parent_id"]),
    "an id of two lists": (
        [{"title": "A", "list_id": 1}], [{"id": 1, "name": "A"}, {"id": 1, "name": "B"}], ["tasks[0].list_id"],
    ),
    "a uid of two tasks": ([P, {"uid": UID.upper(), "title": "A"}], [], ["tasks[1].uid"]),
    "a uid of two lists": ([], [{"uid": UID, "name": "A"}, {"uid": UID, "name": "B"}], ["lists[1].uid"]),
    "no uid": ([{"uid": "7", "title": "A"}], [], ["tasks[0].uid"]),
    "no reference": ([{"list_id": "Home", "title": "A"}], [], ["tasks[0].list_id"]),
    "no position": ([{"position": "a€", "title": "A"}], [], ["tasks[0].position"]),
    "a neighbour": ([P, {"title": "A", "after": 1}], [], ["tasks[1].after"]),
    "a neighbour of no type": ([{"title": "A", "before": {}}], [], ["tasks[0].before"]),
    "a neighbour of a list": ([], [{"name": "A", "before": [], "after": None}], ["lists[0].after", "lists[0].before"]),
    "a name of a list": ([{"title": "A", "list": "Home"}], [], ["tasks[0].list"]),
    "no list": ([], [7], ["lists[0]"]),
    "a list without a name": ([], [{"color": "#000000"}], ["lists[0].name"]),
    "a blank name": ([], [{"name": " "}], ["lists[0].name"]),
    "a long name": ([], [{"name": "x" * 101}], ["lists[0].name"]),
    "faults of a list": (
        [], [{"name": "A", "color": "red", "archived": "no", "position": "?", "deleted_at": "x", "colour": 1}],
        ["lists[0].color", "lists[0].archived", "lists[0].position", "lists[0].deleted_at", "lists[0].colour"],
    ),
}  # fmt: skip


async def test_an_invalid_list_or_reference_is_named_and_nothing_is_written(alice, refusal, subtests):
    for name, (tasks, lists, fields) in REFUSED.items():
        with subtests.test(name):
            refusal(await send(alice, tasks, lists), 422, "validation_error", *fields)
            after = await exported(alice)
            assert (after["lists"], after["tasks"]) == ([], [])


async def test_items_of_another_account_cannot_be_named(alice, bob, lists_of, refusal):
    theirs, task = await lists_of("bob").create({"name": "Bob's"}), await bob.make()
    for reference in (theirs.id, theirs.uid):
        refusal(await send(alice, [{"title": "A", "list_id": reference}]), 422, "validation_error", "tasks[0].list_id")
    for reference in (task["id"], task["uid"]):
        refused = await send(alice, [{"title": "A", "parent_id": reference}])
        refusal(refused, 422, "validation_error", "tasks[0].parent_id")


async def test_a_list_or_parent_in_the_trash_and_a_subtask_cannot_be_named(alice, lists_of, refusal):
    gone = await lists_of("alice").create({"name": "Gone"})
    await lists_of("alice").delete(gone.id, tasks=None, trash_quota=10_000)
    parent, thrown = await alice.make(), await alice.make()
    child = await alice.make(parent_id=parent["id"])
    await alice.delete(f"{alice.path}/{thrown['id']}")
    before = await exported(alice)
    for fields in ({"list_id": gone.uid}, {"parent_id": thrown["uid"]}, {"parent_id": child["uid"]}):
        refused = await send(alice, [{"title": "First"}, {"title": "A", **fields}], [{"name": "New"}])
        refusal(refused, 422, "validation_error", f"tasks[1].{next(iter(fields))}")
    assert await exported(alice) | {"exported_at": ...} == before | {"exported_at": ...}


async def test_a_reference_is_refused_in_the_same_way_under_an_idempotency_key(alice, refusal):
    body = {"tasks": [{"title": "A"}, {"title": "B", "parent_id": UID}]}
    refused = await alice.post(IMPORT, json=body, headers={"Idempotency-Key": "key"})
    refusal(refused, 422, "validation_error", "tasks[1].parent_id")
    body = {"lists": [{"id": 1, "name": "New"}], "tasks": [{"title": "A", "list_id": 1}]}
    for _ in range(2):
        response = await alice.post(IMPORT, json=body, headers={"Idempotency-Key": "key"})
        assert response.json() == {"imported": 1, "skipped": 0}
    assert len((await exported(alice))["lists"]) == 1


async def test_the_order_of_members_and_lines_does_not_matter(alice):
    body = {"tasks": [{"title": "Child", "parent_id": 5}, {"id": 5, "title": "Parent", "list_id": 5}]}
    body["lists"] = [{"id": 5, "name": "Home"}]
    assert (await alice.post(IMPORT, json=body)).status_code == 200
    child, parent = (await exported(alice))["tasks"]
    assert (child["parent_id"], child["list_id"]) == (parent["id"], parent["list_id"])


async def test_a_subtask_is_in_the_list_of_its_parent_whatever_the_file_says(alice):
    lists = [{"id": 1, "name": "A"}, {"id": 2, "name": "B"}]
    after = await add(alice, [P | {"list_id": 1}, {"title": "C", "parent_id": 1, "list_id": 2}], lists)
    assert [task["list_id"] for task in after["tasks"]] == [after["lists"][0]["id"]] * 2


async def test_a_deleted_task_loses_references_that_the_file_does_not_define(alice):
    gone = {"deleted_at": WHEN}
    tasks = [
        {"title": "A", "list_id": 7, "parent_id": 8, **gone},
        {"title": "B", "list_id": UID, "parent_id": OTHER, **gone},
        {"id": 1, "title": "C", "parent_id": 9, **gone}, {"title": "D", "parent_id": 1, **gone},
    ]  # fmt: skip
    after = await add(alice, tasks)
    assert {(task["list_id"], task["parent_id"]) for task in after["tasks"]} == {(None, None)}


async def test_a_live_task_leaves_a_deleted_list_and_a_deleted_parent(alice):
    gone = {"deleted_at": WHEN}
    after = await add(
        alice,
        [{"id": 1, "title": "Parent", "list_id": 1, **gone}, {"title": "A", "parent_id": 1, "list_id": 1},
         {"title": "B", "parent_id": 1, "list_id": 1, **gone}],
        [{"id": 1, "name": "Gone", **gone}],
    )  # fmt: skip
    parent, live, child = after["tasks"]
    assert (live["list_id"], live["parent_id"]) == (None, None)
    assert (child["list_id"], child["parent_id"]) == (after["lists"][0]["id"], parent["id"])
    assert (await alice.post(f"/api/me/trash/{parent['id']}/restore")).status_code == 200
    assert by_title(await exported(alice))["B"].get("deleted_at") is None


@pytest.mark.parametrize(("form", "action"), [("json", "restore"), ("csv", "restore"), ("csv", "destroy")])
async def test_a_deleted_parent_that_is_younger_than_its_subtask_stays_one_family(alice, bob, form, action):
    other, child, parent = [await alice.make(title) for title in ("Other", "Child", "Parent")]
    await alice.patch(f"{alice.path}/{child['id']}", json={"parent_id": parent["id"]})
    for task in (other, parent):
        assert (await alice.delete(f"{alice.path}/{task['id']}")).status_code == 204
    file = await alice.get(EXPORT, params={"format": form})
    response = await bob.post(IMPORT, content=file.content, headers={"Content-Type": file.headers["content-type"]})
    assert response.json() == {"imported": 3, "skipped": 0}
    before = await exported(bob)
    versions = [task["version"] for task in before["tasks"]]
    assert len({*versions}) == 3
    assert before["user"]["revision"] == max(versions)
    path = f"/api/me/trash/{parent['uid']}"
    if action == "restore":
        assert (await bob.post(f"{path}/restore")).status_code == 200
        after = by_title(await exported(bob))
        assert {title for title, task in after.items() if "deleted_at" not in task} == {"Child", "Parent"}
        assert after["Child"]["parent_id"] == after["Parent"]["id"]
    else:
        assert (await bob.delete(path)).status_code == 204
        assert [*by_title(await exported(bob))] == ["Other"]


async def test_with_skip_a_parent_that_has_moved_since_keeps_its_new_place(alice):
    parent, other = await alice.make("Parent"), await alice.make("Other")
    child = await alice.make("Child", parent_id=parent["id"])
    backup = await exported(alice)
    await alice.delete(f"{alice.path}/{child['id']}")
    await alice.delete(f"/api/me/trash/{child['id']}")
    await alice.patch(f"{alice.path}/{parent['id']}", json={"parent_id": other["id"]})
    after = by_title(await add(alice, backup["tasks"], conflict="skip"))
    assert (after["Parent"]["parent_id"], after["Child"]["parent_id"]) == (other["id"], None)


async def test_an_open_subtask_reopens_its_parent(alice):
    there = await alice.make("There", completed=True)
    tasks = [
        {"id": 1, "title": "In the file", "completed": True}, {"title": "A", "parent_id": 1},
        {"title": "B", "parent_id": 1}, {"title": "C", "parent_id": there["uid"]},
        {"id": 2, "title": "Done", "completed": True}, {"title": "D", "parent_id": 2, "completed": True},
    ]  # fmt: skip
    after = by_title(await add(alice, tasks))
    done = {title: task["completed"] for title, task in after.items()}
    assert done == {
        "There": False, "In the file": False, "A": False, "B": False, "C": False, "Done": True, "D": True
    }  # fmt: skip
    versions = [task["version"] for task in after.values()]
    assert len({*versions}) == len(versions)
    assert (await exported(alice))["user"]["revision"] == max(versions)


async def test_with_skip_a_uid_decides_and_without_one_title_and_creation_time_do(alice):
    there = await alice.make("There")
    gone = await alice.make("Gone")
    await alice.delete(f"{alice.path}/{gone['id']}")
    known = {"title": "There", "created_at": there["created_at"]}
    tasks = [
        known, {"title": "Renamed", "uid": there["uid"]}, {"title": "Also", "uid": gone["uid"]},
        {**known, "uid": new_uid()}, {"title": "There"},
    ]  # fmt: skip
    assert (await send(alice, tasks, conflict="skip")).json() == {"imported": 2, "skipped": 3}
    assert [task["title"] for task in (await exported(alice))["tasks"]] == ["There", "Gone", "There", "There"]


async def test_with_skip_a_known_list_is_neither_changed_nor_restored(alice, lists_of):
    kept, gone = await lists_of("alice").create({"name": "Kept"}), await lists_of("alice").create({"name": "Gone"})
    await lists_of("alice").delete(gone.id, tasks=None, trash_quota=10_000)
    before = await exported(alice)
    lists = [{"id": 1, "uid": kept.uid, "name": "Other"}, {"id": 2, "uid": gone.uid, "name": "Gone"}]
    after = await add(alice, [{"title": "A", "list_id": 1}, {"title": "B", "list_id": 2}], lists, conflict="skip")
    assert after["lists"] == before["lists"]
    assert [task["list_id"] for task in after["tasks"]] == [kept.id, None]


async def test_the_quota_of_lists_counts_live_ones_and_refuses_the_whole_file(alice, refusal):
    lists = [{"name": f"List {number}"} for number in range(500)]
    after = await add(alice, [], lists)
    assert len(after["lists"]) == 500
    refusal(await send(alice, [{"title": "A"}], [{"name": "One more"}]), 409, "list_quota_exceeded")
    content = "title,list\nA,One more\n"
    refusal(await alice.post(IMPORT, content=content, headers=CSV), 409, "list_quota_exceeded")
    assert (await send(alice, [], [{"name": "Gone", "deleted_at": WHEN}])).status_code == 200
    after = await exported(alice)
    assert (len(after["lists"]), after["tasks"]) == (501, [])
    again = await send(alice, [], after["lists"], conflict="skip")
    assert again.json() == {"imported": 0, "skipped": 0}


async def test_lists_and_tasks_in_the_trash_count_together(alice, connection, refusal):
    await connection.execute(
        "INSERT INTO users (id, created_at, written_at, revision, task_count, trash_count)"
        " VALUES ('alice', now(), now(), 1, 0, 19998)"
    )
    gone = {"deleted_at": WHEN}
    three = ([{"title": "A", **gone}, {"title": "B", **gone}], [{"name": "C", **gone}])
    refusal(await send(alice, *three), 409, "trash_full")
    assert (await send(alice, three[0][:1], three[1])).status_code == 200
    assert await connection.fetchval("SELECT trash_count FROM users") == 20_000


async def test_more_than_ten_thousand_lists_are_refused(alice, refusal):
    body = json.dumps({"tasks": [], "lists": [{"name": "A", "deleted_at": WHEN}] * 10_001})
    response = await alice.post(IMPORT, content=body, headers={"Content-Type": "application/json"})
    refusal(response, 422, "validation_error", "lists")


async def test_a_backup_is_imported_before_an_interrupted_erasure_has_removed_the_trash(alice, connection):
    gone = await alice.make("Gone")
    await alice.delete(f"{alice.path}/{gone['id']}")
    backup = await exported(alice)
    assert await connection.fetchval("SELECT existed FROM erase_owner('alice')")
    assert (await exported(alice))["tasks"] == []
    after = await add(alice, backup["tasks"], conflict="skip")
    assert [(task["uid"], task["title"]) for task in after["tasks"]] == [(gone["uid"], "Gone")]


async def test_a_document_of_version_1_or_without_a_version_is_imported(alice):
    for members in ({"version": 1, "format": "doable-export"}, {}, {"lists": []}):
        assert (await alice.post(IMPORT, json={"tasks": [{"title": "A"}], **members})).status_code == 200


# CSV: a list has its name.


async def table(caller) -> list[dict]:
    response = await caller.get(EXPORT, params={"format": "csv"})
    return list(csv.DictReader(io.StringIO(response.text, newline="")))


async def test_a_table_names_live_lists_and_parents(alice, bob, lists_of):
    await fill(alice, lists_of("alice"))
    rows = {row["title"]: row for row in await table(alice)}
    assert rows["Task 0"]["list"] == "'=Work"
    assert rows["Thrown with its list"]["list"] == rows["Inbox 0"]["list"] == ""
    assert rows["Second child"]["parent_id"] == rows["Parent"]["id"]
    assert rows["Second child"]["list"] == "Home"
    content = (await alice.get(EXPORT, params={"format": "csv"})).content
    assert (await bob.post(IMPORT, content=content, headers=CSV)).status_code == 200
    mine, theirs = structure(await exported(alice)), structure(await exported(bob))
    assert [one["name"] for one in theirs["lists"]] == ["Home", "=Work"]
    for side in (mine, theirs):
        names = {one["uid"]: one["name"] for one in side["lists"] if "deleted_at" not in one}
        side["tasks"] = [task | {"list_id": names.get(task["list_id"])} for task in side["tasks"]]
    assert theirs["tasks"] == mine["tasks"]
    thrown = {task["uid"] for task in mine["tasks"] if "deleted_at" in task}
    live, same = (
        sorted(group for order in side["order of tasks"] if (group := [uid for uid in order if uid not in thrown]))
        for side in (mine, theirs)
    )
    assert live == same


async def test_a_list_in_a_table_is_the_callers_of_this_name_or_a_new_one(alice, lists_of):
    home = await lists_of("alice").create({"name": "Home"})
    content = f"title,List,list_id\nA,Home,\nB,Trip,\nC, Trip ,\nD,,\nE,,{home.uid}\n"
    assert (await alice.post(IMPORT, content=content, headers=CSV)).json() == {"imported": 5, "skipped": 0}
    after = await exported(alice)
    assert [one["name"] for one in after["lists"]] == ["Home", "Trip"]
    trip = after["lists"][1]["id"]
    assert [task["list_id"] for task in after["tasks"]] == [home.id, trip, trip, None, home.id]


async def test_with_skip_a_table_creates_no_list_that_only_known_tasks_need(alice):
    content = f"uid,title,list\n{UID},A,Home\n{OTHER},B,Trip\n"
    await alice.post(IMPORT, content=f"uid,title\n{UID},A\n", headers=CSV)
    response = await alice.post(IMPORT, params={"on_conflict": "skip"}, content=content, headers=CSV)
    assert response.json() == {"imported": 1, "skipped": 1}
    assert [one["name"] for one in (await exported(alice))["lists"]] == ["Trip"]


async def test_a_parent_in_a_table_is_an_id_or_a_uid(alice):
    content = f"id,uid,title,parent_id\n7,,P,\n,{UID},Q,\n,,A,7\n,,B,{UID}\n"
    assert (await alice.post(IMPORT, content=content, headers=CSV)).json() == {"imported": 4, "skipped": 0}
    p, q, a, b = (await exported(alice))["tasks"]
    assert (a["parent_id"], b["parent_id"]) == (p["id"], q["id"])


async def test_an_invalid_list_or_reference_of_a_table_is_named(alice, refusal, subtests):
    for content, fields in [
        ("title,parent_id\nA,7\n", ["line 2: parent_id"]),
        (f"title,parent_id\nA,\nB,{UID}\n", ["line 3: parent_id"]),
        ("title,list_id\nA,7\n", ["line 2: list_id"]),
        (f"title,list_id\nA,{UID}\n", ["line 2: list_id"]),
        ("title,list_id\nA,Home\n", ["line 2: list_id"]),
        (f"title,list,list_id\nA,B,{UID}\n", ["line 2: list_id"]),
        (f"title,uid\nA,{UID}\nB,{UID}\n", ["line 3: uid"]),
        ("title,uid\nA,7\n", ["line 2: uid"]),
        (f"title,list\nA,{'x' * 101}\n", ["line 2: list"]),
        ("title,position\nA,01-Aug\n", ["line 2: position"]),
        ("title,list\n" + "".join(f"A,{number}\n" for number in range(501)), ["line 502: list"]),
    ]:
        with subtests.test(content=content, fields=fields):
            refusal(await alice.post(IMPORT, content=content, headers=CSV), 422, "validation_error", *fields)
            after = await exported(alice)
            assert (after["lists"], after["tasks"]) == ([], [])


async def test_a_name_of_several_lists_is_refused_if_a_new_task_has_it(alice, lists_of, refusal):
    for _ in range(2):
        await lists_of("alice").create({"name": "Home"})
    refused = await alice.post(IMPORT, content="title,list\nA,\nB,Home\n", headers=CSV)
    assert "rename one" in refusal(refused, 422, "validation_error", "line 3: list")["detail"]
    assert (await exported(alice))["tasks"] == []


# iCalendar


async def test_a_calendar_has_uids_parents_and_the_names_of_lists(alice, lists_of):
    home = await lists_of("alice").create({"name": "Home; sweet, home"})
    parent = await alice.make("Parent", list_id=home.id, tags=["a"])
    child = await alice.make("Child", parent_id=parent["id"])
    other = await alice.make("Other")
    calendar = icalendar.Calendar.from_ical((await alice.get(EXPORT, params={"format": "ical"})).content)
    first, second, third = calendar.walk("VTODO")
    assert [first["uid"], second["uid"], third["uid"]] == [parent["uid"], child["uid"], other["uid"]]
    assert (second["related-to"], "related-to" in first) == (parent["uid"], False)
    assert [str(tag) for tag in first["categories"].cats] == ["a"]
    assert b"X-DOABLE-LIST:Home\\; sweet\\, home\r\n" in first.to_ical() + second.to_ical()
    assert "x-doable-list" not in third


FAMILIES = st.lists(st.tuples(st.none() | st.integers(0, 5), st.none() | st.integers(0, 2), st.booleans()), max_size=6)


@given(FAMILIES)
@settings(max_examples=100, deadline=None)
async def test_a_file_is_refused_exactly_if_a_live_task_has_an_impossible_parent_or_list(shape):
    tasks = [
        {"id": place + 1, "title": "A", "parent_id": None if parent is None else parent + 1, "list_id": a_list,
         **({"deleted_at": WHEN} if gone else {})}
        for place, (parent, a_list, gone) in enumerate(shape)
    ]  # fmt: skip
    wrong = {
        f"tasks[{place}].{field}"
        for place, (parent, a_list, gone) in enumerate(shape)
        for field, bad in (
            ("parent_id", parent is not None and (parent >= len(shape) or shape[parent][0] is not None)),
            ("list_id", a_list is not None and a_list != 1),
        )
        if bad and not gone
    }
    tasks = [task | {"list_id": task["list_id"] or 5} if task["list_id"] == 0 else task for task in tasks]
    body = json.dumps({"lists": [{"id": 1, "name": "Home"}], "tasks": tasks}).encode()
    if wrong:
        with pytest.raises(InvalidInputError) as refused:
            await lines.validate(document.read(body))
        assert {fault.field for fault in refused.value.errors} == wrong
    else:
        parents = (await lines.validate(document.read(body))).references.parents
        assert all(parent is None or parents[int(parent) - 1] is None for parent in parents)
