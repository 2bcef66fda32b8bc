"""Erasing a user: only on purpose, only by the user, and completely."""

from __future__ import annotations

import asyncio

import pytest

from service.lists.models import List
from service.operations import purge
from service.users import queryset as user_queryset
from service.web import responses
from tests.locks import WAITING

# An id that no other value contains by chance, with characters that an address may contain.
ADA = "auth0|Ada.7f3a91'%_\\x"
FILL = """
INSERT INTO tasks (user_id, id, uid, title_key, tag_keys,
    title, description, completed, priority, tags, created_at, updated_at, version, deleted_at)
SELECT $1, 1000 + n, gen_random_uuid(),
    '', '{}', 'Task ' || n, repeat('x', 200), false, 0, '{home,x}', now(), now(), 1000 + n,
       CASE WHEN n % 2 = 0 THEN now() END
FROM generate_series(1, $2::int) AS n
"""
ANSWER = """
INSERT INTO idempotency_keys (user_id, route, key, body_digest, request_id, answer, created_at)
VALUES ($1, 'POST /api/' || $1 || '/tasks', 'key-of-' || $1, '', 'of-' || $1, '{"user_id": "' || $1 || '"}', now())
"""


def erase(caller, **body: object):
    return caller.request("DELETE", "/api/me", json=body)


async def found(connection, text: str) -> list[str]:
    """Return the columns of all tables, of any type, whose values contain `text`."""
    tables = await connection.fetch(
        """
        SELECT format('%I.%I', nspname, relname) AS name, array_agg(quote_ident(attname)) AS columns
        FROM pg_namespace
        JOIN pg_class ON relnamespace = pg_namespace.oid AND relkind IN ('r', 'p', 'v', 'm', 'f')
        JOIN pg_attribute ON attrelid = pg_class.oid AND attnum > 0 AND NOT attisdropped
        WHERE nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
        GROUP BY 1
        """
    )
    assert sum(len(table["columns"]) for table in tables) > 25
    escaped = text.replace("\\", "\\\\")  # as JSON and arrays escape it
    names = []
    for table in tables:
        contains = (f"strpos({column}::text, $1) > 0 OR strpos({column}::text, $2) > 0" for column in table["columns"])
        columns = ", ".join(f"bool_or({condition})" for condition in contains)
        row = await connection.fetchrow(f"SELECT {columns} FROM {table['name']}", text, escaped)
        names += [f"{table['name']}.{column}" for column, one in zip(table["columns"], row, strict=True) if one]
    return names


@pytest.fixture
async def ada(caller, connection, pool):
    """Ada has left her id in every place where a user can."""
    client = caller(ADA, email="ada@example.com", name=f"Name of {ADA}")
    lists = List.objects.for_user(ADA, using=pool)
    made = [await lists.create({"name": f"List of {ADA}"}) for _ in range(3)]
    await lists.delete(made[0].id, tasks=None, trash_quota=10_000)
    parent = await client.make(f"Title of {ADA}", description=ADA, tags=[f"#{ADA}"], list_id=made[1].id)
    await client.make("A subtask", parent_id=parent["id"])
    task = await client.make(f"Title of {ADA}")
    await client.delete(f"{client.path}/{task['id']}")
    await connection.execute(ANSWER, ADA)
    return client


async def test_nothing_of_an_erased_user_remains_in_any_column_of_any_table(ada, bob, connection, private):
    kept = await bob.make("Bob's")
    assert set(await found(connection, ADA)) == {
        "public.users.id", "public.users.name", "public.tasks.user_id", "public.tasks.title",
        "public.tasks.description", "public.tasks.tags", "public.tasks.document", "public.idempotency_keys.user_id",
        "public.idempotency_keys.route", "public.idempotency_keys.key", "public.idempotency_keys.request_id",
        "public.idempotency_keys.answer", "public.lists.user_id", "public.lists.name",
    }  # fmt: skip
    assert await found(connection, "ada@example.com") == ["public.users.email"]
    response = await erase(ada, confirm=ADA)
    assert response.status_code == 204
    assert response.content == b""
    private(response)
    assert await found(connection, ADA) == []
    assert await found(connection, "ada@example.com") == []
    exported = (await ada.get("/api/me/export")).json()
    assert (exported["user"], exported["lists"], exported["tasks"]) == (None, [], [])
    assert (await bob.get(bob.path)).json() == [kept]


async def test_erasing_a_user_twice_or_without_data_is_204(ada, caller):
    for client, user_id in ((ada, ADA), (ada, ADA), (caller("nobody"), "nobody")):
        assert (await erase(client, confirm=user_id)).status_code == 204


async def test_the_path_may_name_the_user_in_full(alice):
    await alice.make()
    assert (await alice.request("DELETE", "/api/alice", json={"confirm": "alice"})).status_code == 204
    assert (await alice.get(alice.path)).json() == []


