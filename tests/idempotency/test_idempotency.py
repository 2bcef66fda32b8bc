"""Repeated writes: one effect and one response for a day."""

from __future__ import annotations

import asyncio
from collections import Counter

import httpx
import pytest

from tests.locks import ADVISORY, WAITING

KEYS = ["a", "x" * 255, "550e8400-e29b-41d4-a716-446655440000", "with a space"]
WRITES = {
    "batch": ("/api/me/tasks/batch", {"operations": [{"op": "create", "task": {"title": "batch"}}]}),
    "import": ("/api/me/import", {"tasks": [{"title": "import"}]}),
    "task": ("/api/me/tasks", {"title": "task"}),
}
AGE = "UPDATE idempotency_keys SET created_at = now() - $1::text::interval"


async def send(caller, key="key", title="Once", **headers):
    return await caller.post(caller.path, json={"title": title}, headers={"Idempotency-Key": key, **headers})


async def write(caller, what):
    path, body = WRITES[what]
    return await caller.post(path, json=body, headers={"Idempotency-Key": "key"})


async def erase(caller):
    return await caller.request("DELETE", "/api/me", json={"confirm": caller.user_id})


async def titles(caller) -> list[str]:
    return [task["title"] for task in (await caller.get(caller.path)).json()]


def own(response) -> tuple:
    return response.status_code, response.content, response.headers["location"], response.headers["etag"]


@pytest.mark.parametrize("key", KEYS)
async def test_a_repeated_request_gets_the_first_response_again(alice, private, key):
    first = await send(alice, key)
    await alice.patch(f"{alice.path}/{first.json()['id']}", json={"title": "Changed since"})
    again = await send(alice, key)
    assert first.status_code == 201
    assert own(again) == own(first)
    assert again.headers["content-type"] == "application/json"
    assert again.headers["idempotency-replayed"] == "true"
    assert "idempotency-replayed" not in first.headers
    assert again.headers["x-request-id"] != first.headers["x-request-id"]
    private(again)
    assert await titles(alice) == ["Changed since"]


async def test_the_users_id_and_me_are_the_same_path(alice):
    first = await send(alice)
    again = await alice.post("/api/me/tasks", json={"title": "Once"}, headers={"Idempotency-Key": "key"})
    assert own(again) == own(first)


async def test_of_fifty_concurrent_requests_exactly_one_creates_the_task(alice):
    answers = await asyncio.gather(*(send(alice) for _ in range(50)))
    assert set(Counter(answer.status_code for answer in answers)) <= {201, 409}
    made = [answer for answer in answers if answer.status_code == 201]
    assert sum("idempotency-replayed" not in answer.headers for answer in made) == 1
    assert len({own(answer) for answer in [*made, await send(alice)]}) == 1
    assert await titles(alice) == ["Once"]


@pytest.mark.one_database(reason="locks")
async def test_a_second_request_while_the_first_runs_gets_retry_after(alice, connection, refusal, eventually):
    await alice.make("Before")
    async with connection.transaction():
        await connection.execute("SELECT FROM users WHERE id = 'alice' FOR UPDATE")
        first = asyncio.create_task(send(alice))
        await eventually(lambda: connection.fetchval(ADVISORY))
        second = await send(alice)
    refusal(second, 409, "request_in_progress")
    assert second.headers["retry-after"] == "1"
    assert own(await first) == own(await send(alice))


async def test_the_same_key_with_another_body_is_refused(alice, refusal):
    await send(alice)
    refusal(await send(alice, title="Twice"), 422, "idempotency_key_reused")
    assert await titles(alice) == ["Once"]


async def test_the_same_key_of_another_user_is_another_key(alice, bob):
    answers = [await send(alice), await send(bob)]
    assert all("idempotency-replayed" not in answer.headers for answer in answers)
    assert await titles(bob) == ["Once"]


async def test_a_repeated_toggle_is_not_undone_and_each_task_has_its_own_keys(alice):
    for task in (await alice.make("A"), await alice.make("B")):
        for replayed in (None, "true"):
            answer = await alice.post(f"{alice.path}/{task['id']}/complete", headers={"Idempotency-Key": "key"})
            assert answer.json()["id"] == task["id"]
            assert answer.json()["completed"] is True
            assert answer.headers.get("idempotency-replayed") == replayed


