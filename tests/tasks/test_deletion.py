"""Deleting one task or many tasks."""

from __future__ import annotations

import asyncio

import pytest


async def test_no_route_shows_a_deleted_task(alice, private, refusal):
    task, other = await alice.make("Old"), await alice.make("Kept")
    path = f"{alice.path}/{task['id']}"
    response = await alice.delete(path)
    assert response.status_code == 204
    assert response.content == b""
    assert "content-type" not in response.headers
    assert "content-length" not in response.headers
    private(response)
    for answer in (
        await alice.get(path),
        await alice.put(path, json={"title": "B"}),
        await alice.patch(path, json={}),
        await alice.patch(f"{path}/complete"),
        await alice.post(f"{path}/complete", json={"completed": True}),
        await alice.delete(path),
    ):
        refusal(answer, 404, "task_not_found")
    listed = await alice.get(alice.path, params={"count": "true", "limit": 5})
    assert listed.json() == [other]
    assert listed.headers["x-total-count"] == "1"
    assert (await alice.get(f"{alice.path}/summary")).json()["total"] == 1


async def test_an_id_is_never_reused(alice):
    ids = []
    for _ in range(3):
        task = await alice.make()
        ids.append(task["id"])
        await alice.delete(f"{alice.path}/{task['id']}")
    assert ids == sorted(set(ids))
    assert (await alice.make())["id"] > ids[-1]


async def test_a_deletion_takes_a_revision_too(alice):
    task = await alice.make()
    await alice.delete(f"{alice.path}/{task['id']}")
    assert (await alice.make())["version"] == task["version"] + 2


async def test_of_many_concurrent_deletions_exactly_one_succeeds(alice):
    task = await alice.make()
    answers = await asyncio.gather(*(alice.delete(f"{alice.path}/{task['id']}") for _ in range(10)))
    assert sorted(answer.status_code for answer in answers) == [204] + [404] * 9


class TestDeletingMany:
    async def test_without_a_token_nothing_is_deleted(self, alice, http, refusal):
        task = await alice.make()
        response = await http.delete(alice.path, params={"status": "all"})
        refusal(response, 401, "authentication_required")
        assert (await alice.get(alice.path)).json() == [task]

    async def test_a_user_can_delete_only_their_own_tasks(self, alice, bob, refusal):
        task, _ = await alice.make(), await bob.make()
        refusal(await bob.delete(alice.path, params={"status": "all"}), 403, "forbidden")
        assert (await bob.delete(bob.path, params={"status": "all"})).json() == {"deleted": 1}
        assert (await alice.get(alice.path)).json() == [task]

    @pytest.mark.parametrize(
        ("status", "left"), [("completed", ["a", "c"]), ("pending", ["b", "d"]), ("all", [])]
    )  # fmt: skip
    async def test_all_of_a_status_are_deleted_and_counted(self, alice, private, status, left):
        for title in "abcd":
            await alice.make(title, completed=title in "bd")
        response = await alice.delete(alice.path, params={"status": status})
        assert response.status_code == 200
        assert response.headers["content-type"] == "application/json"
        private(response)
        assert response.json() == {"deleted": 4 - len(left)}
        assert [task["title"] for task in (await alice.get(alice.path)).json()] == left[::-1]
        assert (await alice.delete(alice.path, params={"status": status})).json() == {"deleted": 0}

    async def test_an_unclear_mass_deletion_deletes_nothing(self, alice, refusal, statements, subtests):
        task = await alice.make(completed=True)
        for query, field in [
            ("", "status"),
            ("status=", "status"),
            ("status=done", "status"),
            ("status=Completed", "status"),
            ("status=all&status=all", "status"),
            ("status=all&q=milk", "q"),
            ("status=all&priority=low", "priority"),
            ("status=all&list=", "list"),
            ("status=all&list=inbox&list=", "list"),
            ("status=all&list=garden", "list"),
        ]:
            with subtests.test(query=query, field=field):
                with statements() as seen:
                    response = await alice.delete(f"{alice.path}?{query}")
                body = refusal(response, 422, "validation_error", field)
                assert (
                    field != "status"
                    or "once" in body["detail"]
                    or not query
                    or "completed, pending or all" in body["detail"]
                )
                assert seen == []
                assert (await alice.get(alice.path)).json() == [task]

    async def test_a_mass_deletion_takes_one_revision_for_each_task(self, alice):
        for title in "abc":
            await alice.make(title)
        assert (await alice.delete(alice.path, params={"status": "all"})).json() == {"deleted": 3}
        assert (await alice.make())["version"] == 7
