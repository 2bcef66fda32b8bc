"""Writes with an Idempotency-Key whose process dies. The client repeats each one, and it is performed once."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable

import httpx
import pytest

from tests.conftest import Relay

SECONDS = 30


class Writer(httpx.AsyncClient):
    """A user of the started service who repeats every write with the same key until it gets a response."""

    WRITES = {  # noqa: RUF012 - never changed
        "a task": ("/tasks", {"json": {"title": "A task"}}),
        "a batch": ("/tasks/batch", {"json": {"operations": [{"op": "create", "task": {"title": "A batch"}}] * 2}}),
        "an import": ("/import", {"content": "title\r\nAn import\r\n", "headers": {"Content-Type": "text/csv"}}),
    }
    TITLES = ("A task", "A batch", "A batch", "An import")

    async def write(self, what: str) -> httpx.Response:
        """Send the write once."""
        tail, options = self.WRITES[what]
        headers = {"Idempotency-Key": "key", **options.get("headers", {})}
        return await self.post(f"/api/me{tail}", **{**options, "headers": headers})

    async def write_all(self) -> list[httpx.Response | BaseException]:
        """Send all writes concurrently, each once."""
        return await asyncio.gather(*map(self.write, self.WRITES), return_exceptions=True)

    async def insist(self, what: str) -> httpx.Response:
        """Send the write until it succeeds. The key of a dead process is locked until PostgreSQL notices the death."""
        async with asyncio.timeout(SECONDS):
            while (response := await self.write(what)).status_code in {409, 503}:
                await asyncio.sleep(0.05)
        return response

    async def titles(self) -> list[str]:
        """Return the titles of all tasks, sorted."""
        return sorted(task["title"] for task in (await self.get("/api/me/tasks")).json())


@pytest.fixture
async def writer(free_port, sign) -> AsyncIterator[Writer]:
    headers = {"Authorization": f"Bearer {sign(f'writer-{free_port}')}"}
    async with Writer(base_url=f"http://127.0.0.1:{free_port}", headers=headers, timeout=SECONDS, verify=False) as made:
        yield made


@pytest.fixture
def serve(launch, settings, free_port, eventually, writer) -> Callable[..., Awaitable[object]]:
    """`await serve()` starts the service, on the same port each time, and waits until it accepts requests."""

    async def start(url: str = ""):
        process = launch(
            ["python", "-m", "service", "run"], DATABASE_URL=url or settings.database_url, PORT=str(free_port),
            BETTER_AUTH_SECRET=settings.better_auth_secret,
        )  # fmt: skip
        await eventually(lambda: writer.get("/health/live"))
        return process

    return start


def kill(process) -> None:
    """Kill the process, so that it cannot respond or clean up."""
    os.killpg(process.process.pid, signal.SIGKILL)
    process.process.wait()


async def test_a_write_that_runs_when_the_process_dies_is_performed_once(serve, writer, connection, eventually):
    """Wait until PostgreSQL has finished the statement of a dead client, or noticed its death and rolled back."""
    process = await serve()
    owner = (await writer.post("/api/me/tasks", json={"title": "Before"})).json()["user_id"]
    async with connection.transaction():
        await connection.execute("SELECT FROM users WHERE id = $1 FOR UPDATE", owner)
        sent = asyncio.create_task(writer.write_all())
        held = "SELECT count(*) = $1 FROM pg_locks WHERE locktype = 'advisory' AND database = $2"
        here = await connection.fetchval("SELECT oid FROM pg_database WHERE datname = current_database()")
        await eventually(lambda: connection.fetchval(held, len(writer.WRITES), here))
        kill(process)
        assert all(isinstance(answer, httpx.TransportError) for answer in await sent)
    await serve()
    for what in writer.WRITES:
        first, again = await writer.insist(what), await writer.write(what)
        assert (again.content, again.headers["idempotency-replayed"]) == (first.content, "true")
    assert await writer.titles() == sorted(["Before", *writer.TITLES])


class LosesAnswers(Relay):
    """A relay to the database. Once it loses responses, a keyed write is committed but its response is dropped."""

    loses = False

    async def ask(self, sent: bytes) -> None:
        if self.loses and b"POST /api/" in sent and self.flowing.is_set():  # the route is an argument of the function
            self.flowing.clear()  # for all that comes after it, in both directions
        else:
            await super().ask(sent)


@pytest.fixture
async def losing(settings, unused_port) -> AsyncIterator[LosesAnswers]:
    made = LosesAnswers(settings.database_url, unused_port())
    await made.open()
    yield made
    await made.close()


async def test_a_write_committed_before_the_process_died_is_replayed_by_the_next_process(
    serve, losing, writer, connection, eventually
):
    process = await serve(losing.url)
    owner = (await writer.post("/api/me/tasks", json={"title": "Before"})).json()["user_id"]
    losing.loses = True
    sent = asyncio.create_task(writer.write_all())
    done = "SELECT count(*) FROM idempotency_keys WHERE user_id = $1"
    await eventually(lambda: connection.fetchval(done, owner))
    assert not sent.done()
    kill(process)
    assert all(isinstance(answer, httpx.TransportError) for answer in await sent)
    await losing.close()
    assert await connection.fetchval(done, owner) == 1, "of three at once one was committed, and nobody was told"
    await serve()
    answers = {what: await writer.insist(what) for what in writer.WRITES}
    assert sum("idempotency-replayed" in answer.headers for answer in answers.values()) == 1
    for what, first in answers.items():
        assert (await writer.write(what)).content == first.content
    tasks = {task["id"]: task for task in (await writer.get("/api/me/tasks")).json()}
    assert answers["a task"].json() == tasks[answers["a task"].json()["id"]]
    assert [one["task"] == tasks[one["task"]["id"]] for one in answers["a batch"].json()["results"]] == [True, True]
    assert answers["an import"].json() == {"imported": 1, "skipped": 0}
    assert await writer.titles() == sorted(["Before", *writer.TITLES])
