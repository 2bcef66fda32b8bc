"""The uid: the name that a client gives to a task, accepted wherever an id is."""

from __future__ import annotations

import asyncio

import pytest

from tests.etags import etag_of

UID = "019aceef-9a40-7c1e-8f3a-5b1d6c2e9f04"
UNKNOWN = "019aceef-9a40-7c1e-8f3a-000000000000"
IN_TRASH = "A task with this uid is in the trash; restore it, or remove it permanently and create the task again."
VERSIONS = [
    "c232ab00-9414-11ec-b3c8-9f6bdeced846", "5df41881-3aed-3515-88a7-2f4a814cf09e",
    "919108f7-52d1-4320-9bac-f847db4148a8", "2ed6657d-e927-568b-95e1-2665a8aea6a2", UID,
    "00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff",
]  # fmt: skip
MALFORMED = [
    "019aceef9a407c1e8f3a5b1d6c2e9f04", "{019aceef-9a40-7c1e-8f3a-5b1d6c2e9f04}", UID[:-1], UID + "0",
    "urn:uuid:" + UID, UID.replace("0", "g"), UID.replace("0", "٠"), "x",
]  # fmt: skip


async def post(caller, uid: object, key: str | None = None, **fields: object):
    headers = {"Idempotency-Key": key} if key else {}
    return await caller.post(caller.path, json={"title": "Named", "uid": uid, **fields}, headers=headers)


async def revision(connection, user_id: str = "alice") -> int:
    return await connection.fetchval("SELECT revision FROM users WHERE id = $1", user_id)


class TestCreating:
    async def test_a_uuid_of_any_version_names_the_task(self, alice):
        for uid in VERSIONS:
            response = await post(alice, uid)
            assert response.status_code == 201
            task = response.json()
            assert task["uid"] == uid
            assert response.headers["etag"] == etag_of(task)
            assert response.headers["location"] == f"/api/alice/tasks/{task['id']}"

    async def test_upper_case_is_accepted_and_stored_in_lower_case(self, alice):
        created = await post(alice, UID.upper())
        assert (created.status_code, created.json()["uid"]) == (201, UID)
        again = await post(alice, UID)
        assert (again.status_code, again.json()) == (200, created.json())

    async def test_null_lets_the_service_choose(self, alice):
        one, other = (await post(alice, None)).json(), (await post(alice, None)).json()
        assert one["uid"][14] == other["uid"][14] == "7"
        assert one["uid"] != other["uid"]

    @pytest.mark.parametrize("first", [None, "key"])
    @pytest.mark.parametrize("second", [None, "another key"])
    async def test_a_repeated_creation_returns_the_task_as_it_is_and_writes_nothing(
        self, alice, connection, first, second
    ):
        created = await post(alice, UID, first)
        assert created.status_code == 201
        changed = await alice.patch(f"{alice.path}/{UID}", json={"title": "Changed since"})
        before = await revision(connection)
        again = await post(alice, UID, second, title="Sent again", list_id=99, parent_id=98, after=97)
        assert again.status_code == 200
        assert again.content == changed.content
        assert again.headers["etag"] == changed.headers["etag"] == etag_of(changed.json())
        assert "location" not in again.headers
        assert await revision(connection) == before
        assert await connection.fetchval("SELECT count(*) FROM tasks") == 1

    async def test_a_repeated_creation_is_answered_at_the_quota(self, alice, connection, settings):
        created = await post(alice, UID)
        await connection.execute("UPDATE users SET task_count = $1", settings.task_quota)
        again = await post(alice, UID)
        assert (again.status_code, again.json()) == (200, created.json())
        assert (await post(alice, UNKNOWN)).json()["code"] == "task_quota_exceeded"

    @pytest.mark.parametrize("key", [None, "key"])
    async def test_a_uid_in_the_trash_is_a_conflict_that_says_what_to_do(self, alice, connection, refusal, key):
        await post(alice, UID)
        await alice.delete(f"{alice.path}/{UID}")
        before = await revision(connection)
        response = await post(alice, UID, key)
        assert refusal(response, 409, "in_trash")["detail"] == IN_TRASH
        assert await revision(connection) == before

    async def test_a_destroyed_uid_can_be_created_again(self, alice):
        created = (await post(alice, UID)).json()
        await alice.delete(f"{alice.path}/{UID}")
        assert (await alice.delete(f"/api/alice/trash/{UID}")).status_code == 204
        again = await post(alice, UID)
        assert again.status_code == 201
        assert again.json()["uid"] == UID
        assert again.json()["id"] > created["id"]

    async def test_the_uid_of_an_erased_task_can_be_created_again_before_its_row_is_removed(self, alice, connection):
        created = (await post(alice, UID)).json()
        await alice.delete(f"{alice.path}/{UID}")
        await connection.fetch("SELECT erase_owner('alice')")
        assert await connection.fetchval("SELECT count(*) FROM tasks") == 1
        again = await post(alice, UID)
        assert again.status_code == 201
        assert again.json()["id"] > created["id"]
        assert [task["id"] for task in (await alice.get(alice.path)).json()] == [again.json()["id"]]

    @pytest.mark.parametrize("new", [True, False])
    async def test_parallel_creations_with_one_uid_make_one_task(self, alice, connection, new):
        if not new:
            await alice.make()
        answers = await asyncio.gather(*(post(alice, UID, title=f"Number {number}") for number in range(50)))
        assert sorted(answer.status_code for answer in answers) == [200] * 49 + [201]
        assert len({answer.content for answer in answers}) == 1
        assert await connection.fetchval("SELECT count(*) FROM tasks WHERE uid = $1", UID) == 1
        assert await revision(connection) == (1 if new else 2)

    async def test_a_uid_of_another_user_is_free_to_take_and_reveals_nothing(self, alice, bob):
        await post(alice, UID, title="Secret")
        for path in (f"{bob.path}/{UID}", f"{bob.path}/{UNKNOWN}"):
            missing = await bob.get(path)
            assert (missing.status_code, missing.json()["code"]) == (404, "task_not_found")
        taken = await post(bob, UID, title="Own")
        assert taken.status_code == 201
        assert (taken.json()["uid"], taken.json()["title"]) == (UID, "Own")
        assert (await bob.patch(f"{bob.path}/{UID}", json={"title": "Changed"})).status_code == 200
        assert (await bob.delete(f"{bob.path}/{UID}")).status_code == 204
        assert (await alice.get(f"{alice.path}/{UID}")).json()["title"] == "Secret"

    async def test_a_malformed_uid_is_refused_and_nothing_is_written(self, alice, connection, refusal):
        for uid in (*MALFORMED, "", 7, True, [UID], {"uid": UID}):
            problem = refusal(await post(alice, uid), 422, "validation_error", "uid")
            assert "a UUID of any version" in problem["errors"][0]["message"]
        assert await connection.fetchval("SELECT count(*) FROM tasks") == 0


