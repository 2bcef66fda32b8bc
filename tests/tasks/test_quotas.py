"""The quotas for the trash and the stored answers of one user, and the errors beyond them."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from service.idempotency import replay
from service.operations import purge
from service.tasks import writes as task_writes
from service.web import responses

WHEN = "2026-11-01T10:00:00Z"
COUNTED = """
SELECT task_count, trash_count,
       (SELECT count(*) FROM tasks WHERE user_id = users.id AND deleted_at IS NULL) AS tasks,
       (SELECT count(*) FROM tasks WHERE user_id = users.id AND deleted_at IS NOT NULL) AS trash
FROM users WHERE id = 'alice'
"""
KEPT = """
SELECT answer_count, answer_bytes, (SELECT count(*) FROM idempotency_keys WHERE user_id = users.id) AS keys,
       (SELECT coalesce(sum(size), 0) FROM idempotency_keys WHERE user_id = users.id) AS bytes
FROM users WHERE id = 'alice'
"""


@pytest.fixture
def allow(app, settings, monkeypatch):
    """`allow(trash_quota=2)` runs the service with other settings."""

    def change(**values: int) -> None:
        monkeypatch.setattr(app.ctx, "settings", replace(settings, **values))

    return change


@pytest.fixture
async def counted(connection):
    """Return a function that counts alice's tasks, live and deleted, and checks that her row has the same counts."""

    async def count() -> tuple[int, int]:
        row = await connection.fetchrow(COUNTED)
        assert (row["task_count"], row["trash_count"]) == (row["tasks"], row["trash"])
        return row["tasks"], row["trash"]

    return count


@pytest.fixture
async def full(alice, allow, counted):
    """Alice has three live tasks, two of them completed, and a full trash of two tasks."""
    live = [await alice.make(f"Live {number}", completed=number < 2) for number in range(3)]
    gone = [await alice.make(f"Gone {number}") for number in range(2)]
    for task in gone:
        await alice.delete(f"{alice.path}/{task['id']}")
    allow(trash_quota=2)
    assert await counted() == (3, 2)
    return live, gone


