"""Event streams and processes: writes of another worker, restarts, stops, and database outages."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sys
from collections.abc import AsyncIterator, Callable

import httpx
import pytest

from service.serving.worker import STOP_GRACE


class Stream:
    """A client that records the ids and titles of all events, until the stream ends."""

    def __init__(self):
        self.titles: list[str] = []
        self.last_id: str | None = None
        self.begun = asyncio.Event()

    async def read(self, client: httpx.AsyncClient) -> None:
        headers = {} if self.last_id is None else {"Last-Event-ID": self.last_id}
        async with client.stream("GET", "/api/me/tasks/events", headers=headers) as response:
            assert response.status_code == 200
            async for line in response.aiter_lines():
                field, _, value = line.partition(": ")
                if field == "id":
                    self.last_id = value
                    self.begun.set()
                elif field == "data":
                    self.titles.append(json.loads(value)["title"])


@pytest.fixture
def serve(launch, settings, eventually, sign) -> Callable[..., object]:
    """`async with serve(port) as (process, user)`: a service, and a client of a user that no other test has."""

    @contextlib.asynccontextmanager
    async def run(port: int, name: str, url: str = "") -> AsyncIterator[tuple[object, httpx.AsyncClient]]:
        process = launch(
            [sys.executable, "-m", "service", "run"],
            DATABASE_URL=url or settings.database_url,
            PORT=str(port),
            BETTER_AUTH_SECRET=settings.better_auth_secret,
        )
        async with httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{port}", headers={"Authorization": f"Bearer {sign(name)}"}, timeout=30,
            verify=False,
        ) as user:  # fmt: skip

            async def lives() -> bool:
                return (await user.get("/health/live")).status_code == 200

            await eventually(lives)
            yield process, user

    return run


async def write(user: httpx.AsyncClient, title: str) -> None:
    response = await user.post("/api/me/tasks", json={"title": title})
    assert response.status_code == 201, response.text


async def test_a_write_of_another_process_reaches_the_stream(serve, unused_port, eventually):
    """`make trials` measures how long it takes."""
    name = f"listener-{unused_port()}"
    async with serve(unused_port(), name) as (_, here), serve(unused_port(), name) as (_, there):
        stream = Stream()
        listening = asyncio.create_task(stream.read(here))
        await stream.begun.wait()
        for number in range(2):
            await write(there, f"Task {number}")
            await eventually(lambda number=number: stream.titles[number:])
        assert stream.titles == ["Task 0", "Task 1"]
        listening.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await listening


async def test_a_stop_ends_streams_at_once_and_they_continue_after_a_restart_without_gap_or_repeat(
    serve, unused_port, eventually
):
    port, stream = unused_port(), Stream()
    name = f"listener-{port}"
    async with serve(port, name) as (process, user):
        listening = asyncio.create_task(stream.read(user))
        await stream.begun.wait()
        await write(user, "Before")
        await eventually(lambda: stream.titles == ["Before"])
        process.signal(signal.SIGTERM)
        async with asyncio.timeout(30):
            await listening  # the stream has a proper end and not a transport error
        assert await process.exit_code() == 0
        lines = [json.loads(line) for line in process.stdout.splitlines()]
        (stopped,) = [line for line in lines if line["message"] == "stopped"]
        assert stopped["cut_off"] == 0, "an open stream does not use up the grace of a stop"
        assert stopped["seconds"] < STOP_GRACE
        assert [line["ended"] for line in lines if "ended" in line] == ["service stops"]
        assert {line["level"] for line in lines} == {"info"}
        assert process.stderr == ""
    async with serve(port, name) as (process, user):
        for number in range(5):
            await write(user, f"Meanwhile {number}")
        listening = asyncio.create_task(stream.read(user))
        await eventually(lambda: len(stream.titles) == 6)
        await write(user, "After")
        await eventually(lambda: len(stream.titles) == 7)
        assert stream.titles == ["Before", *(f"Meanwhile {number}" for number in range(5)), "After"]
        process.signal(signal.SIGTERM)
        await listening


async def test_streams_stay_open_during_a_database_outage_and_then_catch_up(
    serve, unused_port, relay, connection, eventually
):
    port, stream = unused_port(), Stream()
    await relay.open()
    async with serve(port, f"listener-{port}", relay.url) as (process, user):
        await write(user, "Before")
        listening = asyncio.create_task(stream.read(user))
        await stream.begun.wait()
        await relay.close()
        assert (await user.get("/api/me/tasks/events")).status_code == 503, "a new one is told to come back"
        await connection.execute("UPDATE users SET revision = 2 WHERE id = $1", f"listener-{port}")
        await connection.execute(
            "UPDATE tasks SET version = 2, title = 'Meanwhile', document = NULL WHERE user_id = $1", f"listener-{port}"
        )
        assert not listening.done()
        await relay.open()
        await eventually(lambda: stream.titles == ["Meanwhile"])
        assert not listening.done()
        process.signal(signal.SIGTERM)
        await listening