class TestPaths:
    async def test_every_route_of_a_task_takes_the_uid_in_either_case(self, alice):
        task = (await post(alice, UID)).json()
        for uid in (UID, UID.upper()):
            path, trashed = f"{alice.path}/{uid}", f"/api/alice/trash/{uid}"
            found = await alice.get(path)
            assert (found.status_code, found.json()["id"]) == (200, task["id"])
            assert (await alice.get(path, headers={"If-None-Match": found.headers["etag"]})).status_code == 304
            for method in ("PUT", "PATCH"):
                changed = await alice.request(method, path, json={"title": f"{method} {uid}"})
                assert (changed.status_code, changed.json()["title"]) == (200, f"{method} {uid}")
            mismatch = await alice.patch(path, json={"title": "x", "if_version": task["version"]})
            assert (mismatch.status_code, mismatch.json()["current"]) == (412, changed.json())
            for method, key in (("PATCH", {}), ("POST", {}), ("POST", {"Idempotency-Key": f"complete {uid}"})):
                before = (await alice.get(path)).json()["completed"]
                toggled = await alice.request(method, f"{path}/complete", headers=key)
                assert (toggled.status_code, toggled.json()["completed"]) == (200, not before)
            assert (await alice.delete(path)).status_code == 204
            assert (await alice.get(path)).status_code == 404
            key = {"Idempotency-Key": f"restore {uid}"} if uid == UID else {}
            restored = await alice.post(f"{trashed}/restore", headers=key)
            assert (restored.status_code, restored.json()["uid"]) == (200, UID)
            assert (await alice.delete(trashed)).status_code == 404, "it is not in the trash"
        await alice.delete(path)
        assert (await alice.delete(trashed)).status_code == 204
        assert (await alice.post(f"{trashed}/restore")).status_code == 404

    async def test_an_unknown_and_a_malformed_uid_are_not_found(self, alice, subtests):
        await alice.make()
        for method, path in [
            ("GET", "tasks/{}"), ("PUT", "tasks/{}"), ("PATCH", "tasks/{}"), ("DELETE", "tasks/{}"),
            ("PATCH", "tasks/{}/complete"), ("POST", "tasks/{}/complete"), ("POST", "trash/{}/restore"),
            ("DELETE", "trash/{}"),
        ]:  # fmt: skip
            body = {"json": {"title": "x"}} if path == "tasks/{}" and method in {"PUT", "PATCH"} else {}
            for uid in (UNKNOWN, *MALFORMED):
                with subtests.test(method=method, path=path, uid=uid):
                    response = await alice.request(method, f"/api/alice/{path.format(uid)}", **body)
                    assert (response.status_code, response.json()["code"]) == (404, "task_not_found")


