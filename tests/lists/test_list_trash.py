"""Deleting lists, and their trash: what happens to the tasks of a list, restoring, destroying, and the quotas."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from service.operations import purge

LISTS = "/api/me/lists"
TRASH = "/api/me/trash"
UID = "019aceef-9a40-7b52-a1d4-3c8e0f6a7b21"
# In UTC, because a cluster refuses to subtract from a moment: the result depends on the session's time zone.
AGE = "UPDATE {} SET deleted_at = (deleted_at AT TIME ZONE 'UTC' - $1::interval) AT TIME ZONE 'UTC'"


@pytest.fixture
def allow(app, settings, monkeypatch):
    """`allow(trash_quota=2)` runs the service with other settings."""

    def change(**values: int) -> None:
        monkeypatch.setattr(app.ctx, "settings", replace(settings, **values))

    return change


@pytest.fixture
async def garden(alice, make_list) -> dict:
    """A list with two tasks, one of them with a subtask."""
    made = await make_list(alice, "Garden")
    parent = await alice.make("Plant", list_id=made["id"])
    await alice.make("Buy seeds", parent_id=parent["id"])
    await alice.make("Water", list_id=made["id"])
    return made


async def titles(caller, query: str = "", path: str = "") -> list[str]:
    return sorted(task["title"] for task in (await caller.get(f"{path or caller.path}{query}")).json())


class TestDeletion:
    async def test_an_empty_list_moves_to_the_trash_without_a_decision(self, alice, make_list, counted):
        made = await make_list(alice, "Garden", color="#2e7d32")
        response = await alice.delete(f"{LISTS}/{made['id']}")
        assert (response.status_code, response.content) == (204, b"")
        assert (await alice.get(f"{LISTS}/{made['id']}")).status_code == 404
        assert (await alice.get(LISTS)).json() == []
        (deleted,) = (await alice.get(f"{TRASH}/lists")).json()
        assert deleted.pop("deleted_at") == deleted["updated_at"] > made["updated_at"]
        assert deleted == {**made, "updated_at": deleted["updated_at"], "version": 2}
        assert await counted() == (0, 0, 1)

    async def test_a_second_deletion_is_404(self, alice, refusal, make_list):
        made = await make_list(alice)
        assert (await alice.delete(f"{LISTS}/{made['uid']}")).status_code == 204
        refusal(await alice.delete(f"{LISTS}/{made['uid']}"), 404, "list_not_found")

    async def test_a_list_with_tasks_needs_a_decision_and_the_error_says_how_many_there_are(
        self, alice, refusal, make_list, garden, counted
    ):  # fmt: skip
        body = refusal(await alice.delete(f"{LISTS}/{garden['id']}"), 422, "validation_error", "tasks")
        assert "the list has 3 tasks: inbox moves them to the inbox, trash moves them to the trash" in body["detail"]
        one = await make_list(alice)
        await alice.make(list_id=one["id"])
        for path in (f"{LISTS}/{one['id']}", f"{LISTS}/{one['uid']}?tasks="):
            body = refusal(await alice.delete(path), 422, "validation_error", "tasks")
            assert "the list has a task: inbox moves it" in body["detail"]
        assert await counted() == (2, 4, 0)

    async def test_deleted_tasks_of_a_list_need_no_decision(self, alice, make_list):
        made = await make_list(alice)
        task = await alice.make(list_id=made["id"])
        await alice.delete(f"{alice.path}/{task['id']}")
        assert (await alice.delete(f"{LISTS}/{made['id']}")).status_code == 204

    async def test_any_other_decision_is_refused(self, alice, refusal, garden, subtests):
        for query in ["tasks=none", "tasks=INBOX", "tasks=inbox&tasks=trash", "status=all"]:
            with subtests.test(query=query):
                response = await alice.delete(f"{LISTS}/{garden['id']}?{query}")
                refusal(response, 422, "validation_error", query.partition("=")[0])

    async def test_tasks_may_move_to_the_inbox(self, alice, garden, counted):
        assert (await alice.delete(f"{LISTS}/{garden['id']}?tasks=inbox")).status_code == 204
        assert await titles(alice, "?list=inbox") == ["Buy seeds", "Plant", "Water"]
        tasks = (await alice.get(alice.path)).json()
        assert {task["list_id"] for task in tasks} == {None}
        assert {task["parent_id"] for task in tasks if task["title"] == "Buy seeds"} == {2}
        assert sorted(task["version"] for task in tasks) == [6, 7, 8]
        assert await counted() == (0, 3, 1)

    async def test_tasks_may_move_to_the_trash(self, alice, garden, counted):
        assert (await alice.delete(f"{LISTS}/{garden['id']}?tasks=trash")).status_code == 204
        assert await titles(alice) == []
        assert await titles(alice, path=TRASH) == ["Buy seeds", "Plant", "Water"]
        assert await counted() == (0, 0, 4)

    async def test_of_concurrent_deletions_one_succeeds(self, alice, garden, counted):
        path = f"{LISTS}/{garden['id']}?tasks="
        answers = await asyncio.gather(*(alice.delete(f"{path}{('inbox', 'trash')[n % 2]}") for n in range(20)))
        assert sorted(answer.status_code for answer in answers) == [204] + [404] * 19
        assert sum(await counted()) == 4

    async def test_no_task_enters_a_list_while_it_is_deleted(self, alice, make_list, connection):
        for _ in range(5):
            made = await make_list(alice)
            answers = await asyncio.gather(
                *(alice.post(alice.path, json={"title": "A", "list_id": made["id"]}) for _ in range(5)),
                alice.delete(f"{LISTS}/{made['id']}?tasks=inbox"),
            )
            assert {answer.status_code for answer in answers} <= {201, 204, 422}
        assert await connection.fetchval(
            "SELECT count(*) FROM tasks JOIN lists ON tasks.user_id = lists.user_id AND lists.id = tasks.list_id "
            "WHERE tasks.deleted_at IS NULL AND lists.deleted_at IS NOT NULL"
        ) == 0  # fmt: skip

    async def test_a_full_trash_refuses_a_list_with_its_tasks(self, alice, refusal, garden, allow, counted):
        allow(trash_quota=3)
        body = refusal(await alice.delete(f"{LISTS}/{garden['id']}?tasks=trash"), 409, "trash_full")
        assert "3 tasks and lists" in body["detail"]
        assert await counted() == (1, 3, 0)
        assert (await alice.delete(f"{LISTS}/{garden['id']}?tasks=inbox")).status_code == 204
        allow(trash_quota=4)
        assert await counted() == (0, 3, 1)


class TestRestoring:
    async def test_a_list_comes_back_with_the_tasks_that_were_deleted_with_it(self, alice, garden, counted):
        earlier = await alice.make("Earlier", list_id=garden["id"])
        await alice.delete(f"{alice.path}/{earlier['id']}")
        await alice.delete(f"{LISTS}/{garden['id']}?tasks=trash")
        response = await alice.post(f"{TRASH}/lists/{garden['id']}/restore")
        restored = response.json()
        assert response.status_code == 200
        assert response.headers["etag"] == f'"{restored["version"]}.{garden["uid"][-8:]}"'
        assert restored == {**garden, "updated_at": restored["updated_at"], "version": restored["version"]}
        assert restored["version"] > garden["version"]
        assert await titles(alice, f"?list={garden['id']}") == ["Buy seeds", "Plant", "Water"]
        assert await titles(alice, path=TRASH) == ["Earlier"]
        assert await counted() == (1, 3, 1)

    async def test_tasks_that_moved_to_the_inbox_stay_there(self, alice, garden):
        await alice.delete(f"{LISTS}/{garden['id']}?tasks=inbox")
        assert (await alice.post(f"{TRASH}/lists/{garden['uid']}/restore")).status_code == 200
        assert await titles(alice, "?list=inbox") == ["Buy seeds", "Plant", "Water"]

    async def test_a_task_that_is_restored_without_its_list_goes_to_the_inbox(self, alice, garden):
        await alice.delete(f"{LISTS}/{garden['id']}?tasks=trash")
        (water,) = [task for task in (await alice.get(TRASH)).json() if task["title"] == "Water"]
        assert water["list_id"] == garden["id"]
        response = await alice.post(f"{TRASH}/{water['id']}/restore")
        assert (response.status_code, response.json()["list_id"]) == (200, None)

    async def test_a_live_or_missing_list_cannot_be_restored(self, alice, bob, refusal, make_list):
        live, theirs = await make_list(alice), await make_list(bob, uid=UID)
        await bob.delete(f"{LISTS}/{theirs['id']}")
        for name in (live["id"], live["uid"], 99, UID, "x"):
            refusal(await alice.post(f"{TRASH}/lists/{name}/restore"), 404, "list_not_found")

    async def test_a_body_or_a_condition_is_refused(self, alice, refusal, make_list):
        made = await make_list(alice)
        await alice.delete(f"{LISTS}/{made['id']}")
        for method, path in (
            ("POST", f"{TRASH}/lists/{made['id']}/restore"),
            ("DELETE", f"{TRASH}/lists/{made['id']}"),
        ):
            response = await alice.request(method, path, json={"if_version": 2})
            refusal(response, 422, "validation_error", "if_version")
            response = await alice.request(method, path, headers={"If-Match": '"2"'})
            body = refusal(response, 422, "validation_error", "If-Match")
            assert "a list in the trash cannot change" in body["detail"]
        assert len((await alice.get(f"{TRASH}/lists")).json()) == 1

    async def test_the_quota_of_tasks_refuses_a_list_as_a_whole(self, alice, refusal, garden, allow, counted):
        await alice.delete(f"{LISTS}/{garden['id']}?tasks=trash")
        allow(task_quota=2)
        refusal(await alice.post(f"{TRASH}/lists/{garden['id']}/restore"), 409, "task_quota_exceeded")
        assert await counted() == (0, 0, 4)
        allow(task_quota=3)
        assert (await alice.post(f"{TRASH}/lists/{garden['id']}/restore")).status_code == 200
        assert await counted() == (1, 3, 0)

    async def test_the_quota_of_lists_refuses_a_restored_list(self, alice, refusal, make_list, connection):
        made = await make_list(alice)
        await alice.delete(f"{LISTS}/{made['id']}")
        await connection.execute("UPDATE users SET list_count = 500")
        refusal(await alice.post(f"{TRASH}/lists/{made['id']}/restore"), 409, "list_quota_exceeded")


class TestDestroying:
    async def test_the_trash_of_lists_has_the_last_deletion_first(self, alice, bob, make_list, private):
        for name in "ABC":
            await make_list(alice, name)
        for list_id in (2, 3, 1):
            await alice.delete(f"{LISTS}/{list_id}")
        response = await alice.get(f"{TRASH}/lists")
        assert response.headers["content-type"] == "application/json"
        private(response)
        assert [one["name"] for one in response.json()] == ["A", "C", "B"]
        assert (await bob.get(f"{TRASH}/lists")).json() == []
        assert (await alice.get(TRASH)).json() == []

    async def test_the_trash_of_lists_takes_no_parameter(self, alice, refusal):
        refusal(await alice.get(f"{TRASH}/lists?limit=1"), 422, "validation_error", "limit")

    async def test_a_destroyed_list_is_gone_and_its_tasks_can_still_be_restored(self, alice, refusal, garden, counted):
        await alice.delete(f"{LISTS}/{garden['id']}?tasks=trash")
        response = await alice.delete(f"{TRASH}/lists/{garden['uid']}")
        assert (response.status_code, response.content) == (204, b"")
        refusal(await alice.delete(f"{TRASH}/lists/{garden['uid']}"), 404, "list_not_found")
        assert await counted() == (0, 0, 3)
        for task in (await alice.get(TRASH)).json():
            await alice.post(f"{TRASH}/{task['id']}/restore")
        assert await titles(alice, "?list=inbox") == ["Buy seeds", "Plant", "Water"]

    async def test_a_live_list_cannot_be_destroyed(self, alice, refusal, make_list):
        made = await make_list(alice)
        refusal(await alice.delete(f"{TRASH}/lists/{made['id']}"), 404, "list_not_found")
        assert (await alice.get(f"{LISTS}/{made['id']}")).status_code == 200

    async def test_emptying_the_trash_removes_tasks_and_lists_and_counts_both(self, alice, garden, make_list, counted):
        await make_list(alice, "Stays")
        await alice.delete(f"{LISTS}/{garden['id']}?tasks=trash")
        assert (await alice.delete(TRASH)).json() == {"deleted": 4}
        assert (await alice.delete(TRASH)).json() == {"deleted": 0}
        assert await counted() == (1, 0, 0)

    async def test_erasing_a_user_removes_their_lists(self, alice, bob, garden, make_list, connection):
        await make_list(bob)
        await alice.delete(f"{LISTS}/{garden['id']}?tasks=inbox")
        await make_list(alice)
        assert (await alice.request("DELETE", "/api/me", json={"confirm": "alice"})).status_code == 204
        assert (await alice.get(LISTS)).json() == (await alice.get(f"{TRASH}/lists")).json() == []
        assert [row["user_id"] for row in await connection.fetch("SELECT user_id FROM lists")] == ["bob"]


class TestRetention:
    async def test_the_purge_removes_old_lists_of_the_trash_and_keeps_revisions(  # noqa: PLR0913, PLR0917 - they are fixtures
        self, alice, bob, make_list, pool, settings, connection, counted
    ):  # fmt: skip
        old, young = await make_list(alice, "Old"), await make_list(alice, "Young")
        await alice.make("Task", list_id=old["id"])
        await alice.delete(f"{LISTS}/{old['id']}?tasks=trash")
        for table in ("lists", "tasks"):
            await connection.execute(AGE.format(table), timedelta(days=settings.trash_retention_days + 1))
        await alice.delete(f"{LISTS}/{young['id']}")
        await make_list(alice, "Live")
        theirs = await make_list(bob)
        await bob.delete(f"{LISTS}/{theirs['id']}")
        before = await connection.fetchrow("SELECT revision, written_at FROM users WHERE id = 'alice'")
        assert await purge.empty_trash(pool, settings) == 2
        assert await purge.empty_trash(pool, settings) == 0
        assert [one["name"] for one in (await alice.get(f"{TRASH}/lists")).json()] == ["Young"]
        assert len((await bob.get(f"{TRASH}/lists")).json()) == 1
        assert await connection.fetchrow("SELECT revision, written_at FROM users WHERE id = 'alice'") == before
        assert await counted() == (1, 0, 1)

    async def test_every_statement_of_the_purge_names_one_owner(  # noqa: PLR0913, PLR0917 - they are fixtures
        self, alice, bob, make_list, pool, settings, connection, statements
    ):  # fmt: skip
        for caller in (alice, bob):
            await caller.delete(f"{LISTS}/{(await make_list(caller))['id']}")
        await connection.execute(AGE.format("lists"), timedelta(days=400))
        with statements() as seen:
            assert await purge.empty_trash(pool, settings) == 2
        assert [arguments[0] for text, arguments in seen if "destroy_lists($1" in text] == ["alice", "bob"]
