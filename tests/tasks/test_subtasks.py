"""Subtasks: the rules of a family, which each write keeps."""

from __future__ import annotations

import asyncio

import pytest

from service.tasks import writes

UNKNOWN = "019aceef-9a40-7c1e-8f3a-000000000000"
UID = "019aceef-9a40-7c1e-8f3a-5b1d6c2e9f04"
MESSAGES = {
    "no_list": ("list_id", "names no list of yours; create the list first, or send null for the inbox"),
    "child_list": ("list_id", "cannot be set on a subtask, because it is in the list of its parent; move the parent"),
    "no_parent": ("parent_id", "names no task of yours; create the task first, or send null for none"),
    "own_parent": ("parent_id", "must name another task; send null for a top-level task"),
    "deep_parent": ("parent_id", "must name a top-level task, because a subtask cannot have subtasks"),
    "has_children": ("parent_id", "cannot be set on a task that has subtasks; move those first"),
}


class Family:
    """Alice's tasks by title, which the tests use as names."""

    def __init__(self, caller, connection):
        self.caller, self.connection = caller, connection
        self.ids: dict[str, int] = {}

    async def make(self, title: str, parent: str | None = None, **fields: object) -> dict:
        task = await self.caller.make(title, **({"parent_id": self.ids[parent]} if parent else {}), **fields)
        self.ids[title] = task["id"]
        return task

    async def revision(self) -> int:
        return await self.connection.fetchval("SELECT revision FROM users WHERE id = 'alice'")

    async def list(self, name: str) -> int:
        return (await self.caller.post("/api/alice/lists", json={"name": name})).json()["id"]

    async def send(self, method: str, title: str, action: str = "", json: object = None):
        return await self.caller.request(method, f"{self.caller.path}/{self.ids[title]}{action}", json=json)

    async def patch(self, title: str, /, **fields: object) -> dict:
        response = await self.send("PATCH", title, json=fields)
        assert response.status_code == 200, response.text
        assert response.json() == await self.read(title)
        return response.json()

    async def complete(self, title: str, *, completed: bool = True) -> dict:
        response = await self.send("POST", title, "/complete", {"completed": completed})
        assert response.status_code == 200, response.text
        assert response.json() == await self.read(title)
        return response.json()

    async def delete(self, title: str) -> None:
        assert (await self.send("DELETE", title)).status_code == 204

    async def restore(self, title: str):
        return await self.caller.post(f"/api/alice/trash/{self.ids[title]}/restore")

    async def batch(self, *operations: dict, **options: object):
        return await self.caller.post(f"{self.caller.path}/batch", json={"operations": operations, **options})

    async def read(self, title: str) -> dict:
        return (await self.send("GET", title)).json()

    async def titles(self, query: str = "?sort=title") -> str:
        response = await self.caller.get(f"{self.caller.path}{query}")
        assert response.status_code == 200, response.text
        return "".join(task["title"] for task in response.json())

    async def trash(self) -> str:
        return "".join(sorted(task["title"] for task in (await self.caller.get("/api/alice/trash")).json()))

    async def completed(self) -> str:
        return await self.titles("?sort=title&status=completed")

    async def written_since(self, revision: int) -> dict[str, int]:
        """Return the version of each task after `revision`, from the database; check that they are consecutive."""
        rows = await self.connection.fetch("SELECT title, version FROM tasks WHERE version > $1", revision)
        assert sorted(row["version"] for row in rows) == [*range(revision + 1, await self.revision() + 1)]
        return dict(rows)

    async def counts(self) -> tuple[int, int]:
        counted = await self.connection.fetchrow(
            "SELECT count(*) FILTER (WHERE deleted_at IS NULL), count(*) FILTER (WHERE deleted_at IS NOT NULL) "
            "FROM tasks"
        )
        stored = await self.connection.fetchrow("SELECT task_count, trash_count FROM users WHERE id = 'alice'")
        assert tuple(counted) == tuple(stored)
        return tuple(stored)


@pytest.fixture
def family(alice, connection) -> Family:
    return Family(alice, connection)