class TestAFullTrash:
    async def test_a_full_trash_refuses_deletions_with_an_error_that_says_what_to_do(
        self, alice, full, counted, refusal
    ):
        live, _ = full
        before = (await alice.get(alice.path)).headers["etag"]
        batch = [{"op": "delete", "id": live[0]["id"]}]
        answers = [
            await alice.delete(f"{alice.path}/{live[0]['id']}"),
            await alice.delete(f"{alice.path}?status=completed"),
            await alice.delete(f"{alice.path}?status=all"),
            await alice.post("/api/me/import", json={"tasks": [{"title": "A", "deleted_at": WHEN}]}),
            await alice.post("/api/me/import", content=f"title,deleted_at\r\nA,{WHEN}\r\n",
                             headers={"Content-Type": "text/csv"}),
        ]  # fmt: skip
        for answer in answers:
            body = refusal(answer, 409, "trash_full")
            assert "2 tasks" in body["detail"]
            assert "DELETE /api/me/trash" in body["detail"]
        body = refusal(await alice.post(f"{alice.path}/batch", json={"operations": batch}), 422, "batch_failed")
        assert (body["error"]["code"], body["error"]["status"]) == ("trash_full", 409)
        assert await counted() == (3, 2)
        assert (await alice.get(alice.path)).headers["etag"] == before

    async def test_a_full_trash_affects_no_other_operation(self, alice, full, counted):
        live, _ = full
        assert (await alice.patch(f"{alice.path}/{live[0]['id']}", json={"title": "B"})).status_code == 200
        assert (await alice.post("/api/me/import", json={"tasks": [{"title": "A"}]})).status_code == 200
        assert (await alice.post(alice.path, json={"title": "A"})).status_code == 201
        assert (await alice.delete(f"{alice.path}/999999")).status_code == 404
        stale = await alice.delete(f"{alice.path}/{live[1]['id']}", headers={"If-Match": '"999"'})
        assert stale.status_code == 412
        assert await counted() == (5, 2)

    async def test_a_mass_deletion_into_a_nearly_full_trash_is_all_or_nothing(self, alice, full, counted, refusal):
        _, gone = full
        await alice.delete(f"/api/me/trash/{gone[0]['id']}")
        refusal(await alice.delete(f"{alice.path}?status=completed"), 409, "trash_full")
        assert await counted() == (3, 1)

    @pytest.mark.parametrize("verb", ["empty", "destroy", "restore", "restore in a batch"])
    async def test_a_deletion_succeeds_again_after_the_trash_has_room(self, alice, full, counted, verb):
        live, gone = full
        one = f"/api/me/trash/{gone[0]['id']}"
        if verb == "empty":
            assert (await alice.delete("/api/me/trash")).json() == {"deleted": 2}
        elif verb == "destroy":
            await alice.delete(one)
        elif verb == "restore":
            await alice.post(f"{one}/restore")
        else:
            await alice.post(f"{alice.path}/batch", json={"operations": [{"op": "restore", "id": gone[0]["id"]}]})
        await counted()
        assert (await alice.delete(f"{alice.path}/{live[2]['id']}")).status_code == 204
        await counted()

    async def test_the_purge_and_an_erasure_make_room_in_the_trash(self, app, alice, full, counted, connection):
        await connection.execute(
            "UPDATE tasks SET deleted_at = now() - interval '31 days' WHERE deleted_at IS NOT NULL"
        )
        assert await purge.empty_trash(app.ctx.database, app.ctx.settings) == 2
        assert await counted() == (3, 0)
        assert (await alice.delete(f"{alice.path}?status=completed")).json() == {"deleted": 2}
        await alice.request("DELETE", "/api/me", json={"confirm": "alice"})
        await alice.make()
        assert await counted() == (1, 0)

    async def test_a_batch_deletes_as_many_as_there_is_room_for(self, alice, allow, counted):
        made = [await alice.make(f"Task {number}") for number in range(4)]
        allow(trash_quota=2)
        operations = [{"op": "delete", "id": task["id"]} for task in made]
        operations[0]["if_version"] = 77
        response = await alice.post(f"{alice.path}/batch", json={"atomic": False, "operations": operations})
        assert [result["status"] for result in response.json()["results"]] == [412, 204, 204, 409]
        assert response.json()["results"][3]["error"]["code"] == "trash_full"
        assert await counted() == (2, 2)

    async def test_concurrent_deletions_never_exceed_the_trash_quota(self, alice, allow, counted):
        made = [await alice.make(f"Task {number}") for number in range(12)]
        allow(trash_quota=5)
        answers = await asyncio.gather(*(alice.delete(f"{alice.path}/{task['id']}") for task in made))
        assert sorted(answer.status_code for answer in answers) == [204] * 5 + [409] * 7
        assert await counted() == (7, 5)

    async def test_an_import_counts_deleted_tasks_against_the_trash_quota(self, alice, allow, counted, refusal):
        tasks = [{"title": "A"}, {"title": "B", "deleted_at": WHEN}, {"title": "C", "deleted_at": WHEN}]
        allow(trash_quota=1)
        refusal(await alice.post("/api/me/import", json={"tasks": tasks}), 409, "trash_full")
        allow(trash_quota=4)
        for _ in range(2):
            assert (await alice.post("/api/me/import", json={"tasks": tasks})).status_code == 200
        refusal(await alice.post("/api/me/import", json={"tasks": tasks}), 409, "trash_full")
        assert await counted() == (2, 4)


async def test_a_trash_that_takes_longer_than_a_request_is_emptied_by_several(alice, connection, monkeypatch):
    monkeypatch.setattr(task_writes, "PAGE", 50)
    await alice.make()
    await connection.execute(
        """
        INSERT INTO tasks (user_id, id, uid, title_key, tag_keys,
            title, completed, priority, tags, created_at, updated_at, version, deleted_at)
        SELECT 'alice', 1 + n, gen_random_uuid(),
            '', '{}', 'Task', false, 0, '{}', now(), now(), 1 + n, now() FROM generate_series(1, 120) AS n
        """
    )
    await connection.execute("UPDATE users SET revision = 121, trash_count = 120")
    with monkeypatch.context() as patch:
        patch.setattr(responses, "WORKING_TIME", -1.0)
        response = await alice.delete("/api/me/trash")
    assert (response.status_code, response.json(), response.headers["retry-after"]) == (202, {"deleted": 50}, "1")
    response = await alice.delete("/api/me/trash")
    assert (response.status_code, response.json()) == (200, {"deleted": 70})
    assert await connection.fetchval("SELECT trash_count FROM users") == 0