async def test_an_erasure_with_another_confirmation_is_refused(alice, refusal, statements, subtests):
    task = await alice.make()
    for body, fields in [
        ({}, ["confirm"]),
        ({"confirm": "bob"}, ["confirm"]),
        ({"confirm": "me"}, ["confirm"]),
        ({"confirm": "Alice"}, ["confirm"]),
        ({"confirm": " alice"}, ["confirm"]),
        ({"confirm": True}, ["confirm"]),
        ({"confirm": None}, ["confirm"]),
        ({"confirm": "alice", "tasks": True}, ["tasks"]),
        (["alice"], ["body"]),
    ]:
        with subtests.test(body=body, fields=fields):
            with statements() as seen:
                response = await alice.request("DELETE", "/api/me", json=body)
            refusal(response, 422, "validation_error", *fields)
            assert seen == []
            assert (await alice.get(alice.path)).json() == [task]


async def test_an_erasure_without_a_body_is_refused(alice, refusal):
    task = await alice.make()
    for path in ("/api/me", "/api/me?confirm=alice", "/api/alice/"):
        body = refusal(await alice.delete(path), 422, "validation_error", "confirm")
        assert "is required" in body["detail"]
    refusal(await alice.request("DELETE", "/api/me", content=b"{", headers={"Content-Type": "application/json"}),
            400, "malformed_json")  # fmt: skip
    refusal(await alice.request("DELETE", "/api/me", content=b'{"confirm": "alice"}'), 415, "unsupported_media_type")
    assert (await alice.get(alice.path)).json() == [task]


async def test_another_user_cannot_erase_a_user(alice, bob, refusal):
    task = await alice.make()
    refusal(await bob.request("DELETE", "/api/alice", json={"confirm": "alice"}), 403, "forbidden")
    refusal(await bob.request("DELETE", "/api/me", json={"confirm": "alice"}), 422, "validation_error", "confirm")
    assert (await alice.get(alice.path)).json() == [task]


async def test_an_erased_user_who_returns_starts_without_data(ada, connection):
    await erase(ada, confirm=ADA)
    assert (await ada.make())["version"] == 1
    assert await connection.fetchval("SELECT task_count FROM users WHERE id = $1", ADA) == 1


async def test_concurrent_erasures_during_writes_all_succeed(alice):
    made = [await alice.make() for _ in range(10)]
    answers = await asyncio.gather(
        *(alice.patch(f"{alice.path}/{task['id']}/complete") for task in made),
        *(erase(alice, confirm="alice") for _ in range(5)),
        *(alice.post(alice.path, json={"title": "New"}) for _ in range(5)),
    )
    assert {answer.status_code for answer in answers[:10]} <= {200, 404}
    assert [answer.status_code for answer in answers[10:]] == [204] * 5 + [201] * 5
    assert (await erase(alice, confirm="alice")).status_code == 204
    assert (await alice.get(alice.path)).json() == []


@pytest.fixture
def small_pages(monkeypatch):
    """Remove at most 50 tasks with one statement, and at most 100 live tasks in one transaction."""
    monkeypatch.setattr(user_queryset, "PAGE", 50)
    monkeypatch.setattr(user_queryset, "LIVE_AT_ONCE", 100)


@pytest.mark.usefixtures("small_pages")
async def test_an_erasure_of_much_data_takes_statements_of_limited_size(alice, connection, statements):
    await alice.make()
    await connection.execute(FILL, "alice", 200)
    await connection.execute("UPDATE users SET revision = 1200, task_count = 101, trash_count = 100")
    with statements() as seen:
        assert (await erase(alice, confirm="alice")).status_code == 204
    assert sum(text == user_queryset.SWEEP for text, _ in seen) == 3  # two pages of 50 tasks, and none
    assert await connection.fetchval("SELECT count(*) FROM tasks") == 0
    assert await connection.fetchval("SELECT count(*) FROM users") == 0