@pytest.fixture
async def three(family) -> Family:
    """A parent P with the subtasks A and B, and a task T of its own."""
    parent = "019aceef-9a40-7c1e-8f3a-5b1d6c2e9f05"
    drafts = [{"title": "P", "uid": parent}, *({"title": title, "parent_id": parent} for title in "AB"), {"title": "T"}]
    response = await family.batch(*({"op": "create", "task": draft} for draft in drafts))
    family.ids |= {result["task"]["title"]: result["task"]["id"] for result in response.json()["results"]}
    return family


class TestCompletion:
    async def test_completing_a_parent_completes_its_open_subtasks_and_reopening_reopens_exactly_those(self, three):
        first = await three.complete("B")
        revision = await three.revision()
        parent = await three.complete("P")
        assert await three.written_since(revision) == {"P": revision + 1, "A": revision + 2}
        assert await three.completed() == "ABP"
        subtask = await three.read("A")
        assert subtask["completed_at"] == subtask["updated_at"] == parent["completed_at"] == parent["updated_at"]
        assert await three.read("B") == first
        revision = await three.revision()
        await three.complete("P", completed=False)
        assert await three.written_since(revision) == {"P": revision + 1, "A": revision + 2}
        assert await three.completed() == "B"

    @pytest.mark.parametrize("route", ["toggle", "set", "change", "batch", "keyed"])
    @pytest.mark.parametrize("completed", [True, False])
    async def test_every_route_carries_a_completion_to_the_subtasks(self, three, route, completed):
        if not completed:
            await three.complete("P")
        revision = await three.revision()
        if route == "toggle":
            response = await three.send("PATCH", "P", "/complete")
        elif route == "set":
            response = await three.send("PATCH", "P", "/complete", {"completed": completed})
        elif route == "change":
            response = await three.send("PUT", "P", json={"completed": completed, "title": "P"})
        elif route == "keyed":
            path = f"{three.caller.path}/{three.ids['P']}/complete"
            response = await three.caller.post(path, headers={"Idempotency-Key": "once"})
            again = await three.caller.post(path, headers={"Idempotency-Key": "once"})
            assert again.content == response.content
        else:
            response = await three.batch({"op": "complete", "id": three.ids["P"], "completed": completed})
        assert response.status_code == 200, response.text
        assert await three.written_since(revision) == {"P": revision + 1, "A": revision + 2, "B": revision + 3}
        assert await three.completed() == ("ABP" if completed else "")

    @pytest.mark.parametrize("route", ["toggle", "set", "change", "batch"])
    async def test_reopening_a_subtask_reopens_only_its_parent(self, three, route):
        await three.complete("P")
        revision = await three.revision()
        if route == "toggle":
            await three.send("POST", "A", "/complete")
        elif route == "set":
            await three.complete("A", completed=False)
        elif route == "change":
            await three.patch("A", completed=False, title="A")
        else:
            await three.batch({"op": "update", "id": three.ids["A"], "changes": {"completed": False}})
        assert await three.written_since(revision) == {"A": revision + 1, "P": revision + 2}
        assert await three.completed() == "B"
        await three.complete("P")
        await three.complete("P", completed=False)
        assert await three.completed() == "B", "it was completed before"

    @pytest.mark.parametrize("route", ["create", "keyed", "change", "batch create", "batch update"])
    async def test_adding_an_open_subtask_reopens_the_parent(self, three, route):
        await three.complete("P")
        parent, revision = three.ids["P"], await three.revision()
        if route == "create":
            await three.make("C", "P")
        elif route == "keyed":
            sent = {"title": "C", "parent_id": parent}
            response = await three.caller.post(three.caller.path, json=sent, headers={"Idempotency-Key": "once"})
            assert response.status_code == 201
        elif route == "change":
            await three.patch("T", parent_id=parent, title="C")
        elif route == "batch create":
            await three.batch({"op": "create", "task": {"title": "C", "parent_id": parent}})
        else:
            operation = {"op": "update", "id": three.ids["T"], "changes": {"parent_id": parent, "title": "C"}}
            await three.batch(operation)
        assert await three.written_since(revision) == {"C": revision + 1, "P": revision + 2}
        assert await three.completed() == "AB"
        assert (await three.read("P"))["completed_at"] is None

    async def test_adding_a_completed_subtask_leaves_the_parent_completed(self, three):
        await three.complete("P")
        await three.make("C", "P", completed=True)
        await three.patch("T", parent_id=three.ids["P"], completed=True)
        assert await three.completed() == "ABCPT"
        await three.complete("P", completed=False)
        assert await three.completed() == "CT"

    async def test_completing_the_last_open_subtask_leaves_the_parent_open(self, three):
        await three.complete("A")
        await three.complete("B")
        assert await three.completed() == "AB"

    async def test_one_change_completes_and_moves_a_family_with_one_revision_each(self, three):
        await three.complete("B")
        of, revision = await three.list("L"), await three.revision()
        await three.patch("P", completed=True, list_id=of)
        assert await three.written_since(revision) == {"P": revision + 1, "A": revision + 2, "B": revision + 3}
        assert {(await three.read(title))["list_id"] for title in "PAB"} == {of}
        await three.complete("P", completed=False)
        assert await three.completed() == "B"

    async def test_leaving_a_completed_parent_changes_only_the_subtask(self, three):
        await three.complete("P")
        revision = await three.revision()
        await three.patch("A", parent_id=None, completed=False)
        assert await three.written_since(revision) == {"A": revision + 1}
        assert await three.completed() == "BP"


