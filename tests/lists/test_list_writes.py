"""Lists in batches, under idempotency keys and in the change feed, and the tasks of archived lists."""

from __future__ import annotations

import asyncio

import pytest

LISTS = "/api/me/lists"
BATCH = "/api/me/batch"
UID = "019aceef-9a40-7b52-a1d4-3c8e0f6a7b21"
TASK = "019aceef-9a40-7c1e-8f3a-5b1d6c2e9f04"
SUBTASK = "019aceef-9a40-7c1e-8f3a-5b1d6c2e9f05"
# The operations that name an item, with the members that they require.
OF_ONE_ITEM: dict[str, dict] = {
    "update": {"changes": {}}, "complete": {"completed": True}, "delete": {}, "restore": {},
    "update_list": {"changes": {}}, "delete_list": {}, "restore_list": {},
}  # fmt: skip
KEY = {"Idempotency-Key": "once"}


async def send(caller, *operations: dict, path: str = BATCH, headers: dict | None = None, **options: object):
    return await caller.post(path, json={"operations": operations, **options}, headers=headers)


async def results(caller, *operations: dict, **options: object) -> list[dict]:
    response = await send(caller, *operations, **options)
    assert response.status_code == 200, response.text
    return response.json()["results"]


def create_list(name: str = "Garden", **fields: object) -> dict:
    return {"op": "create_list", "list": {"name": name, **fields}}


async def titles(caller, query: str = "") -> list[str]:
    return sorted(task["title"] for task in (await caller.get(f"{caller.path}{query}")).json())