async def test_a_repeated_restore_is_neither_404_nor_performed_twice(alice, refusal):
    task = await alice.make("Old")
    await alice.delete(f"{alice.path}/{task['id']}")
    path, headers = f"/api/me/trash/{task['id']}/restore", {"Idempotency-Key": "key"}
    first = await alice.post(path, headers=headers)
    await alice.delete(f"{alice.path}/{task['id']}")
    again = await alice.post(path, headers=headers)
    assert (first.status_code, first.json()["version"]) == (200, 3)
    assert (again.status_code, again.content, again.headers["etag"]) == (200, first.content, first.headers["etag"])
    assert again.headers["idempotency-replayed"] == "true"
    assert await titles(alice) == [], "what was deleted since stays so"
    assert (await alice.post(path, headers={"Idempotency-Key": "another"})).json()["version"] == 5
    refusal(await alice.post(path, headers={"Idempotency-Key": "a third"}), 404, "task_not_found")
    refusal(await alice.post(path, headers={"Idempotency-Key": ""}), 422, "validation_error", "Idempotency-Key")


@pytest.mark.parametrize("key", ["", "x" * 256, "\u00e4".encode(), "a\tb"])
async def test_an_invalid_key_is_refused(alice, refusal, key):
    refusal(await send(alice, key), 422, "validation_error", "Idempotency-Key")
    assert await titles(alice) == []


async def test_two_keys_are_refused(alice, refusal):
    headers = [("Idempotency-Key", "a"), ("Idempotency-Key", "b")]
    response = await alice.post(alice.path, json={"title": "A"}, headers=headers)
    refusal(response, 422, "validation_error", "Idempotency-Key")


async def test_a_refused_request_leaves_its_key_unused(alice, connection, refusal):
    task = await alice.make()
    path, headers = f"{alice.path}/{task['id']}/complete", {"Idempotency-Key": "key"}
    refusal(await alice.post(path, headers=headers | {"If-Match": '"x"'}), 412, "version_mismatch")
    assert await connection.fetchval("SELECT count(*) FROM idempotency_keys") == 0
    assert (await alice.post(path, headers=headers)).json()["completed"] is True


@pytest.mark.parametrize(("age", "kept"), [("23 hours 59 minutes", ["Once"]), ("24 hours", ["Once", "Once"])])
async def test_an_answer_is_stored_for_a_day(alice, connection, age, kept):
    await send(alice)
    await connection.execute(AGE, age)
    latest = await send(alice)
    assert await titles(alice) == kept
    assert own(await send(alice)) == own(latest)


@pytest.mark.one_database(reason="locks")
async def test_a_client_that_disconnects_during_a_write_leaves_nothing_behind(alice, connection, eventually):
    await alice.make("Before")
    async with connection.transaction():
        await connection.execute("SELECT FROM users WHERE id = 'alice' FOR UPDATE")
        with pytest.raises(httpx.ReadTimeout):
            await alice.post(
                alice.path, json={"title": "Once"}, headers={"Idempotency-Key": "key"},
                timeout=httpx.Timeout(30, read=0.3),
            )  # fmt: skip
        await eventually(lambda: connection.fetchval(f"SELECT ({ADVISORY}) = 0"))
    assert (await send(alice)).status_code == 201
    assert await titles(alice) == ["Once", "Before"]


async def test_erasing_a_user_erases_the_keys_and_a_repeated_request_is_performed_again(alice, connection):
    for what in WRITES:
        await write(alice, what)
    assert (await erase(alice)).status_code == 204
    assert await connection.fetchval("SELECT count(*) FROM idempotency_keys") == 0
    for what in WRITES:
        anew, again = await write(alice, what), await write(alice, what)
        assert anew.is_success
        assert "idempotency-replayed" not in anew.headers
        assert (again.content, again.headers["idempotency-replayed"]) == (anew.content, "true")
    assert sorted(await titles(alice)) == [*WRITES]


@pytest.mark.parametrize(("order", "left"), [((send, erase), []), ((erase, send), ["Once"])], ids=["write", "erasure"])
@pytest.mark.one_database(reason="locks")
async def test_of_a_keyed_write_and_an_erasure_the_first_in_line_is_done_first(
    alice, connection, eventually, order, left
):
    await alice.make("Before")
    started = []
    async with connection.transaction():
        await connection.execute("SELECT FROM users WHERE id = 'alice' FOR UPDATE")
        for do in order:
            started.append(asyncio.create_task(do(alice)))
            waiting = f"SELECT ({WAITING}) = {len(started)}"
            await eventually(lambda waiting=waiting: connection.fetchval(waiting))
    assert sorted([(await answer).status_code for answer in started]) == [201, 204]
    assert await titles(alice) == left
    assert await connection.fetchval("SELECT count(*) FROM idempotency_keys") == len(left)
    assert ("idempotency-replayed" in (await send(alice)).headers) == bool(left)