class TestFamilies:
    async def test_a_family_is_deleted_and_restored_as_one(self, three):
        await three.complete("B")
        revision = await three.revision()
        await three.delete("P")
        assert await three.written_since(revision) == {"P": revision + 1, "A": revision + 2, "B": revision + 3}
        assert (await three.titles(), await three.trash(), await three.counts()) == ("T", "ABP", (1, 3))
        revision = await three.revision()
        response = await three.restore("P")
        assert response.json() == await three.read("P")
        assert await three.written_since(revision) == {"P": revision + 1, "A": revision + 2, "B": revision + 3}
        assert (await three.titles(), await three.completed(), await three.counts()) == ("ABPT", "B", (4, 0))
        assert await three.titles(f"?sort=title&parent={three.ids['P']}") == "AB"

    async def test_a_subtask_that_was_deleted_before_stays_in_the_trash(self, three):
        await three.delete("A")
        await three.delete("P")
        await three.restore("P")
        assert (await three.titles(), await three.trash(), await three.counts()) == ("BPT", "A", (3, 1))

    async def test_a_subtask_that_the_same_batch_deleted_before_stays_in_the_trash(self, three):
        operations = [
            {"op": "delete", "id": three.ids["A"]}, {"op": "complete", "id": three.ids["P"], "completed": True},
            {"op": "delete", "id": three.ids["P"]},
        ]  # fmt: skip
        assert (await three.batch(*operations)).status_code == 200
        await three.restore("P")
        assert (await three.titles(), await three.completed(), await three.trash()) == ("BPT", "BP", "A")
        assert (await three.restore("A")).json()["parent_id"] is None

    @pytest.mark.parametrize("deleted", ["A", "P"])
    async def test_a_subtask_restored_alone_is_a_top_level_task(self, three, deleted):
        await three.delete(deleted)
        revision = await three.revision()
        restored = (await three.restore("A")).json()
        assert (restored["parent_id"], restored["version"]) == (None, revision + 1)
        assert await three.written_since(revision) == {"A": revision + 1}
        if deleted == "P":
            await three.restore("P")
        assert await three.titles(f"?parent={three.ids['P']}") == "B"
        assert await three.titles("?sort=title&parent=none") == "APT"

    async def test_a_family_is_destroyed_as_one(self, three):
        await three.delete("A")
        await three.delete("P")
        assert (await three.caller.delete(f"/api/alice/trash/{three.ids['P']}")).status_code == 204
        assert (await three.trash(), await three.counts()) == ("A", (1, 1))
        assert (await three.restore("A")).json()["parent_id"] is None

    async def test_a_destroyed_subtask_does_not_come_back(self, three):
        await three.delete("P")
        assert (await three.caller.delete(f"/api/alice/trash/{three.ids['A']}")).status_code == 204
        await three.restore("P")
        assert (await three.titles(), await three.counts()) == ("BPT", (3, 0))

    async def test_a_family_larger_than_a_page_is_destroyed_as_one(self, three, monkeypatch):
        monkeypatch.setattr(writes, "PAGE", 10)
        await three.delete("P")
        await three.connection.execute(
            "INSERT INTO tasks SELECT (jsonb_populate_record(one, jsonb_build_object("
            "'id', 100 + number, 'version', 100 + number, 'uid', gen_random_uuid()))).* "
            "FROM tasks AS one, generate_series(1, 50) AS number WHERE title = 'A'"
        )
        await three.connection.execute("UPDATE users SET revision = 10000, trash_count = 53")
        assert (await three.caller.delete(f"/api/alice/trash/{three.ids['P']}")).status_code == 204
        assert await three.counts() == (1, 0)

    async def test_a_family_moves_to_a_list_as_one(self, three):
        await three.delete("B")
        of, revision = await three.list("L"), await three.revision()
        await three.patch("P", list_id=of)
        assert await three.written_since(revision) == {"P": revision + 1, "A": revision + 2}
        assert (await three.read("A"))["list_id"] == of
        assert await three.titles("?sort=title&list=inbox") == "T"
        assert (await three.restore("B")).json()["list_id"] is None, "it is no part of the family"

    async def test_a_new_subtask_is_in_the_list_of_its_parent(self, three):
        of = await three.list("L")
        await three.patch("P", list_id=of)
        assert (await three.make("C", "P"))["list_id"] == of
        assert (await three.make("D", "P", list_id=of))["list_id"] == of
        assert (await three.patch("T", parent_id=three.ids["P"]))["list_id"] == of
        assert (await three.patch("T", parent_id=None))["list_id"] == of, "it stays in the list"

    @pytest.mark.parametrize("tasks", ["inbox", "trash"])
    async def test_a_list_is_deleted_with_its_families(self, three, tasks):
        of = await three.list("L")
        await three.patch("P", list_id=of)
        await three.complete("B")
        revision = await three.revision()
        assert (await three.caller.delete(f"/api/alice/lists/{of}?tasks={tasks}")).status_code == 204
        assert await three.revision() == revision + 4
        if tasks == "inbox":
            assert (await three.titles(f"?sort=title&list=inbox&parent={three.ids['P']}"), await three.trash()) == (
                "AB", "",
            )  # fmt: skip
        else:
            assert (await three.titles(), await three.trash()) == ("T", "ABP")
            await three.caller.post(f"/api/alice/trash/lists/{of}/restore")
            assert await three.titles(f"?sort=title&list={of}&parent={three.ids['P']}") == "AB"
        assert await three.completed() == "B"

    async def test_a_family_restored_without_its_list_is_in_the_inbox(self, three):
        of = await three.list("L")
        await three.patch("P", list_id=of)
        await three.caller.delete(f"/api/alice/lists/{of}?tasks=trash")
        await three.restore("P")
        assert {(await three.read(title))["list_id"] for title in "PAB"} == {None}
        await three.caller.post(f"/api/alice/trash/lists/{of}/restore")
        assert {(await three.read(title))["list_id"] for title in "PAB"} == {None}

    async def test_a_restored_list_has_no_subtask_without_its_parent(self, three):
        """The purge removes a page of tasks at a time, so it may remove a parent before its subtasks."""
        of = await three.list("L")
        await three.patch("P", list_id=of)
        await three.caller.delete(f"/api/alice/lists/{of}?tasks=trash")
        await three.connection.execute("DELETE FROM tasks WHERE title = 'P'")
        assert (await three.caller.post(f"/api/alice/trash/lists/{of}/restore")).status_code == 200
        assert await three.titles(f"?sort=title&list={of}&parent=none") == "AB"

    async def test_tasks_that_the_same_batch_deleted_before_the_list_stay_in_the_trash(self, three):
        of = await three.list("L")
        await three.patch("P", list_id=of)
        operations = [
            {"op": "delete", "id": three.ids["A"]},
            {"op": "update", "id": three.ids["B"], "changes": {"parent_id": None}},
            {"op": "update", "id": three.ids["P"], "changes": {"parent_id": three.ids["B"]}},
            {"op": "delete_list", "id": of, "tasks": "trash"},
        ]
        assert (await three.batch(*operations)).status_code == 200
        await three.caller.post(f"/api/alice/trash/lists/{of}/restore")
        assert (await three.titles(f"?list={of}&parent={three.ids['B']}"), await three.trash()) == ("P", "A")

    async def test_an_expected_version_is_that_of_the_named_task(self, three, refusal):
        task = await three.read("A")
        await three.complete("P")
        for method, action in (("PATCH", ""), ("POST", "/complete"), ("DELETE", "")):
            response = await three.send(method, "A", action, {"if_version": task["version"]})
            assert refusal(response, 412, "version_mismatch")["current"] == await three.read("A")
        parent = await three.read("P")
        await three.patch("B", title="B")
        await three.patch("B", priority="high")
        assert (await three.read("P")) == parent, "the write of a subtask does not change its parent"
        response = await three.send("DELETE", "P", json={"if_version": parent["version"]})
        assert response.status_code == 204
        assert await three.trash() == "ABP"

    async def test_the_feed_has_each_task_of_a_family_on_pages_of_any_size(self, three):
        path = f"{three.caller.path}/changes"
        since = (await three.caller.get(f"{path}?since=0")).json()["next"]
        await three.complete("P")
        found, more = [], True
        while more:
            page = (await three.caller.get(f"{path}?since={since}&limit=1")).json()
            found += page["changes"]
            since, more = page["next"], page["has_more"]
        assert found == [await three.read(title) for title in "PAB"]
        await three.delete("P")
        page = (await three.caller.get(f"{path}?since={since}")).json()
        assert [(one["id"], one["deleted"]) for one in page["changes"]] == [
            (three.ids[title], True) for title in "PAB"
        ]  # fmt: skip