class TestBatches:
    @pytest.mark.parametrize("path", [BATCH, "/api/me/tasks/batch"])
    async def test_an_offline_client_creates_a_list_a_task_and_a_subtask_by_uid_alone(self, alice, path):
        offline = [
            create_list(uid=UID),
            {"op": "create", "task": {"title": "Plant", "uid": TASK, "list_id": UID}},
            {"op": "create", "task": {"title": "Buy seeds", "uid": SUBTASK, "parent_id": TASK}},
            {"op": "update_list", "id": UID, "changes": {"color": "#2E7D32"}},
            {"op": "complete", "id": SUBTASK, "completed": True},
        ]
        done = await results(alice, *offline, path=path)
        assert [one["status"] for one in done] == [201, 201, 201, 200, 200]
        made, changed = done[0]["list"], done[3]["list"]
        assert changed == (await alice.get(f"{LISTS}/{UID}")).json()
        assert (changed["id"], changed["color"]) == (made["id"], "#2e7d32")
        plant, seeds = done[1]["task"], done[4]["task"]
        assert (plant["list_id"], seeds["list_id"], seeds["parent_id"]) == (made["id"], made["id"], plant["id"])
        again = await results(alice, *offline, path=path)
        assert [one["status"] for one in again] == [200] * 5
        assert [again[n] for n in (0, 1)] == [{"status": 200, "list": changed}, {"status": 200, "task": plant}]
        assert len((await alice.get(LISTS)).json()) == 1
        assert await titles(alice) == ["Buy seeds", "Plant"]

    async def test_each_operation_does_what_its_own_route_does(self, alice, make_list):
        empty, full, gone = [await make_list(alice, name) for name in ("Empty", "Full", "Gone")]
        await alice.make("Task", list_id=full["id"])
        await alice.delete(f"{LISTS}/{gone['id']}")
        done = await results(
            alice,
            create_list(" New ", color=None, archived=True, after=None),
            {"op": "update_list", "id": empty["id"], "changes": {"name": "B"}, "if_version": empty["version"]},
            {"op": "delete_list", "id": full["uid"], "tasks": "inbox"},
            {"op": "restore_list", "id": gone["id"]},
            {"op": "delete_list", "id": empty["id"], "tasks": None},
        )
        assert [one["status"] for one in done] == [201, 200, 204, 200, 204]
        assert [set(one) for one in done] == [{"status", "list"}, {"status", "list"}, {"status"},
                                              {"status", "list"}, {"status"}]  # fmt: skip
        assert (done[0]["list"]["name"], done[0]["list"]["archived"]) == ("New", True)
        assert done[1]["list"]["name"] == "B"
        assert [one["name"] for one in (await alice.get(LISTS)).json()] == ["Gone", "New"]
        assert (await alice.get(f"{LISTS}/{gone['id']}")).json() == done[3]["list"]
        assert await titles(alice, "?list=inbox") == ["Task"]

    async def test_each_operation_fails_as_its_own_route_does(self, alice, make_list):
        full, gone = await make_list(alice), await make_list(alice, uid=UID)
        await alice.make(list_id=full["id"])
        await alice.delete(f"{LISTS}/{gone['id']}")
        done = await results(
            alice,
            create_list(uid=UID),
            {"op": "update_list", "id": gone["id"], "changes": {"name": "B"}},
            {"op": "update_list", "id": full["id"], "changes": {"name": "B"}, "if_version": 99},
            {"op": "update_list", "id": full["id"], "changes": {"after": full["id"]}},
            {"op": "delete_list", "id": full["id"]},
            {"op": "delete_list", "id": 99},
            {"op": "restore_list", "id": full["id"]},
            {"op": "create", "task": {"title": "A", "list_id": UID}},
            atomic=False,
        )
        assert [(one["status"], one["error"]["code"]) for one in done] == [
            (409, "in_trash"), (404, "list_not_found"), (412, "version_mismatch"), (422, "validation_error"),
            (422, "validation_error"), (404, "list_not_found"), (404, "list_not_found"), (422, "validation_error"),
        ]  # fmt: skip
        assert done[2]["error"]["current"] == full
        assert "The list has changed" in done[2]["error"]["detail"]
        fields = [done[number]["error"]["errors"][0]["field"] for number in (3, 4, 7)]
        assert fields == ["after", "tasks", "list_id"]

    async def test_a_failing_operation_rolls_back_the_list_of_an_atomic_batch(self, alice, refusal, counted):
        await alice.make()
        response = await send(alice, create_list(), {"op": "restore_list", "id": 99})
        body = refusal(response, 422, "batch_failed")
        assert (body["index"], body["error"]["code"]) == (1, "list_not_found")
        assert await counted() == (0, 1, 0)

    async def test_an_id_that_the_batch_itself_assigns_is_not_accepted(self, alice):
        done = await results(
            alice, create_list(), {"op": "update_list", "id": 1, "changes": {"name": "B"}}, atomic=False
        )  # fmt: skip
        assert [one["status"] for one in done] == [201, 404]

    async def test_an_invalid_operation_is_named_with_its_fault(self, alice, refusal, subtests):
        for operation, field in [
            ({"op": "create_list"}, "list"),
            ({"op": "create_list", "list": {}}, "list.name"),
            ({"op": "create_list", "list": {"name": " "}}, "list.name"),
            ({"op": "create_list", "list": {"name": "A", "title": "A"}}, "list.title"),
            ({"op": "update_list", "id": 1}, "changes"),
            ({"op": "update_list", "id": 1, "changes": {"color": "red"}}, "changes.color"),
            ({"op": "update_list", "id": 0, "changes": {}}, "id"),
            *(({"op": op, "id": "x", **fields}, "id") for op, fields in OF_ONE_ITEM.items()),
            ({"op": "delete_list", "id": 1, "tasks": "all"}, "tasks"),
            ({"op": "delete_list"}, "id"),
            ({"op": "restore_list", "id": 1, "if_version": 1}, "if_version"),
            ({"op": "complete_list", "id": 1}, "op"),
        ]:
            with subtests.test(operation=operation, field=field):
                refusal(await send(alice, operation), 422, "validation_error", f"operations[0].{field}")
                (alone,) = await results(alice, operation, atomic=False)
                assert [fault["field"] for fault in alone["error"]["errors"]] == [field]


