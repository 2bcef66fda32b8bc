"""Repeated imports with an Idempotency-Key: one effect and one response."""

from __future__ import annotations

import asyncio

import pytest

IMPORT = "/api/me/import"
JSON = '{"tasks": [{"title": "A"}, {"title": "B"}]}'
BODIES = {"application/json": JSON, "text/csv": "title\r\nA\r\nB\r\n"}


async def send(caller, content=JSON, media_type="application/json", path=IMPORT, key="key"):
    return await caller.post(path, content=content, headers={"Content-Type": media_type, "Idempotency-Key": key})


async def titles(caller) -> list[str]:
    return [task["title"] for task in (await caller.get(caller.path, params={"order": "asc"})).json()]


@pytest.mark.parametrize("media_type", BODIES)
async def test_a_repeated_import_creates_nothing_and_gets_the_first_response(alice, private, media_type):
    first = await send(alice, BODIES[media_type], media_type)
    again = await send(alice, BODIES[media_type], media_type, path="/api/alice/import")
    assert first.json() == {"imported": 2, "skipped": 0}
    assert (again.status_code, again.content) == (first.status_code, first.content)
    assert again.headers["content-type"] == first.headers["content-type"] == "application/json"
    assert again.headers["idempotency-replayed"] == "true"
    assert "idempotency-replayed" not in first.headers
    private(again)
    assert await titles(alice) == ["A", "B"]
    assert (await alice.make("C"))["version"] == 3


@pytest.mark.parametrize(
    ("content", "path"),
    [
        ('{"tasks": [{"title": "C"}]}', IMPORT),
        (JSON.replace(" ", ""), IMPORT),  # the same tasks in other bytes
        (JSON, f"{IMPORT}?on_conflict=skip"),
    ],
)
async def test_another_body_or_query_under_the_same_key_is_refused(alice, refusal, content, path):
    await send(alice)
    refusal(await send(alice, content, path=path), 422, "idempotency_key_reused")
    assert await titles(alice) == ["A", "B"]


async def test_a_task_created_under_the_same_key_is_another_write(alice):
    await alice.post(alice.path, json={"title": "Before"}, headers={"Idempotency-Key": "key"})
    assert "idempotency-replayed" not in (await send(alice)).headers
    assert await titles(alice) == ["Before", "A", "B"]


async def test_of_fifty_concurrent_imports_with_one_key_one_is_performed(alice):
    answers = await asyncio.gather(*(send(alice) for _ in range(50)))
    assert {answer.status_code for answer in answers} <= {200, 409}
    assert sum(answer.status_code == 200 and "idempotency-replayed" not in answer.headers for answer in answers) == 1
    assert await titles(alice) == ["A", "B"]


async def test_an_empty_import_of_a_new_user_is_replayed(alice, refusal):
    first, again = await send(alice, '{"tasks": []}'), await send(alice, '{"tasks": []}')
    assert first.json() == {"imported": 0, "skipped": 0}
    assert (again.content, again.headers["idempotency-replayed"]) == (first.content, "true")
    refusal(await send(alice), 422, "idempotency_key_reused")


async def test_a_refused_file_leaves_its_key_unused(alice, connection, refusal):
    await connection.execute(
        "INSERT INTO users (id, created_at, written_at, revision, task_count) VALUES ('alice', now(), now(), 1, 9999)"
    )
    refusal(await send(alice), 409, "task_quota_exceeded")
    refusal(await send(alice, '{"tasks": [{"title": ""}]}'), 422, "validation_error", "tasks[0].title")
    assert await connection.fetchval("SELECT count(*) FROM idempotency_keys") == 0
    assert await titles(alice) == []
    assert (await send(alice, '{"tasks": [{"title": "A"}]}')).json() == {"imported": 1, "skipped": 0}


async def test_an_invalid_key_is_refused(alice, refusal):
    refusal(await send(alice, key="x" * 256), 422, "validation_error", "Idempotency-Key")
    assert await titles(alice) == []


async def test_large_files_are_compared_by_all_their_bytes(alice, refusal):
    task = '{"title": "A", "description": "' + "y" * 900 + '"}'
    large = f'{{"tasks": [{",".join([task] * 300)}]}}'
    first, again = await send(alice, large), await send(alice, large)
    assert first.json() == {"imported": 300, "skipped": 0}
    assert (again.content, again.headers["idempotency-replayed"]) == (first.content, "true")
    refusal(await send(alice, large.replace('y"}]}', 'z"}]}')), 422, "idempotency_key_reused")