class TestRefusals:
    async def refuse(self, family: Family, refusal, rule: str, title: str | None, **sent: object) -> None:
        """Check a refused creation (without a title) or change, alone and in a batch, and that nothing is written."""
        field, message = MESSAGES[rule]
        before = await family.revision()
        if title is None:
            response = await family.caller.post(family.caller.path, json={"title": "New", **sent})
            operation = {"op": "create", "task": {"title": "New", **sent}}
        else:
            response = await family.send("PATCH", title, json={"title": "New", **sent})
            operation = {"op": "update", "id": family.ids[title], "changes": {"title": "New", **sent}}
        assert refusal(response, 422, "validation_error", field)["errors"][0]["message"] == message
        response = await family.batch(operation, atomic=False)
        (result,) = response.json()["results"]
        assert (result["status"], result["error"]["errors"]) == (422, [{"field": field, "message": message}])
        refusal(await family.batch(operation), 422, "batch_failed")
        assert await family.revision() == before

    async def test_an_unknown_foreign_or_deleted_parent_is_refused(self, three, bob, refusal):
        foreign = [await bob.make(title) for title in "vwxyz"][-1]
        await three.delete("T")
        task = (await three.caller.get("/api/alice/trash")).json()[0]
        for parent in (2**63 - 1, UNKNOWN, foreign["id"] + 100, foreign["uid"], task["id"], task["uid"]):
            await self.refuse(three, refusal, "no_parent", None, parent_id=parent)
            await self.refuse(three, refusal, "no_parent", "A", parent_id=parent)

    async def test_an_unknown_foreign_or_deleted_list_is_refused(self, three, bob, refusal):
        await bob.make()
        foreign = (await bob.post("/api/bob/lists", json={"name": "Foreign"})).json()
        gone = (await three.caller.post("/api/alice/lists", json={"name": "Gone"})).json()
        await three.caller.delete(f"/api/alice/lists/{gone['id']}")
        for of in (2**63 - 1, UNKNOWN, foreign["uid"], gone["id"], gone["uid"], three.ids["P"]):
            await self.refuse(three, refusal, "no_list", None, list_id=of)
            await self.refuse(three, refusal, "no_list", "P", list_id=of)

    async def test_a_task_is_not_its_own_parent(self, three, refusal):
        for title in ("T", "P", "A"):
            await self.refuse(three, refusal, "own_parent", title, parent_id=three.ids[title])
            uid = (await three.read(title))["uid"].upper()
            await self.refuse(three, refusal, "own_parent", title, parent_id=uid)

    async def test_there_is_one_level_and_no_cycle(self, three, refusal):
        await self.refuse(three, refusal, "deep_parent", None, parent_id=three.ids["A"])
        await self.refuse(three, refusal, "deep_parent", "T", parent_id=three.ids["A"])
        await self.refuse(three, refusal, "deep_parent", "B", parent_id=three.ids["A"])
        await self.refuse(three, refusal, "deep_parent", "P", parent_id=three.ids["A"])
        await self.refuse(three, refusal, "has_children", "P", parent_id=three.ids["T"])
        await three.delete("A")
        await three.delete("B")
        assert (await three.patch("P", parent_id=three.ids["T"]))["parent_id"] == three.ids["T"], "no live subtask"
        assert (await three.restore("A")).json()["parent_id"] is None

    async def test_a_list_on_a_subtask_is_refused_unless_it_is_that_of_its_parent(self, three, refusal):
        of = await three.list("L")
        for sent in (of, None):
            if sent is None:
                await three.patch("P", list_id=of)
            await self.refuse(three, refusal, "child_list", "A", list_id=sent)
            await self.refuse(three, refusal, "child_list", "T", parent_id=three.ids["P"], list_id=sent)
        other = await three.list("M")
        await self.refuse(three, refusal, "child_list", None, parent_id=three.ids["P"], list_id=other)
        task = await three.read("A")
        assert await three.patch("A", list_id=of, parent_id=three.ids["P"]) == task
        moved = await three.patch("A", list_id=None, parent_id=None)
        assert (moved["list_id"], moved["parent_id"]) == (None, None)

    @pytest.mark.parametrize("name", ["parent_id", "list_id"])
    async def test_a_malformed_reference_is_refused(self, three, refusal, name):
        for value in ("", "x", "none", 0, -1, 1.5, 2**63, True, [1], {"id": 1}):
            for response in (
                await three.caller.post(three.caller.path, json={"title": "New", name: value}),
                await three.send("PATCH", "T", json={name: value}),
            ):
                problem = refusal(response, 422, "validation_error", name)
                assert "the id or uid of" in problem["errors"][0]["message"]

    async def test_a_batch_makes_a_family_by_uids(self, three, refusal):
        child = {"op": "create", "task": {"title": "C", "parent_id": UID}}
        parent = {"op": "create", "task": {"title": "Q", "uid": UID}}
        response = await three.batch(parent, child)
        assert [result["status"] for result in response.json()["results"]] == [201, 201]
        assert await three.titles(f"?parent={UID}") == "C"
        unknown = {"op": "create", "task": {"title": "D", "parent_id": UNKNOWN}}
        refusal(await three.batch(parent | {"task": {"title": "E"}}, unknown), 422, "batch_failed")
        assert await three.titles() == "ABCPQT"

    async def test_a_batch_does_not_accept_an_id_that_it_assigns_itself(self, three):
        following = await three.revision() + 1
        for name in ("parent_id", "after", "before"):
            response = await three.batch(
                {"op": "create", "task": {"title": "Q"}}, {"op": "create", "task": {"title": "C", name: following}},
                atomic=False,
            )  # fmt: skip
            _, failed = response.json()["results"]
            assert (failed["status"], failed["error"]["errors"][0]["field"]) == (422, name)
            following += 1
        response = await three.batch(
            {"op": "create_list", "list": {"name": "L"}},
            {"op": "create", "task": {"title": "C", "list_id": following}}, atomic=False,
        )  # fmt: skip
        assert response.json()["results"][1]["status"] == 422


