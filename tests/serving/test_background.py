"""The background tasks of a worker: a failure is logged, and none of them delays a stop."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys

import httpx

from service.app import begin


async def test_a_background_task_that_fails_is_logged_with_its_name_and_stack(caplog):
    async def fail() -> None:
        raise ValueError("told")

    with caplog.at_level(logging.INFO, "doable.serving"):
        await asyncio.wait([begin("failing", fail())])
        await asyncio.sleep(0)
    (record,) = caplog.records
    assert (record.levelname, record.getMessage(), record.fields) == (
        "ERROR", "background task failed", {"task": "failing"},
    )  # fmt: skip
    assert record.exc_info[1].args == ("told",)


async def test_a_background_task_that_is_cancelled_is_not_logged(caplog):
    with caplog.at_level(logging.INFO, "doable.serving"):
        task = begin("waiting", asyncio.sleep(60))
        task.cancel()
        await asyncio.wait([task])
        await asyncio.sleep(0)
    assert caplog.records == []


async def test_a_background_task_that_waits_for_the_database_does_not_delay_a_stop(
    launch, relay, settings, free_port, eventually
):
    await relay.open()
    relay.flowing.clear()  # the database accepts connections, but never responds
    process = launch(
        [sys.executable, "-m", "service", "run"], DATABASE_URL=relay.url, PORT=str(free_port),
        BETTER_AUTH_SECRET=settings.better_auth_secret, DB_CONNECT_TIMEOUT="60",
    )  # fmt: skip
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{free_port}", verify=False) as client:
        live = await eventually(lambda: client.get("/health/live"))
    assert live.status_code == 200
    process.signal(signal.SIGTERM)
    assert await process.exit_code(30) == 0, "the connection attempt alone may take a minute"
