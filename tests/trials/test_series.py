"""Repeating tasks are completed, and the completions repeated without a key, while workers or the database die."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter, defaultdict
from datetime import date, timedelta

import pytest

from tests.trials.load import FAILED, Line

SERIES = 8
DEVICES = 3  # of each series; they complete the same task at the same time
FIRST = date(2090, 1, 1)
DEATHS = 10
PATIENCE = 30  # seconds
PATH = "/api/ada/tasks"


async def insist(line: Line, method: str, path: str, body: object, statuses: Counter) -> dict:
    """Repeat a request until there is a response."""
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                answer = await line.ask(method, path, body)
            except (OSError, EOFError):
                statuses["broken"] += 1
            else:
                statuses[answer.status] += 1
                if answer.status not in FAILED:
                    assert answer.status in {200, 201}, answer
                    return answer.json
            await asyncio.sleep(0.02)


class Devices:
    """Several devices of one user for each of several series. They complete the same task at the same time."""

    def __init__(self, port: int, token: str) -> None:
        self.port, self.token = port, token
        self.statuses: Counter = Counter()
        self.stopped = asyncio.Event()

    async def series(self, number: int) -> None:
        """Create a series, and complete its tasks until `stopped`."""
        line = Line(self.port, self.token)
        body = {"title": f"series-{number:02}", "due_date": FIRST.isoformat(), "repeat": {"rrule": "FREQ=DAILY"}}
        task = await insist(line, "POST", PATH, body, self.statuses)
        line.close()
        rounds, ends = asyncio.Barrier(DEVICES), asyncio.Event()
        async with asyncio.TaskGroup() as group:
            for _ in range(DEVICES):
                group.create_task(self._device(task, rounds, ends))

    async def _device(self, task: dict, rounds: asyncio.Barrier, ends: asyncio.Event) -> None:
        line = Line(self.port, self.token)
        while not ends.is_set():
            await rounds.wait()
            path = f"{PATH}/{task['id']}/complete"
            done = await insist(line, "POST", path, {"completed": True}, self.statuses)
            assert done["completed"], done
            (task,) = await insist(line, "GET", f"{PATH}?status=pending&q={task['title']}", None, self.statuses)
            if await rounds.wait() == 0 and self.stopped.is_set():
                ends.set()
            await rounds.wait()  # so that all devices look at `ends` in the same round
        line.close()


@pytest.mark.trial
@pytest.mark.parametrize("victim", ["a worker of two, killed", "the database, stopped with immediate"])
async def test_each_slot_has_one_task_whatever_dies(stage, cluster, victim):
    trial, chance = stage(workers=2, breaks=True), random.Random(20261126)
    await trial.serve()
    await trial.lives()
    devices, began = Devices(trial.port, trial.sign("ada")), time.monotonic()

    async def die() -> None:
        for _ in range(DEATHS):
            await asyncio.sleep(0.5)
            if "worker" in victim:
                chance.choice(trial.family()).kill()
            else:
                await cluster.stop("immediate")
                await cluster.start()
        await asyncio.sleep(0.5)
        devices.stopped.set()

    async with asyncio.TaskGroup() as group:
        group.create_task(die())
        for number in range(SERIES):
            group.create_task(devices.series(number))
    async with cluster.admin() as admin:
        rows = await admin.fetch("SELECT title, completed, due_date FROM tasks ORDER BY due_date")
    found = defaultdict(list)
    for row in rows:
        found[row["title"]].append(row)
    rate = devices.statuses.total() / (time.monotonic() - began)
    failures = sum(devices.statuses[status] for status in FAILED)
    trial.say(
        f"| series, {victim}, {DEATHS} times | {rate:.0f} | {len(rows)} | 0 | 0 | 0 | {failures} | - | "
        f"{devices.statuses['broken']} broken off |"
    )
    assert devices.statuses["broken"] + failures > 0, "or nothing died"
    assert len(found) == SERIES
    for chain in found.values():
        assert [row["due_date"] for row in chain] == [FIRST + timedelta(days=day) for day in range(len(chain))]
        assert [row["completed"] for row in chain] == [True] * (len(chain) - 1) + [False]
    assert len(rows) > 2 * SERIES, "or there was nothing to lose"
