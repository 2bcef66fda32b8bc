"""Very large removals: a user with 500,000 tasks in the trash is erased, and a trash of the same size is emptied."""

from __future__ import annotations

import asyncio
import contextlib
import time

import asyncpg
import pytest

from tests.trials.load import Line

pytestmark = pytest.mark.xdist_group("trials")
TASKS = 500_000
LIMIT = 180  # seconds for all of it, on two cores
FILL = """
INSERT INTO tasks (user_id, id, uid, title_key, tag_keys,
    title, description, completed, priority, tags, created_at, updated_at, version, deleted_at)
SELECT $1, 1000 + n, gen_random_uuid(),
    '', '{}', 'Task ' || n, repeat('x', 200), false, 0, '{home,x}', now(), now(), 1000 + n, now()
FROM generate_series($2::int + 1, $2::int + 50000) AS n
"""


async def fill(connection: asyncpg.Connection, user: str) -> None:
    for done in range(0, TASKS, 50_000):
        await connection.execute(FILL, user, done, timeout=120)
    await connection.execute(
        "UPDATE users SET trash_count = $2::int, revision = 1000 + $2::int WHERE id = $1", user, TASKS
    )


async def until(line: Line, status: int, method: str, path: str, body: object = None) -> tuple[int, float]:
    """Send a request until it has `status`; return how often, and seconds. 202, or 503 under load, may come before."""
    began = time.monotonic()
    for requests in range(1, 100):
        answer = await line.ask(method, path, body)
        if answer.status == status:
            return requests, time.monotonic() - began
        assert answer.status in {202, 503}, answer
    raise AssertionError(f"no {status} in 100 requests")


@pytest.mark.trial
async def test_half_a_million_tasks_in_the_trash_are_destroyed_and_erased_while_others_work(
    stage, cluster, sign, capsys
):
    trial = stage(workers=1)
    await trial.raise_curtain(warm_up=0.1)
    connection = await asyncpg.connect(cluster.url)
    said = []
    for user, method, path, body, done in (
        ("keeper", "DELETE", "/api/keeper/trash", None, 200),
        ("leaver", "DELETE", "/api/leaver", {"confirm": "leaver"}, 204),
    ):
        with contextlib.closing(Line(trial.port, sign(user))) as line:
            assert (await line.ask("POST", f"/api/{user}/tasks", {"title": "Live"})).status == 201
            await fill(connection, user)
            began = time.monotonic()
            page = await line.ask("GET", f"/api/{user}/trash?limit=20")
            assert (page.status, len(page.json)) == (200, 20)
            listed = time.monotonic() - began
            async with asyncio.timeout(LIMIT):
                requests, seconds = await until(line, done, method, path, body)
        said.append(f"{method} {path}: {TASKS:,} tasks in {seconds:.1f} s, {requests} requests; a page {listed:.3f} s")
    left = await connection.fetch(
        "SELECT user_id, count(*) FROM tasks WHERE user_id IN ('keeper', 'leaver') GROUP BY 1"
    )
    assert [tuple(row) for row in left] == [("keeper", 1)]
    assert await connection.fetchval("SELECT count(*) FROM users WHERE id = 'leaver'") == 0
    await connection.execute("DELETE FROM users WHERE id = 'keeper'")
    await connection.close()
    trial.load.mark()
    with capsys.disabled():
        print("\n" + "\n".join(said), flush=True)
    await trial.reckon("half a million tasks deleted")