class TestQuotas:
    async def leave_room(self, family: Family, settings, *, live: int = 100, trash: int = 100) -> None:
        live, trash = settings.task_quota - live, settings.trash_quota - trash
        await family.connection.execute("UPDATE users SET task_count = $1, trash_count = $2", live, trash)

    async def test_a_family_is_restored_only_if_there_is_room_for_all_of_it(self, three, settings, refusal):
        await three.delete("P")
        for room in (2, 3):
            await self.leave_room(three, settings, live=room)
            revision, response = await three.revision(), await three.restore("P")
            if room == 2:
                refusal(response, 409, "task_quota_exceeded")
                assert (await three.revision(), await three.trash()) == (revision, "ABP")
            else:
                assert response.status_code == 200

    @pytest.mark.parametrize("status", [None, "pending", "all"])
    async def test_a_family_is_deleted_only_if_the_trash_has_room_for_all_of_it(self, three, settings, refusal, status):
        await three.complete("B")
        await three.delete("T")
        path = f"{three.caller.path}?status={status}" if status else f"{three.caller.path}/{three.ids['P']}"
        for room in (2, 3):
            await self.leave_room(three, settings, trash=room)
            revision, response = await three.revision(), await three.caller.delete(path)
            if room == 2:
                refusal(response, 409, "trash_full")
                assert (await three.revision(), await three.titles()) == (revision, "ABP")
            else:
                assert response.status_code == (200 if status else 204)

    async def test_a_list_is_deleted_and_restored_only_with_room_for_its_families(self, three, settings, refusal):
        of = await three.list("L")
        await three.patch("P", list_id=of)
        for room in (3, 4):
            await self.leave_room(three, settings, trash=room)
            response = await three.caller.delete(f"/api/alice/lists/{of}?tasks=trash")
            if room == 3:
                refusal(response, 409, "trash_full")
                assert await three.titles() == "ABPT"
        assert response.status_code == 204
        for room in (2, 3):
            await self.leave_room(three, settings, live=room)
            response = await three.caller.post(f"/api/alice/trash/lists/{of}/restore")
            if room == 2:
                refusal(response, 409, "task_quota_exceeded")
                assert await three.titles() == "T"
        assert response.status_code == 200
        assert await three.titles() == "ABPT"

    async def test_a_new_subtask_counts(self, three, settings, refusal):
        await self.leave_room(three, settings, live=0)
        response = await three.caller.post(three.caller.path, json={"title": "C", "parent_id": three.ids["P"]})
        refusal(response, 409, "task_quota_exceeded")