class TestInterrupted:
    """An erasure without time for all of its pages, like one whose process is killed."""

    @pytest.fixture
    async def half_erased(self, alice, connection, monkeypatch, small_pages):
        await alice.make("Live")
        await connection.execute(FILL, "alice", 120)
        await connection.execute("UPDATE users SET revision = 1120, task_count = 61, trash_count = 60")
        position = (await alice.get(f"{alice.path}/changes?limit=1")).json()["next"]
        etag = (await alice.get(f"{alice.path}?limit=1")).headers["etag"]
        with monkeypatch.context() as patch:
            patch.setattr(responses, "WORKING_TIME", -1.0)
            response = await erase(alice, confirm="alice")
        assert response.status_code == 202
        assert response.headers["retry-after"] == "1"
        assert response.json() == {"done": False}
        assert await connection.fetchval("SELECT count(*) FROM tasks WHERE deleted_at IS NOT NULL") == 10
        return position, etag

    async def test_after_the_first_request_all_data_is_unreachable(self, alice, half_erased, connection, refusal):
        position, etag = half_erased
        left = await connection.fetchval("SELECT max(id) FROM tasks")
        assert (await alice.get(alice.path)).json() == []
        assert (await alice.get(f"{alice.path}?limit=1", headers={"If-None-Match": etag})).status_code == 200
        assert (await alice.get("/api/me/trash")).json() == []
        assert (await alice.get("/api/me/trash?limit=5&count=true")).headers["x-total-count"] == "0"
        refusal(await alice.post(f"/api/me/trash/{left}/restore"), 404, "task_not_found")
        refusal(await alice.delete(f"/api/me/trash/{left}"), 404, "task_not_found")
        assert (await alice.delete("/api/me/trash")).json() == {"deleted": 0}
        batch = {"atomic": False, "operations": [{"op": "restore", "id": left}]}
        assert (await alice.post(f"{alice.path}/batch", json=batch)).json()["results"][0]["status"] == 404
        exported = (await alice.get("/api/me/export")).json()
        assert exported["tasks"] == []
        assert (exported["user"]["email"], exported["user"]["name"]) == (None, None)
        refusal(await alice.get(f"{alice.path}/changes?since={position}"), 410, "sync_position_gone")
        assert (await alice.get(f"{alice.path}/changes")).json()["changes"] == []

    async def test_an_import_does_not_skip_erased_tasks(self, alice, half_erased, connection):
        known = await connection.fetchrow("SELECT title, created_at FROM tasks LIMIT 1")
        line = {"title": known["title"], "created_at": known["created_at"].isoformat()}
        response = await alice.post("/api/me/import?on_conflict=skip", json={"tasks": [line]})
        assert response.json() == {"imported": 1, "skipped": 0}

    async def test_a_second_request_finishes_an_erasure(self, alice, half_erased, connection):
        assert (await erase(alice, confirm="alice")).status_code == 204
        assert await found(connection, "alice") == []

    async def test_the_upkeep_finishes_an_erasure(self, pool, alice, half_erased, connection):
        assert await purge.finish_erasures(pool) == 10
        assert await purge.finish_erasures(pool) == 0
        assert await found(connection, "alice") == []

    async def test_the_upkeep_keeps_tasks_written_after_an_erasure(self, pool, alice, half_erased, connection):
        kept, trashed = await alice.make("Since then"), await alice.make("And deleted since then")
        await alice.delete(f"{alice.path}/{trashed['id']}")
        assert await purge.finish_erasures(pool) == 10
        assert (await alice.get(alice.path)).json() == [kept]
        assert [task["id"] for task in (await alice.get("/api/me/trash")).json()] == [trashed["id"]]
        counts = await connection.fetchrow("SELECT task_count, trash_count, erased FROM users WHERE id = 'alice'")
        assert tuple(counts) == (1, 1, 0)

    async def test_a_purge_leaves_erased_tasks_to_the_upkeep(self, pool, alice, half_erased, connection, settings):
        await connection.execute("UPDATE tasks SET deleted_at = now() - interval '40 days'")
        assert await purge.empty_trash(pool, settings) == 0
        assert await purge.finish_erasures(pool) == 10


@pytest.mark.one_database(reason="locks")
@pytest.mark.parametrize("swept", [False, True], ids=["the user's row is left", "the user's row is gone"])
async def test_a_restore_that_waits_for_an_erasure_finds_no_task(alice, connection, refusal, eventually, swept):
    task = await alice.make()
    await alice.delete(f"{alice.path}/{task['id']}")
    path = f"/api/me/trash/{task['id']}/restore"

    async def both_wait() -> bool:
        return await connection.fetchval(WAITING) == 2

    async with connection.transaction():
        await connection.execute("SELECT erase_owner('alice')")
        while swept and await connection.fetchval("SELECT count(*) FROM users WHERE id = 'alice'"):
            await connection.execute("SELECT sweep_erased('alice', 1000)")
        sent = [{}, {"headers": {"Idempotency-Key": "restore-1"}}]
        restoring = [asyncio.create_task(alice.post(path, **options)) for options in sent]
        await eventually(both_wait)
    for response in await asyncio.gather(*restoring):
        refusal(response, 404, "task_not_found")
    assert await connection.fetchval("SELECT count(*) FROM tasks WHERE deleted_at IS NULL") == 0


@pytest.mark.usefixtures("small_pages")
async def test_more_live_tasks_than_one_transaction_removes_are_erased_in_pages(alice, connection, statements):
    await alice.make()
    await connection.execute(FILL, "alice", 400)
    await connection.execute("UPDATE users SET revision = 1400, task_count = 201, trash_count = 200")
    with statements() as seen:
        assert (await erase(alice, confirm="alice")).status_code == 204
    assert sum(text == user_queryset.LIVE_PAGE for text, _ in seen) > 1
    assert await found(connection, "alice") == []