class TestBodies:
    async def test_a_uid_in_a_change_is_ignored(self, alice):
        task = (await post(alice, UID)).json()
        for sent in (UNKNOWN, None, "x", 7):
            response = await alice.patch(f"{alice.path}/{UID}", json={"uid": sent})
            assert (response.status_code, response.json()) == (200, task)

    async def test_a_batch_names_its_tasks_and_finds_them_by_uid(self, alice):
        sent = [
            {"op": "create", "task": {"title": "Named", "uid": UID.upper()}},
            {"op": "create", "task": {"title": "Again", "uid": UID}},
            {"op": "update", "id": UID, "changes": {"title": "Renamed"}},
            {"op": "complete", "id": UID.upper(), "completed": True},
            {"op": "delete", "id": UID},
            {"op": "restore", "id": UID},
        ]
        response = await alice.post(f"{alice.path}/batch", json={"operations": sent})
        assert response.status_code == 200
        results = response.json()["results"]
        assert [result["status"] for result in results] == [201, 200, 200, 200, 204, 200]
        assert results[1]["task"] == results[0]["task"]
        task = (await alice.get(f"{alice.path}/{UID}")).json()
        assert task == results[-1]["task"]
        assert (task["title"], task["completed"], task["version"]) == ("Renamed", True, 5)

    async def test_a_batch_does_not_find_its_own_task_by_a_guessed_id(self, alice):
        await alice.make()
        sent = [
            {"op": "create", "task": {"title": "Named", "uid": UID}},
            {"op": "update", "id": 2, "changes": {"title": "Guessed"}},
        ]
        response = await alice.post(f"{alice.path}/batch", json={"operations": sent, "atomic": False})
        assert [result["status"] for result in response.json()["results"]] == [201, 404]

    @pytest.mark.parametrize("atomic", [True, False])
    async def test_a_uid_in_the_trash_fails_in_a_batch(self, alice, atomic):
        await post(alice, UID)
        await alice.delete(f"{alice.path}/{UID}")
        sent = [{"op": "create", "task": {"title": title, "uid": uid}} for title, uid in (("a", UNKNOWN), ("b", UID))]
        response = await alice.post(f"{alice.path}/batch", json={"operations": sent, "atomic": atomic})
        if atomic:
            assert (response.status_code, response.json()["code"]) == (422, "batch_failed")
            assert IN_TRASH in response.json()["detail"]
        else:
            created, failed = response.json()["results"]
            assert (created["status"], failed["status"]) == (201, 409)
            assert (failed["error"]["code"], failed["error"]["detail"]) == ("in_trash", IN_TRASH)
        assert len((await alice.get(alice.path)).json()) == (0 if atomic else 1)

    async def test_a_malformed_uid_in_a_batch_is_refused(self, alice, refusal):
        for uid in MALFORMED:
            sent = [{"op": "delete", "id": uid}, {"op": "create", "task": {"title": "x", "uid": uid}}]
            response = await alice.post(f"{alice.path}/batch", json={"operations": sent})
            problem = refusal(response, 422, "validation_error", "operations[0].id", "operations[1].task.uid")
            assert problem["errors"][0]["message"] == "must be a task's id, a positive 64-bit integer, or its uid"