class TestManyAtOnce:
    async def test_clearing_completed_tasks_takes_completed_families_and_single_subtasks(self, three):
        await three.make("Q")
        await three.make("C", "Q")
        await three.complete("Q")
        await three.complete("A")
        revision = await three.revision()
        response = await three.caller.delete(f"{three.caller.path}?status=completed")
        assert (response.status_code, response.json()) == (200, {"deleted": 3})
        assert set(await three.written_since(revision)) == set("ACQ")
        assert (await three.titles(), await three.trash(), await three.counts()) == ("BPT", "ACQ", (3, 3))

    async def test_deleting_pending_tasks_takes_the_completed_subtasks_of_pending_parents(self, three):
        await three.complete("A")
        await three.complete("T")
        revision = await three.revision()
        response = await three.caller.delete(f"{three.caller.path}?status=pending")
        assert response.json() == {"deleted": 3}
        assert set(await three.written_since(revision)) == set("ABP")
        assert await three.titles() == "T"
        await three.restore("P")
        assert (await three.titles(), await three.completed()) == ("ABPT", "AT")

    async def test_a_family_deleted_with_all_others_is_restored_as_one(self, three):
        """The subtask is older than its parent."""
        await three.make("Q")
        await three.patch("T", parent_id=three.ids["Q"])
        assert (await three.caller.delete(f"{three.caller.path}?status=all")).json() == {"deleted": 5}
        await three.restore("Q")
        assert (await three.titles(), await three.titles(f"?parent={three.ids['Q']}")) == ("QT", "T")
        await three.delete("Q")
        assert (await three.caller.delete(f"/api/alice/trash/{three.ids['Q']}")).status_code == 204
        assert await three.trash() == "ABP"

    async def test_emptying_the_trash_removes_families(self, three):
        await three.delete("P")
        assert (await three.caller.delete("/api/alice/trash")).json() == {"deleted": 3}
        assert await three.counts() == (1, 0)