async def test_tasks_deleted_while_the_owners_clock_is_ahead_are_purged_in_time(pool, alice, connection, settings):
    made = [await alice.make(f"Task {number}") for number in range(4)]
    await connection.execute(
        "UPDATE users SET written_at = now() + interval '400 days'"
    )  # a jump of the clock, and back
    await alice.delete(f"{alice.path}/{made[0]['id']}")
    await alice.post(f"{alice.path}/batch", json={"operations": [{"op": "delete", "id": made[1]["id"]}]})
    await alice.delete(f"{alice.path}?status=all")
    await alice.post("/api/me/import", json={"tasks": [{"title": "A", "deleted_at": "2999-01-01T00:00:00Z"}]})
    assert await purge.empty_trash(pool, replace(settings, trash_retention_days=0)) == 5
    assert await connection.fetchval("SELECT count(*) FROM tasks") == 0


class TestKeptAnswers:
    @pytest.fixture
    async def kept(self, connection):
        """Return a function that counts alice's stored answers, and checks that her row has the same count."""

        async def count() -> int:
            row = await connection.fetchrow(KEPT)
            assert (row["answer_count"], row["answer_bytes"]) == (row["keys"], row["bytes"])
            return row["keys"]

        return count

    async def send(self, caller, key: str, title: str = "A task"):
        return await caller.post(caller.path, json={"title": title}, headers={"Idempotency-Key": key})

    async def test_a_write_beyond_the_key_quota_is_refused_with_an_error_that_says_what_to_do(
        self, alice, monkeypatch, kept, refusal
    ):
        monkeypatch.setattr(replay, "KEYS_KEPT", 2)
        for key in ("a", "b"):
            assert (await self.send(alice, key)).status_code == 201
        body = refusal(await self.send(alice, "c"), 409, "idempotency_full")
        assert "without a key" in body["detail"]
        assert await kept() == 2
        assert len((await alice.get(alice.path)).json()) == 2
        assert (await self.send(alice, "a")).headers["idempotency-replayed"] == "true"
        assert (await alice.post(alice.path, json={"title": "Without a key"})).status_code == 201

    async def test_a_write_beyond_the_byte_quota_is_refused(self, alice, allow, kept, refusal):
        operations = [{"op": "create", "task": {"title": "😀" * 200, "description": "😀" * 1000}}] * 100
        send = [
            await alice.post(f"{alice.path}/batch", json={"operations": operations}, headers={"Idempotency-Key": key})
            for key in "ab"
        ]
        size = len(send[0].content)
        assert size > 400_000
        allow(idempotency_bytes=int(size * 2.5))
        response = await alice.post(
            f"{alice.path}/batch", json={"operations": operations}, headers={"Idempotency-Key": "c"}
        )
        refusal(response, 409, "idempotency_full")
        assert await kept() == 2
        assert len((await alice.get(alice.path)).json()) == 200

    async def test_expired_keys_make_room_without_the_purge(self, alice, monkeypatch, kept, connection):
        monkeypatch.setattr(replay, "KEYS_KEPT", 3)
        for key in ("a", "b", "c"):
            await self.send(alice, key)
        await connection.execute(
            "UPDATE idempotency_keys SET created_at = now() - interval '25 hours' WHERE key <> 'c'"
        )
        assert (await self.send(alice, "a")).headers.get("idempotency-replayed") is None
        assert await kept() == 2

    async def test_concurrent_requests_never_exceed_the_key_quota(self, alice, monkeypatch, kept):
        await alice.make()
        monkeypatch.setattr(replay, "KEYS_KEPT", 5)
        answers = await asyncio.gather(*(self.send(alice, f"key {number}") for number in range(12)))
        assert sorted(answer.status_code for answer in answers) == [201] * 5 + [409] * 7
        assert await kept() == 5

    async def test_an_erasure_removes_all_stored_answers(self, alice, kept):
        await self.send(alice, "a")
        await alice.request("DELETE", "/api/me", json={"confirm": "alice"})
        await self.send(alice, "b")
        assert await kept() == 1
