"""Replicas of the TypeScript client write at random while they, the service and the database are killed."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import httpx
import pytest

from tests.clients.control import Control
from tests.end_to_end.npm import NODE

CLIENT = Path(__file__).parents[2] / "clients" / "typescript"
SEEDS = "1-200"
SECRET = "a secret for tests alone, of more than 32 bytes"


@pytest.mark.trial
@pytest.mark.skipif(not NODE, reason="LOUD: node is not installed, so the replica is NOT tried")
async def test_two_hundred_random_runs_of_replicas_converge_and_lose_no_write(
    cluster, launch, unused_port, eventually, capsys
):
    async with httpx.AsyncClient(verify=False) as http:

        async def is_live(port: int) -> None:
            await eventually(lambda: http.get(f"http://127.0.0.1:{port}/health/live"))

        settings = {"DATABASE_URL": cluster.url, "BETTER_AUTH_SECRET": SECRET, "LOG_LEVEL": "error"}
        control = Control(launch, unused_port, is_live, settings)
        port = await control.listen()
        process = launch(
            [NODE, "--test", "--test-reporter=spec", "tests/replica-convergence.test.js"], cwd=CLIENT,
            DOABLE_URL="http://127.0.0.1", DOABLE_SECRET=SECRET, DOABLE_CONTROL=str(port), DOABLE_SEEDS=SEEDS,
        )  # fmt: skip
        crashes = 0
        while process.process.poll() is None:
            await asyncio.sleep(5)
            await cluster.stop("immediate")
            await cluster.start()
            crashes += 1
        control.server.close()
    assert process.process.poll() == 0, process.stdout + process.stderr
    totals = json.loads(next(line for line in process.stdout.splitlines() if line.startswith("{")))
    with capsys.disabled():
        print(f"\n{totals}, {crashes} crashes of the database")
