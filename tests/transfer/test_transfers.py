"""The largest and most expensive imports and exports: the memory of the service, and the delay of other users."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from tests.conftest import SECRET, token

pytestmark = pytest.mark.trial

MEBIBYTE = 1024 * 1024
BODY = 32 * MEBIBYTE
CSV, JSON = "text/csv", "application/json"
TASK = f'{{"title":"A","description":"{"y" * 950}","tags":["home","garden"],"created_at":"2026-01-02T03:04:05Z"}}'
# The builder of a body, the status of its response, and the MiB beyond the body.
WORST = {
    "x,x,x": (CSV, lambda: b"x," * (BODY // 2), 422, 16),
    "line ends": (CSV, lambda: b"title" + b"\n" * (BODY - 5), 422, 16),
    "a row of 16 million cells": (CSV, lambda: b"title\n" + b"x," * (BODY // 2 - 3), 422, 16),
    "numbers for tasks": (JSON, lambda: b'{"tasks":[' + b"0," * (BODY // 2 - 8) + b"0]}", 422, 16),
    "brackets": (JSON, lambda: b'{"tasks":' + b"[" * (BODY - 9), 400, 16),
    # The JSON for the database, with the folded keys, is twice as long, and is held twice.
    "10,000 long tasks": (JSON, lambda: f'{{"tasks":[{",".join([TASK] * 10_000)}]}}'.encode(), 200, 100),
}


def bearer(user_id: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token(user_id)}"}


class Worker:
    """The one worker of a service, its memory and its responses."""

    def __init__(self, client: httpx.AsyncClient, supervisor: int):
        self.client = client
        children = Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split()
        # Besides the workers, the supervisor may have child processes, which use less memory.
        self.process = max(children or [supervisor], key=lambda process: self.of(process, "VmRSS"))

    @staticmethod
    def of(process: int | str, name: str) -> int:
        """Return bytes, by the name of a line in the status of the process."""
        lines = dict(line.split(":", 1) for line in Path(f"/proc/{process}/status").read_text().splitlines())
        return int(lines[name].split()[0]) * 1024

    def reset(self) -> int:
        """Reset the peak of the memory, and return the current memory."""
        Path(f"/proc/{self.process}/clear_refs").write_text("5")
        return self.of(self.process, "VmRSS")

    async def longest_wait(self, work: asyncio.Future) -> float:
        """Return the longest response time of another user's short list, in seconds, until `work` is done."""
        longest = 0.0
        while not work.done():
            began = time.perf_counter()
            assert (await self.client.get("/api/me/tasks?limit=20", headers=bearer("bob"))).status_code == 200
            longest = max(longest, time.perf_counter() - began)
        return longest

    def most(self) -> int:
        return self.of(self.process, "VmHWM")


@pytest.fixture
async def worker(settings, empty, launch, eventually, free_port) -> AsyncIterator[Worker]:
    if not os.access("/proc/self/clear_refs", os.W_OK):
        pytest.skip("only Linux says how much memory a process held at most")
    launched = launch(
        ["python", "-m", "service", "run"],
        DATABASE_URL=settings.database_url,
        BETTER_AUTH_SECRET=SECRET,
        PORT=str(free_port),
        WORKERS="1",
        RATE_LIMIT="off",
    )
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{free_port}", timeout=60, limits=limits) as client:
        await eventually(lambda: client.get("/health/ready"), 60)
        yield Worker(client, launched.process.pid)


@pytest.mark.parametrize(("media_type", "make", "status", "beside"), WORST.values(), ids=WORST)
async def test_an_import_needs_little_memory_beyond_its_body_and_other_requests_are_served(
    worker, media_type, make, status, beside
):
    headers = {**bearer("alice"), "Content-Type": media_type}
    body, before = make(), worker.reset()
    content = (body[start : start + 65536] for start in range(0, len(body), 65536))

    async def pieces() -> AsyncIterator[bytes]:
        for piece in content:
            yield piece

    sending = asyncio.create_task(worker.client.post("/api/me/import", content=pieces(), headers=headers))
    longest = await worker.longest_wait(sending)
    response = sending.result()
    grown = worker.most() - before
    print(f"{response.status_code}: {grown / MEBIBYTE:.0f} MiB for {len(body) / MEBIBYTE:.0f}, waited {longest:.3f} s")
    assert response.status_code == status
    assert grown < len(body) * 1.25 + beside * MEBIBYTE
    assert longest < 1


async def test_sixty_calendars_of_ten_thousand_tasks_at_once_leave_room_for_others(worker):
    body = f'{{"tasks":[{",".join([TASK] * 10_000)}]}}'
    headers = {**bearer("alice"), "Content-Type": JSON}
    assert (await worker.client.post("/api/me/import", content=body, headers=headers)).status_code == 200
    export = "/api/me/export?format=ical"
    asking = asyncio.gather(*(worker.client.get(export, headers=bearer("alice")) for _ in range(60)))
    began = time.perf_counter()
    longest = await worker.longest_wait(asking)
    answers = asking.result()
    whole = [answer for answer in answers if answer.status_code == 200]
    print(f"{len(whole)} of 60 in {time.perf_counter() - began:.1f} s, another user waited {longest:.3f} s at most")
    assert {answer.status_code for answer in answers} <= {200, 429}
    assert len(whole) >= 2
    assert all(answer.content.endswith(b"END:VCALENDAR\r\n") for answer in whole)
    assert {answer.content.count(b"BEGIN:VTODO") for answer in whole} == {10_000}
    assert longest < 1
