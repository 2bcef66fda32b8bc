"""Clients that repeat every write with its Idempotency-Key until it succeeds, while processes or the database die."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import pytest

from tests.trials.load import FAILED, Answer, Line

trial = pytest.mark.trial
CLIENTS = 10
USERS = 3
ANSWERED = 30  # seconds; the maximum for a write to succeed, with all of its attempts
REPLAYED = "idempotency-replayed"


@dataclass
class Write:
    """One write of a user, and its final response."""

    user: str
    path: str
    body: object
    key: str
    revisions: int  # the number of revisions that it takes
    titles: tuple[str, ...] = ()  # the titles of the tasks that it creates
    toggles: int = 0  # the id of the task that it completes
    answer: Answer | None = None


@dataclass
class Retriers:
    """Ten clients of three users. Each client continues with the next write only after the response to the last one."""

    port: int
    sign: Callable[[str], str]
    writes: list[Write] = field(default_factory=list)
    sent: int = 0
    statuses: Counter = field(default_factory=Counter)
    broken: int = 0
    wrong: list[str] = field(default_factory=list)

    def start(self) -> None:
        self.began = time.monotonic()
        self._stopped = asyncio.Event()
        self._tasks = [asyncio.create_task(self._client(number)) for number in range(CLIENTS)]

    async def stop(self) -> None:
        """Stop after the outstanding responses. Raises the error that stopped a client, if there is one."""
        self._stopped.set()
        try:
            await asyncio.gather(*self._tasks)
        finally:
            for task in self._tasks:
                task.cancel()
        self.seconds = time.monotonic() - self.began

    async def _client(self, number: int) -> None:
        user, chance, numbers = f"user-{number % USERS}", random.Random(number), itertools.count()
        line, known = Line(self.port, self.sign(user)), 0
        while not self._stopped.is_set():
            write = self._choose(user, f"{number}-{next(numbers)}", chance.random(), known)
            self.writes.append(write)
            write.answer = await self.insist(line, write)
            known = write.answer.json.get("id", 0) if not write.toggles else 0
            await asyncio.sleep(chance.uniform(0, 0.02))
        line.close()

    @staticmethod
    def _choose(user: str, title: str, chance: float, known: int) -> Write:
        path = f"/api/{user}/tasks"
        if known and chance < 0.4:
            return Write(user, f"{path}/{known}/complete", None, title, 1, toggles=known)
        if chance < 0.6:
            return Write(user, path, {"title": title}, title, 1, (title,))
        titles = (f"{title}/1", f"{title}/2")
        tasks = [{"title": name} for name in titles]
        if chance < 0.8:
            operations = [{"op": "create", "task": task} for task in tasks]
            return Write(user, f"{path}/batch", {"operations": operations}, title, 2, titles)
        return Write(user, f"/api/{user}/import", {"tasks": tasks}, title, 2, titles)

    async def insist(self, line: Line, write: Write) -> Answer:
        """Repeat `write` until there is a response other than 503, 504 and 409."""
        async with asyncio.timeout(ANSWERED):
            while True:
                self.sent += 1
                try:
                    answer = await line.ask("POST", write.path, write.body, write.key)
                except (OSError, EOFError):
                    self.broken += 1
                else:
                    self.statuses[answer.status] += 1
                    if answer.status < 300:
                        return answer
                    if answer.status not in {*FAILED, 409}:
                        self.wrong.append(f"{answer.status}: {answer.body[:200]!r}")
                        return answer
                await asyncio.sleep(0.05)


async def reckon(stage, retriers: Retriers, cluster, fault: str) -> None:
    """Request every response again, compare the tasks with the responses, and print the result."""
    await retriers.stop()
    wrong, replayed = retriers.wrong, 0
    lines = {f"user-{number}": Line(retriers.port, retriers.sign(f"user-{number}")) for number in range(USERS)}
    for write in retriers.writes:
        replayed += REPLAYED in write.answer.headers
        again = await lines[write.user].ask("POST", write.path, write.body, write.key)
        if (again.status, again.body) != (write.answer.status, write.answer.body) or REPLAYED not in again.headers:
            wrong.append(f"{write}: then {again}")
    for line in lines.values():
        line.close()
    async with cluster.admin() as admin:
        there = Counter(row["title"] for row in await admin.fetch("SELECT title FROM tasks"))
        rows = await admin.fetch("SELECT user_id, id FROM tasks WHERE completed")
        completed = {(row["user_id"], row["id"]) for row in rows}
        revisions = {row["id"]: row["revision"] for row in await admin.fetch("SELECT id, revision FROM users")}
    promised = Counter(title for write in retriers.writes for title in write.titles)
    lost, doubled = [*(promised - there)], [*(there - promised)]
    # A toggle that was performed twice, or never, leaves its task pending.
    toggled = [(write.user, write.toggles) for write in retriers.writes if write.toggles]
    lost += [f"the toggle of {task}" for task in toggled if task not in completed]
    for user, moved in revisions.items():
        expected = sum(write.revisions for write in retriers.writes if write.user == user)
        if moved != expected:
            (lost if moved < expected else doubled).append(f"{user}: {expected} revisions answered, {moved} made")
    failures = sum(retriers.statuses[status] for status in FAILED)
    stage.say(
        f"| {fault} | {retriers.sent / retriers.seconds:.0f} | {len(retriers.writes)} | {len(lost)} | {len(doubled)} | "
        f"{len(wrong)} | {failures} | - | {retriers.sent - len(retriers.writes)} sent again ({retriers.broken} broken "
        f"off, {retriers.statuses[409]} answered 409), {replayed} of them done already |"
    )
    assert not lost, lost[:5]
    assert not doubled, doubled[:5]
    assert not wrong, wrong[:5]
    assert retriers.broken + failures > 0, "or nothing died"
    assert len(retriers.writes) > 100, "or there was nothing to lose"


async def insist_while(stage, cluster, fault: str, die: Callable[[], Awaitable[None]], times: int) -> None:
    """Let the clients write while `die` repeatedly ends a part of the system."""
    await stage.serve()
    await stage.lives()
    retriers = Retriers(stage.port, stage.sign)
    retriers.start()
    for _ in range(times):
        await asyncio.sleep(0.5)
        await die()
    await asyncio.sleep(0.5)
    await reckon(stage, retriers, cluster, fault)


@trial
async def test_writes_are_sent_again_while_workers_are_killed(stage, cluster):
    made, chance = stage(workers=2, breaks=True), random.Random(20261121)

    async def die() -> None:
        chance.choice(made.family()).kill()

    await insist_while(made, cluster, "sent again with a key, kill -9 of a worker 20 times", die, 20)


@trial
async def test_writes_are_sent_again_while_the_database_crashes(stage, cluster):
    async def die() -> None:
        await cluster.stop("immediate")
        await cluster.start()

    await insist_while(stage(), cluster, "sent again with a key, database restarted with immediate 5 times", die, 5)