async def test_concurrent_erasures_and_keyed_writes_succeed_and_keep_the_counts_exact(alice, connection):
    for _ in range(5):
        answers = await asyncio.gather(
            *(write(alice, what) for what in WRITES for _ in range(3)), *(erase(alice) for _ in range(5))
        )
        assert {answer.status_code for answer in answers} <= {200, 201, 204, 409}
        left, kept = sorted(await titles(alice)), await connection.fetch("SELECT route FROM idempotency_keys")
        # A write has its task after the erasures if and only if it has its key.
        assert {WRITES[what][0] for what in left} == {
            route.replace("POST /api/{user_id}", "/api/me") for (route,) in kept
        }
        owner = await connection.fetchrow("SELECT revision, task_count FROM users")
        assert owner["task_count"] == len(left) <= owner["revision"] if owner else left == []
    assert (await erase(alice)).status_code == 204
    assert await connection.fetchval("SELECT count(*) FROM idempotency_keys") == 0


@pytest.mark.parametrize("headers", [{}, {"Idempotency-Key": "key"}], ids=["without a key", "with a key"])
@pytest.mark.parametrize("what", ["task", "batch", "import", "complete", "restore"])
async def test_a_write_is_one_statement_and_so_is_its_replay(alice, statements, what, headers):
    task, deleted = await alice.make(), await alice.make()
    await alice.delete(f"{alice.path}/{deleted['id']}")
    paths = {"complete": f"{alice.path}/{task['id']}/complete", "restore": f"/api/me/trash/{deleted['id']}/restore"}
    path, body = WRITES.get(what) or (paths[what], None)
    for _ in range(2 if headers else 1):
        with statements() as seen:
            answer = await alice.post(path, json=body, headers=headers)
        assert answer.is_success
        assert len(seen) == 1


async def test_an_error_is_the_same_with_and_without_a_key(alice, refusal):
    task = await alice.make()
    path, etag = f"{alice.path}/{task['id']}/complete", f'"{task["version"]}.{task["uid"][-8:]}"'
    await alice.patch(f"{alice.path}/{task['id']}", json={"title": "Since"})
    sent = [
        (path, {"If-Match": etag}, None, 412, "version_mismatch"),
        (path, {"If-Match": 'W/"7"'}, None, 412, "version_mismatch"),
        (path, {"If-None-Match": "*"}, None, 412, "version_mismatch"),
        (path, {}, {"completed": True, "if_version": task["version"]}, 412, "version_mismatch"),
        (f"{alice.path}/999/complete", {}, None, 404, "task_not_found"),
        ("/api/me/trash/999/restore", {}, None, 404, "task_not_found"),
    ]
    for path, headers, body, status, code in sent:
        same = {"X-Request-ID": "same", **headers}
        bare = await alice.post(path, json=body, headers=same)
        keyed = await alice.post(path, json=body, headers={**same, "Idempotency-Key": "key"})
        refusal(bare, status, code)
        assert (keyed.status_code, keyed.content) == (status, bare.content)


async def test_a_replayed_failure_of_an_operation_names_the_first_request(alice):
    body = {"atomic": False, "operations": [{"op": "delete", "id": 999}, {"op": "delete"}]}
    first, again = [
        await alice.post(
            f"{alice.path}/batch", json=body, headers={"Idempotency-Key": "key", "X-Request-ID": f"request-{number}"}
        )
        for number in (1, 2)
    ]
    assert [result["error"]["request_id"] for result in first.json()["results"]] == ["request-1"] * 2
    assert (again.content, again.headers["x-request-id"]) == (first.content, "request-2")


async def test_a_replay_is_marked_even_if_all_attempts_have_the_same_request_id(alice):
    first, again = [await send(alice, **{"X-Request-ID": "mine"}) for _ in range(2)]
    assert "idempotency-replayed" not in first.headers
    assert (again.content, again.headers["idempotency-replayed"]) == (first.content, "true")
