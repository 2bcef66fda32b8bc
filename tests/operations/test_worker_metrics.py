"""The metrics of several workers: each one reports all of them, and the counts of a dead worker remain."""

from __future__ import annotations

import re
import signal
import sys

import httpx
import psutil
import pytest

COUNTED = re.compile(
    r'doable_requests_total\{method="GET",route="/health/live",status="200"\} (\S+)'
)  # labels in the order in which they are written


@pytest.fixture
async def service(launch, settings, free_port, eventually):
    """`await service(2, DRAIN_DELAY="1")` starts a service, and returns it and its address."""

    async def run(workers: int, **environment: str):
        process = launch(
            [sys.executable, "-m", "service", "run"], DATABASE_URL=settings.database_url, PORT=str(free_port),
            WEB_CONCURRENCY=str(workers), BETTER_AUTH_SECRET=settings.better_auth_secret, **environment,
        )  # fmt: skip
        address = f"http://127.0.0.1:{free_port}"
        await eventually(lambda: status(address, "/health/ready"))
        return process, address

    return run


async def get(address: str, path: str) -> httpx.Response:
    """Send a request over a new connection, so that any worker may respond."""
    async with httpx.AsyncClient(base_url=address, verify=False) as client:
        return await client.get(path)


async def status(address: str, path: str) -> int:
    return (await get(address, path)).status_code


async def counted(address: str) -> float:
    found = COUNTED.search((await get(address, "/metrics")).text)
    return float(found[1]) if found else 0.0


async def test_every_worker_reports_the_metrics_of_all_workers_and_of_dead_ones(service, eventually):
    process, address = await service(2)

    async def two_serve() -> bool:
        return "\ndoable_workers 2.0\n" in (await get(address, "/metrics")).text

    await eventually(two_serve)
    for _ in range(40):
        assert await status(address, "/health/live") == 200
    # The figures of the other worker are at most a second old.
    await eventually(lambda: all_see(address, 40))

    worker = psutil.Process(process.process.pid).children()[0]
    worker.kill()

    async def replaced() -> bool:
        return await two_serve() and not worker.is_running()

    await eventually(replaced)
    for _ in range(20):
        assert await counted(address) == 40, "what the dead one had counted stays"
    process.signal(signal.SIGTERM)
    assert await process.exit_code() == 0


async def all_see(address: str, expected: int) -> bool:
    return {await counted(address) for _ in range(10)} == {expected}


@pytest.mark.parametrize("workers", [1, 2])
async def test_during_a_drain_requests_are_served_and_readiness_fails(service, eventually, workers):
    process, address = await service(workers, DRAIN_DELAY="3")
    process.signal(signal.SIGTERM)

    async def drains() -> bool:
        answer = await get(address, "/health/ready")
        return (answer.status_code, answer.json()["status"]) == (503, "draining")

    await eventually(drains)
    assert await status(address, "/health/live") == 200
    assert await process.exit_code() == 0
