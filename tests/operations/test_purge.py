"""The purge of the trash: removed and kept tasks, one process at a time, and daily runs."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace

import asyncpg
import pytest

from service.database import credentials
from service.database.client import FairClient
from service.operations import purge, retention
from tests.locks import WAITING

FILL = """
INSERT INTO tasks (user_id, id, uid, title_key, tag_keys,
    title, completed, priority, tags, created_at, updated_at, version, deleted_at)
SELECT $1, 1000 + n + 10000 * $2, gen_random_uuid(),
    '', '{}', 'A task', false, 0, '{}', now(), now(), 1000 + n + 10000 * $2, now() - $2 * interval '1 day'
FROM generate_series(1, $3::int) AS n
"""
COUNT = """
UPDATE users SET
    trash_count = (SELECT count(*) FROM tasks WHERE user_id = users.id AND deleted_at IS NOT NULL),
    answer_count = (SELECT count(*) FROM idempotency_keys WHERE user_id = users.id),
    answer_bytes = (SELECT coalesce(sum(size), 0) FROM idempotency_keys WHERE user_id = users.id)
"""

ANSWER = """
INSERT INTO idempotency_keys (user_id, route, key, body_digest, request_id, answer, created_at)
VALUES ($1, 'POST /tasks', $2::int || ' hours', '', 'x', '', now() - $2 * interval '1 hour')
"""


@pytest.fixture
async def trash(alice, bob, connection) -> None:
    """Alice and Bob each have a live task, 3 tasks in the trash for 29 days, and 3 for 31."""
    for caller in (alice, bob):
        await caller.make("Live")
        for days in (29, 31):
            await connection.execute(FILL, caller.user_id, days, 3)
    await connection.execute(COUNT)


async def left(connection: asyncpg.Connection) -> list[tuple[str, int | None]]:
    """Return every task with its owner and its days in the trash."""
    rows = await connection.fetch(
        "SELECT user_id, round(extract(epoch FROM now() - deleted_at) / 86400)::int AS days FROM tasks "
        "ORDER BY user_id, days"
    )
    return [tuple(row) for row in rows]


KEPT = [("alice", 29)] * 3 + [("alice", None), *[("bob", 29)] * 3, ("bob", None)]


async def test_the_purge_removes_only_tasks_older_than_the_retention(pool, settings, trash, connection):
    await connection.execute("UPDATE users SET forgotten = 1000000 WHERE id = 'bob'")
    before = [dict(user) for user in await connection.fetch("SELECT * FROM users ORDER BY id")]
    assert [user["forgotten"] for user in before] == [0, 1_000_000]
    assert await purge.empty_trash(pool, settings) == 6
    assert await left(connection) == KEPT
    assert await purge.empty_trash(pool, settings) == 0
    before[0]["forgotten"] = 1000 + 3 + 310_000  # the newest version of the removed tasks
    for user in before:
        user["trash_count"] = 3
    assert [dict(user) for user in await connection.fetch("SELECT * FROM users ORDER BY id")] == before


async def test_only_stored_answers_older_than_a_day_are_forgotten(pool, settings, trash, connection, statements):
    for user_id, hours in (("alice", 23), ("alice", 25), ("bob", 25), ("bob", 26)):
        await connection.execute(ANSWER, user_id, hours)
    await connection.execute(COUNT)
    with statements() as seen:
        assert await purge.forget_answers(pool) == 3
    kept = await connection.fetch("SELECT user_id, key, size FROM idempotency_keys")
    assert [tuple(row)[:2] for row in kept] == [("alice", "23 hours")]
    counts = await connection.fetch("SELECT answer_count, answer_bytes FROM users ORDER BY id")
    assert [tuple(row) for row in counts] == [(1, kept[0]["size"]), (0, 0)]
    assert [arguments[0] for text, arguments in seen if "forget_answers($1" in text] == ["alice", "bob"]
    assert len(await left(connection)) == 14


async def test_the_retention_is_a_setting(pool, settings, trash, connection):
    assert await purge.empty_trash(pool, replace(settings, trash_retention_days=1)) == 12
    assert await left(connection) == [("alice", None), ("bob", None)]


async def test_each_transaction_of_the_purge_deletes_a_batch_of_one_user(pool, settings, trash, connection, statements):
    await connection.execute(FILL, "alice", 40, retention.BATCH + 5)
    await connection.execute(COUNT)
    with statements() as seen:
        assert await purge.empty_trash(pool, settings) == retention.BATCH + 11
    assert await left(connection) == KEPT
    steps = [arguments[0] if "purge_trash($1" in text else text for text, arguments in seen]
    deletions = [step for step in steps if step in {"BEGIN;", "alice", "bob", "COMMIT;"}]
    assert deletions[:9] == ["BEGIN;", "alice", "COMMIT;", "BEGIN;", "alice", "COMMIT;", "BEGIN;", "bob", "COMMIT;"]


async def purged(connection: asyncpg.Connection, user_id: str) -> bool:
    """Return whether none of the user's old tasks and responses is left."""
    return not await connection.fetchval(
        "SELECT count(*) FROM tasks WHERE user_id = $1 AND deleted_at < now() - interval '30 days'", user_id
    ) and not await connection.fetchval(
        "SELECT count(*) FROM idempotency_keys WHERE user_id = $1 AND created_at < now() - interval '1 day'", user_id
    )


