"""The processes: what the Procfile starts, how it stops, what it survives and what it writes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime
from pathlib import Path

import asyncpg
import httpx
import psutil
import pytest

from service import serving

ROOT = Path(__file__).parents[2]
PROCFILE = dict(line.split(": ", 1) for line in (ROOT / "Procfile").read_text().splitlines())
SECRET = "a secret for processes alone, of 32 bytes or more"
FAILING = """
import sys
from service import database
from service.__main__ import main

async def fail(settings):
    raise RuntimeError("this worker cannot start")

database.connect = fail
sys.exit(main(["run"]))
"""


@pytest.fixture
def start(launch, settings, free_port, eventually) -> Callable[..., Awaitable[object]]:
    """`await start(2)` runs the Procfile's line with two workers, and waits until it serves."""

    async def run(workers: int = 1, *, url: str = "", ready: bool = True):
        process = launch(
            ["bash", "-c", PROCFILE["web"]],
            DATABASE_URL=url or settings.database_url,
            PORT=str(free_port),
            WEB_CONCURRENCY=str(workers),
            BETTER_AUTH_SECRET=SECRET,
        )
        if ready:
            await eventually(lambda: serves(free_port))
        return process

    return run


async def serves(port: int) -> bool:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", verify=False) as client:
        return (await client.get("/health/live")).status_code == 200


@pytest.fixture
async def user(free_port, sign) -> AsyncIterator[httpx.AsyncClient]:
    """A user of the started service, new to each test."""
    headers = {"Authorization": f"Bearer {sign(f'user-{free_port}', secret=SECRET)}"}
    async with httpx.AsyncClient(
        base_url=f"http://127.0.0.1:{free_port}", headers=headers, timeout=15, verify=False
    ) as client:
        yield client


def logged(process) -> list[dict]:
    """Everything that a process wrote: JSON objects, one a line, and nothing else."""
    assert process.stderr == ""
    return [json.loads(line) for line in process.stdout.splitlines()]


async def test_the_procfiles_release_line_migrates_what_its_web_line_then_serves(
    launch, make_database, start, user, eventually
):
    url = await make_database("released")
    only = {"DATABASE_URL": url, "BETTER_AUTH_SECRET": SECRET}
    release = launch(["bash", "-c", PROCFILE["release"]], **only)
    assert await release.exit_code() == 0, release.stderr
    assert release.stdout.splitlines()[-1] == "doable: the schema is up to date."
    process = await start(url=url)
    assert (await user.get("/health/ready")).json()["status"] == "ok"
    assert (await user.post("/api/me/tasks", json={"title": "Released"})).status_code == 201
    process.signal(signal.SIGTERM)
    assert await process.exit_code() == 0


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("times", [1, 2])
async def test_a_stop_lets_requests_in_flight_be_answered_first(
    start, user, connection, eventually, free_port, workers, times
):
    process = await start(workers)
    tasks = [(await user.post("/api/me/tasks", json={"title": "In flight"})).json() for _ in range(3)]
    owner = tasks[0]["user_id"]
    idle, writer = await asyncio.open_connection("127.0.0.1", free_port)
    writer.write(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")
    await idle.readuntil(b"}")
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    async with connection.transaction():
        await connection.execute("SELECT FROM tasks WHERE user_id = $1 FOR UPDATE", owner)
        requests = [asyncio.create_task(user.patch(f"/api/me/tasks/{task['id']}/complete")) for task in tasks]
        watcher = await watch(connection)
        async with contextlib.aclosing(watcher):
            await eventually(lambda: still(watcher, waiting, len(tasks)))
        for _ in range(times):
            process.signal(signal.SIGTERM)
            async with asyncio.timeout(5):
                assert await idle.read() == b"", "an idle connection is closed as soon as the stop is heard"
        assert process.process.poll() is None
    began = time.monotonic()
    answers = await asyncio.gather(*requests)
    assert [(answer.status_code, answer.json()["completed"]) for answer in answers] == [(200, True)] * len(tasks)
    assert await process.exit_code() == 0
    assert time.monotonic() - began < 3
    assert await connection.fetchval("SELECT bool_and(completed) FROM tasks WHERE user_id = $1", owner)
    assert not [line for line in logged(process) if line["level"] != "info"]
    writer.close()
