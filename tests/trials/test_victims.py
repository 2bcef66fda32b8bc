"""The most expensive requests of one user at the default rate limit have little effect on other users."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import math
import os
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import psutil
import pytest

from tests.trials.attacks import ATTACKS, SEEDED, Attacker, seed
from tests.trials.cluster import unused_port
from tests.trials.conftest import SECRET
from tests.trials.load import Line

pytestmark = pytest.mark.trial
SECONDS = float(os.environ.get("TRIAL_ATTACK_SECONDS", "8"))  # seconds; the duration of each attack
VICTIMS = 8
TOKEN_USES = 10  # requests after which a victim has a new token
PAUSE = 0.2  # seconds between two requests of a victim: half of its rate limit
LIMIT = 0.25  # seconds; a victim's p99 under attack, or three times the quiet one
MEMORY = 800  # MB; the maximum for all processes of the service above their memory without load
HEADER = """
| workers | attack | attacker got | victims' p50 / p99 quiet | p99 under attack | worst | victims' errors | memory |
| --- | --- | --- | --- | --- | --- | --- | --- |"""


@dataclass
class Victims:
    """Users who poll the first page of their list, and sometimes fetch a new token and open a new connection."""

    port: int
    sign: Callable[..., str]
    times: list[float] = field(default_factory=list)  # seconds, of all responses since `fresh`
    errors: Counter = field(default_factory=Counter)  # responses other than 200

    def fresh(self) -> None:
        """Forget the measurements."""
        self.times, self.errors = [], Counter()

    def percentile(self, part: float) -> float:
        """Return the seconds within which this share of the responses arrived."""
        ordered = sorted(self.times)
        return ordered[max(0, math.ceil(part * len(ordered)) - 1)]

    @contextlib.asynccontextmanager
    async def polling(self) -> AsyncIterator[None]:
        """Poll within an `async with`, and wait for the last responses."""
        ended = asyncio.Event()

        async def poll(user: str) -> None:
            for renewal in itertools.count():
                with contextlib.closing(Line(self.port, self.sign(user, jti=str(renewal)))) as line:
                    for _ in range(TOKEN_USES):
                        if ended.is_set():
                            return
                        await self._ask(line)
                        await asyncio.sleep(PAUSE)

        polls = [asyncio.create_task(poll(f"victim-{number}")) for number in range(VICTIMS)]
        try:
            yield
        finally:
            ended.set()
            await asyncio.gather(*polls)

    async def _ask(self, line: Line) -> None:
        began = time.monotonic()
        try:
            status: object = (await line.ask("GET", "/api/me/tasks?limit=20")).status
        except (OSError, EOFError) as error:
            status = type(error).__name__
        self.times.append(time.monotonic() - began)
        if status != 200:
            self.errors[status] += 1


def memory(parent: psutil.Process) -> float:
    """Return the memory of a process and its children, in MB."""
    total = 0
    for process in (parent, *parent.children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess):
            total += process.memory_info().rss
    return total / 1e6


async def watch(parent: psutil.Process) -> float:
    """Measure the memory five times a second until cancelled, and return its peak."""
    peak = 0.0
    with contextlib.suppress(asyncio.CancelledError):
        while True:
            peak = max(peak, memory(parent))
            await asyncio.sleep(0.2)
    return peak


async def test_the_worst_load_of_one_user_does_not_slow_down_others(cluster, launch, sign, capsys):
    faults, head = [], HEADER
    for workers in (1, 2):
        async for line, wrong in trial(cluster, launch, sign, workers):
            with capsys.disabled():
                print(f"{head}\n{line}" if head else line, flush=True)
            head = ""
            faults += wrong
    assert not faults, "\n".join(faults)


async def trial(cluster, launch, sign, workers: int) -> AsyncIterator[tuple[str, list[str]]]:
    """Run all attacks on a service with so many workers; return a line of the table and the errors for each."""
    port = unused_port()
    served = launch(
        [sys.executable, "-m", "service", "run"],
        DATABASE_URL=cluster.url,
        HOST="127.0.0.1",
        PORT=str(port),
        WEB_CONCURRENCY=str(workers),
        BETTER_AUTH_SECRET=SECRET,
        LOG_LEVEL="error",
    )
    parent = psutil.Process(served.process.pid)
    await listening(port)
    names = [name for name in ATTACKS if name in os.environ.get("TRIAL_ATTACKS", name)]
    if workers == 1:
        await prepare(port, sign, names)
    victims = Victims(port, sign)
    async with victims.polling():
        await asyncio.sleep(1)
        victims.fresh()
        await asyncio.sleep(SECONDS)
        quiet, usual, base = victims.percentile(0.5), victims.percentile(0.99), memory(parent)
        for name in names:
            await asyncio.sleep(1)
            victims.fresh()
            watcher = asyncio.create_task(watch(parent))
            got = await attack(
                name, launch, port, sign(f"mallory-{name}" if name in SEEDED else f"mallory-{name}-{workers}")
            )
            await settled(victims)
            watcher.cancel()
            peak, p99 = await watcher, victims.percentile(0.99)
            errors = ", ".join(f"{status}: {count}" for status, count in victims.errors.items()) or "0"
            line = (
                f"| {workers} | {name.replace('_', ' ')} | {got} | {quiet * 1000:.0f} / {usual * 1000:.0f} ms | "
                f"{p99 * 1000:.0f} ms | {max(victims.times) * 1000:.0f} ms | {errors} of {len(victims.times)} | "
                f"{base:.0f} → {peak:.0f} MB |"
            )
            faults = []
            if p99 > max(LIMIT, 3 * usual):
                faults.append(f"{workers} workers, {name}: the victims' p99 was {p99 * 1000:.0f} ms")
            if victims.errors:
                faults.append(f"{workers} workers, {name}: the victims got {dict(victims.errors)}")
            if peak - base > MEMORY:
                faults.append(f"{workers} workers, {name}: memory grew from {base:.0f} to {peak:.0f} MB")
            assert victims.times, "or there was nothing to measure"
            yield line, faults
    served.kill()


async def attack(name: str, launch, port: int, token: str) -> str:
    """Run an attack in its own process, and return its responses."""
    attacker = launch([sys.executable, "-m", "tests.trials.attacks", name, str(port), token, str(SECONDS)])
    try:
        assert await attacker.exit_code(SECONDS + 30) == 0, attacker.stderr
    finally:
        attacker.kill()
    statuses = json.loads(attacker.stdout)
    assert statuses, f"{name} sent nothing"
    return ", ".join(f"{status}: {count}" for status, count in sorted(statuses.items()))


async def settled(victims: Victims, seconds: float = 30) -> None:
    """Wait until every victim has a response again."""
    before, deadline = len(victims.times), time.monotonic() + seconds
    while len(victims.times) < before + 2 * VICTIMS and time.monotonic() < deadline:
        await asyncio.sleep(0.05)


async def listening(port: int) -> None:
    """Wait until the service responds."""
    deadline = time.monotonic() + 30
    while True:
        with contextlib.suppress(OSError, EOFError), contextlib.closing(Line(port)) as line:
            if (await line.ask("GET", "/health/ready")).status == 200:
                return
        assert time.monotonic() < deadline, "the service does not answer"
        await asyncio.sleep(0.05)


async def prepare(port: int, sign, names: list[str]) -> None:
    """Create some tasks of every victim, and 10,000 long tasks of the attackers that need them."""
    for number in range(VICTIMS):
        with contextlib.closing(Line(port, sign(f"victim-{number}"))) as line:
            for title in range(30):
                assert (await line.ask("POST", "/api/me/tasks", {"title": f"Task {title}"})).status == 201
    for name in SEEDED.intersection(names):
        await seed(Attacker(port, sign(f"mallory-{name}"), time.monotonic() + 60))