class TestFilter:
    async def test_the_parent_filter_takes_an_id_a_uid_and_none(self, three):
        parent = await three.read("P")
        for reference in (parent["id"], parent["uid"], parent["uid"].upper()):
            assert await three.titles(f"?sort=title&parent={reference}") == "AB"
        for query in ("?sort=title&parent=none", "?sort=title&parent=NONE"):
            assert await three.titles(query) == "PT"
        assert await three.titles("?sort=title&parent=") == "ABPT"
        for empty in (three.ids["T"], three.ids["A"], UNKNOWN, 2**63 - 1):
            assert await three.titles(f"?parent={empty}") == ""
        await three.delete("A")
        assert await three.titles(f"?parent={parent['id']}") == "B"

    async def test_the_subtasks_of_another_user_are_not_found(self, three, bob):
        parent = await three.read("P")
        for reference in (parent["id"], parent["uid"]):
            assert (await bob.get(f"{bob.path}?parent={reference}")).json() == []

    async def test_a_malformed_parent_is_refused(self, alice, refusal):
        for parent in ("0", "-1", "x", "inbox", str(2**63), "1.5"):
            refusal(await alice.get(f"{alice.path}?parent={parent}"), 422, "validation_error", "parent")


class TestConcurrency:
    async def test_two_writers_that_make_each_task_the_parent_of_the_other_make_one_family(self, family):
        for number in range(8):
            one, other = f"{number}a", f"{number}b"
            await family.make(one)
            await family.make(other)
            answers = await asyncio.gather(
                family.send("PATCH", one, json={"parent_id": family.ids[other]}),
                family.send("PATCH", other, json={"parent_id": family.ids[one]}),
            )
            assert sorted(answer.status_code for answer in answers) == [200, 422]
            parents = [(await family.read(title))["parent_id"] for title in (one, other)]
            assert sorted(parents, key=str) in ([family.ids[one], None], [family.ids[other], None])

    async def test_completing_a_parent_while_a_subtask_is_added_keeps_the_rules(self, family):
        for number in range(8):
            parent, added = f"{number}p", f"{number}c"
            await family.make(parent)
            done, _ = await asyncio.gather(
                family.send("POST", parent, "/complete", {"completed": True}), family.make(added, parent)
            )
            assert done.status_code == 200
            states = {(await family.read(title))["completed"] for title in (parent, added)}
            assert len(states) == 1, "either the subtask is completed too, or it has reopened the parent"

    async def test_writes_of_one_family_never_deadlock(self, three):
        of = await three.list("L")
        wanted = {200, 201, 204, 404, 422}

        async def work(number: int) -> None:
            for turn in range(5):
                title = "PAB"[(number + turn) % 3]
                answers = [
                    await three.send("POST", title, "/complete"),
                    await three.send("PATCH", "P", json={"list_id": (of, None)[turn % 2], "after": None}),
                    await three.send("PATCH", "AB"[turn % 2], json={"parent_id": (None, three.ids["P"])[number % 2]}),
                    await three.send("DELETE", title),
                    await three.restore(title),
                ]
                assert {answer.status_code for answer in answers} <= wanted

        async with asyncio.timeout(60):
            await asyncio.gather(*map(work, range(6)))
        await three.counts()
        broken = await three.connection.fetchval(
            "SELECT count(*) FROM tasks AS child JOIN tasks AS parent USING (user_id) "
            "WHERE parent.id = child.parent_id AND child.deleted_at IS NULL "
            "AND (parent.deleted_at IS NOT NULL OR parent.parent_id IS NOT NULL "
            "OR parent.list_id IS DISTINCT FROM child.list_id OR parent.completed AND NOT child.completed)"
        )
        assert broken == 0