class TestIdempotencyKeys:
    async def test_a_creation_takes_effect_once(self, alice, make_list):
        answers = [await alice.post(LISTS, json={"name": "A", "after": None}, headers=KEY) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [201] * 3
        assert len({(answer.text, answer.headers["etag"], answer.headers["location"]) for answer in answers}) == 1
        assert ["idempotency-replayed" in answer.headers for answer in answers] == [False, True, True]
        assert len((await alice.get(LISTS)).json()) == 1

    async def test_a_creation_with_a_uid_is_recognised_with_and_without_its_key(self, alice):
        sent = {"name": "A", "uid": UID}
        first = await alice.post(LISTS, json=sent, headers=KEY)
        again = await alice.post(LISTS, json=sent, headers=KEY)
        assert (again.status_code, again.headers["idempotency-replayed"]) == (201, "true")
        for headers in ({}, {"Idempotency-Key": "other"}):
            known = await alice.post(LISTS, json=sent, headers=headers)
            assert (known.status_code, "idempotency-replayed" in known.headers) == (200, False)
            assert known.text == again.text == first.text
        assert len((await alice.get(LISTS)).json()) == 1

    async def test_a_restore_takes_effect_once(self, alice, refusal, make_list):
        made = await make_list(alice)
        path = f"/api/me/trash/lists/{made['id']}/restore"
        refusal(await alice.post(path, headers=KEY), 404, "list_not_found")
        await alice.delete(f"{LISTS}/{made['id']}")
        answers = [await alice.post(path, headers=KEY) for _ in range(2)]
        assert {(answer.status_code, answer.text, answer.headers["etag"]) for answer in answers} == {
            (200, answers[0].text, f'"3.{made["uid"][-8:]}"')
        }
        assert (await alice.get(f"{LISTS}/{made['id']}")).json() == answers[0].json()

    async def test_the_same_key_is_another_one_for_another_list_or_path(self, alice, make_list):
        made = [await make_list(alice), await make_list(alice)]
        for one in made:
            await alice.delete(f"{LISTS}/{one['id']}")
        for one in made:
            response = await alice.post(f"/api/me/trash/lists/{one['id']}/restore", headers=KEY)
            assert (response.status_code, response.json()["id"]) == (200, one["id"])
        for path in (LISTS, "/api/me/tasks"):
            response = await alice.post(path, json={"name" if path == LISTS else "title": "A"}, headers=KEY)
            assert (response.status_code, "idempotency-replayed" in response.headers) == (201, False)

    async def test_a_key_with_another_body_is_refused(self, alice, refusal):
        await alice.post(LISTS, json={"name": "A"}, headers=KEY)
        refusal(await alice.post(LISTS, json={"name": "B"}, headers=KEY), 422, "idempotency_key_reused")

    async def test_of_many_concurrent_creations_with_one_key_one_creates_the_list(self, alice, counted):
        answers = await asyncio.gather(*(alice.post(LISTS, json={"name": "A"}, headers=KEY) for _ in range(30)))
        assert {answer.status_code for answer in answers} <= {201, 409}
        assert len({answer.text for answer in answers if answer.status_code == 201}) == 1
        assert await counted() == (1, 0, 0)

    async def test_an_invalid_creation_does_not_use_up_its_key(self, alice, refusal):
        refusal(await alice.post(LISTS, json={"name": "A", "after": 9}, headers=KEY), 422, "validation_error", "after")
        assert (await alice.post(LISTS, json={"name": "A"}, headers=KEY)).status_code == 201


class TestTasksInLists:
    async def test_the_tasks_of_an_archived_list_leave_lists_and_summary_unless_it_is_named(self, alice, make_list):
        garden, work = await make_list(alice, "Garden"), await make_list(alice, "Work")
        await alice.make("Inbox")
        await alice.make("Water", list_id=garden["id"])
        await alice.make("Report", list_id=work["id"], due_date="2020-01-01")
        assert await titles(alice) == ["Inbox", "Report", "Water"]
        await alice.patch(f"{LISTS}/{work['id']}", json={"archived": True})
        assert await titles(alice) == ["Inbox", "Water"]
        assert await titles(alice, "?overdue=true") == []
        assert (await alice.get(f"{alice.path}?count=true&limit=1")).headers["x-total-count"] == "2"
        assert (await alice.get(f"{alice.path}/summary")).json()["total"] == 2
        for name in (work["id"], work["uid"]):
            assert await titles(alice, f"?list={name}") == ["Report"]
            summary = (await alice.get(f"{alice.path}/summary?list={name}")).json()
            assert (summary["total"], summary["overdue"]) == (1, 1)
        assert await titles(alice, f"?list={work['id']}&list=inbox") == ["Inbox", "Report"]
        task = (await alice.get(f"{alice.path}?list={work['id']}")).json()[0]
        assert (await alice.get(f"{alice.path}/{task['id']}")).json() == task
        await alice.patch(f"{LISTS}/{work['id']}", json={"archived": False})
        assert await titles(alice) == ["Inbox", "Report", "Water"]

    @pytest.mark.parametrize("status", ["completed", "pending", "all"])
    async def test_a_mass_deletion_leaves_the_tasks_of_archived_lists_unless_their_list_is_named(
        self, alice, make_list, counted, status
    ):
        garden, work = await make_list(alice, "Garden"), await make_list(alice, "Work")
        done = status == "completed"
        await alice.make("Inbox", completed=done)
        await alice.make("Water", list_id=garden["id"], completed=done)
        report = await alice.make("Report", list_id=work["id"], completed=done)
        await alice.make("Chapter", parent_id=report["id"], completed=done)
        await alice.patch(f"{LISTS}/{work['id']}", json={"archived": True})
        assert (await alice.delete(f"{alice.path}?status={status}")).json() == {"deleted": 2}
        assert await titles(alice) == []
        assert await titles(alice, f"?list={work['id']}") == ["Chapter", "Report"]
        assert (await alice.delete(f"{alice.path}?status={status}&list={garden['id']}")).json() == {"deleted": 0}
        assert (await alice.delete(f"{alice.path}?status={status}&list={work['uid']}")).json() == {"deleted": 2}
        assert await counted() == (2, 0, 4)

    async def test_a_mass_deletion_takes_only_the_tasks_of_the_named_lists(self, alice, bob, make_list):
        garden, work, foreign = await make_list(alice, "Garden"), await make_list(alice, "Work"), await make_list(bob)
        await alice.make("Inbox")
        await alice.make("Water", list_id=garden["id"])
        await alice.make("Report", list_id=work["id"])
        for unknown in (foreign["uid"], 2**62):
            assert (await alice.delete(f"{alice.path}?status=all&list={unknown}")).json() == {"deleted": 0}
        assert (await alice.delete(f"{alice.path}?status=all&list=inbox")).json() == {"deleted": 1}
        assert await titles(alice) == ["Report", "Water"]
        query = f"?status=all&list={garden['uid'].upper()}&list={garden['id']}&list=Inbox"
        assert (await alice.delete(f"{alice.path}{query}")).json() == {"deleted": 1}
        assert await titles(alice) == ["Report"]

    async def test_archiving_changes_the_etag_of_the_tasks(self, alice, make_list):
        made = await make_list(alice)
        await alice.make("Water", list_id=made["id"])
        before = (await alice.get(alice.path)).headers["etag"]
        await alice.patch(f"{LISTS}/{made['id']}", json={"archived": True})
        response = await alice.get(alice.path, headers={"If-None-Match": before})
        assert (response.status_code, response.json()) == (200, [])

    async def test_the_change_feed_has_the_tasks_of_archived_and_deleted_lists(self, alice, make_list):
        made = await make_list(alice)
        await alice.make("Water", list_id=made["id"])
        await alice.patch(f"{LISTS}/{made['id']}", json={"archived": True})
        feed = (await alice.get(f"{alice.path}/changes?since=0")).json()
        assert [task["title"] for task in feed["changes"]] == ["Water"]
        await alice.delete(f"{LISTS}/{made['id']}?tasks=trash")
        feed = (await alice.get(f"{alice.path}/changes?since={feed['next']}")).json()
        assert [task["deleted"] for task in feed["changes"]] == [True]