@pytest.mark.one_database(reason="locks")
@pytest.mark.parametrize("kind", ["tasks", "answers"])
async def test_a_user_can_write_while_the_purge_waits_for_another_user(  # noqa: PLR0913, PLR0917 - they are fixtures
    pool, settings, trash, connection, alice, eventually, kind
):
    if kind == "answers":
        await connection.execute("DELETE FROM tasks WHERE deleted_at IS NOT NULL")
        for user_id in ("alice", "bob"):
            await connection.execute(ANSWER, user_id, 25)
        await connection.execute(COUNT)
    remove = purge.empty_trash(pool, settings) if kind == "tasks" else purge.forget_answers(pool)
    async with connection.transaction():
        await connection.execute("SELECT FROM users WHERE id = 'bob' FOR UPDATE")
        purging = asyncio.ensure_future(remove)
        await eventually(lambda: connection.fetchval(WAITING))
        assert await purged(connection, "alice"), "the deletion of the first user is committed"
        assert not await purged(connection, "bob")
        response = await alice.post(alice.path, json={"title": "Meanwhile"})
        assert response.status_code == 201
    await asyncio.gather(purging, return_exceptions=True)


async def test_every_purging_statement_names_one_owner(pool, settings, trash, statements):
    with statements() as seen:
        await purge.empty_trash(pool, settings)
    assert [arguments[0] for text, arguments in seen if "purge_trash($1" in text] == ["alice", "bob"]


async def test_one_process_purges_at_a_time(pool, settings, trash, connection):
    async with connection.transaction():
        await connection.execute(f"SELECT pg_advisory_xact_lock({purge.LOCK})")
        assert await purge.empty_trash(pool, settings) is None
        assert await purge.forget_answers(pool) is None
    assert len(await left(connection)) == 14
    assert await purge.empty_trash(pool, settings) == 6


async def end(task: asyncio.Task) -> None:
    """Cancel a background task of the service; it must end although it waits for a lock or for the next day."""
    task.cancel()
    await asyncio.wait([task], timeout=30)
    assert task.cancelled()


async def test_a_serving_worker_purges_by_itself_and_can_be_stopped(app, trash, connection, eventually, caplog):
    with caplog.at_level(logging.INFO, "doable.upkeep"):
        daily = asyncio.create_task(purge.purge_daily(app.ctx.database, app.ctx.settings, first_within=0))

        async def purged() -> bool:
            return await left(connection) == KEPT

        await eventually(purged)
        await eventually(lambda: caplog.messages == ["emptied the trash"])
    await end(daily)


@pytest.mark.one_database(reason="locks")
async def test_a_purge_that_is_stopped_in_the_middle_leaves_no_connection_behind(
    app, trash, connection, alice, eventually
):
    async with connection.transaction():
        await connection.execute("LOCK TABLE tasks IN ACCESS EXCLUSIVE MODE")
        daily = asyncio.create_task(purge.purge_daily(app.ctx.database, app.ctx.settings, first_within=0))
        await eventually(lambda: connection.fetchval(WAITING))
        await end(daily)
    assert len(await left(connection)) == 14
    answers = await asyncio.gather(*(alice.get(alice.path) for _ in range(4 * app.ctx.settings.pool_size)))
    assert {answer.status_code for answer in answers} == {200}


async def test_the_daily_purge_survives_a_database_outage(settings, server, caplog, monkeypatch, eventually):
    monkeypatch.setattr(purge, "DAY", 0.01)
    away = replace(settings, database_url="postgres://ada@127.0.0.1:1/tasks")
    client = FairClient(connection_name="away", **credentials(away, away.database_url))
    daily = asyncio.create_task(purge.purge_daily(client, away, first_within=0))

    def said() -> list[str]:
        return [record.message for record in caplog.records if record.name == "doable.upkeep"]

    await eventually(lambda: len(said()) > 1)
    assert set(said()) == {"the trash could not be emptied"}
    await end(daily)
    await client.close()


async def test_the_purge_command_prints_the_number_of_removed_tasks(settings, trash, connection, launch):
    process = launch(["python", "-m", "service", "purge"], DATABASE_URL=settings.database_url)
    assert await process.exit_code() == 0, process.stderr
    assert process.stdout == "doable: purged 6 tasks and lists deleted more than 30 days ago.\n"
    assert await left(connection) == KEPT
