"""The structure of a trial: a service and a load over a database, a fault, and the evaluation."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import asyncpg
import psutil

from tests.trials.cluster import Cluster, unused_port
from tests.trials.followers import Copy, settle
from tests.trials.load import USERS, Line, Load, Promise, Promised

CONNECTIONS = 10  # half of the default of DB_CONNECTIONS: the connections of all workers together
ENOUGH = 50  # acknowledged writes before the fault, so that a loss can be seen
RECOVERY = 5.0  # seconds after the recovery of the database
EXIT = 20.0  # seconds; the maximum of a stop
FORESEEN = {"worker died", "worker hangs, killing it", "supervisor is gone, stopping"}
HEADER = """
| fault | requests/s | acknowledged | lost | doubled | wrong | 503 | seconds to recover | also |
| --- | --- | --- | --- | --- | --- | --- | --- | --- |"""
BACKENDS = "FROM pg_stat_activity WHERE usename = 'doable'"


@dataclass
class Stage:
    """One trial. `await raise_curtain()` starts the service and its load; `await reckon("fault")` evaluates it."""

    cluster: Cluster
    launch: Callable
    sign: Callable[[str], str]
    say: Callable[[str], None]
    workers: int = 1
    url: str = ""  # the URL of the cluster, or of a relay before it
    users: int = USERS
    pause: float = 0.02
    breaks: bool = False
    exits: bool = False  # whether the service is stopped by the fault
    pooler: bool = False
    notes: list[str] = field(default_factory=list)
    secret: str = ""
    command: list[str] = field(default_factory=lambda: [sys.executable, "-m", "service", "run"])
    port: int = 0  # a free port, which a restart uses again
    followers: list[Copy] = field(default_factory=list)

    async def serve(self, **environment: str) -> None:
        """Start the service and wait until it is live."""
        self.port = self.port or unused_port()
        self.process = self.launch(
            self.command,
            DATABASE_URL=self.url or self.cluster.url,
            HOST="127.0.0.1",
            PORT=str(self.port),
            WEB_CONCURRENCY=str(self.workers),
            BETTER_AUTH_SECRET=self.secret,
            RATE_LIMIT="off",
            TASK_QUOTA="1000000",
            TRASH_QUOTA="1000000",
            IDEMPOTENCY_BYTES="999999999",
            **{"LOG_LEVEL": "warning", **environment},
        )

    async def raise_curtain(self, warm_up: float = 1.0, **environment: str) -> None:
        """Start the service and the load, and let them run for some time."""
        await self.serve(**environment)
        await self.lives()
        self.load = Load(self.port, self.sign, pause=self.pause, breaks=self.breaks, users=self.users)
        self.load.start()
        await asyncio.sleep(warm_up)

    async def lives(self, seconds: float = 30) -> None:
        """Wait until the service responds on a new connection."""
        deadline = time.monotonic() + seconds
        while True:
            with contextlib.suppress(OSError, EOFError):
                line = Line(self.port)
                try:
                    if (await line.ask("GET", "/health/live")).status == 200:
                        return
                finally:
                    line.close()
            assert time.monotonic() < deadline, f"it does not live:\n{self.process.stdout}\n{self.process.stderr}"
            await asyncio.sleep(0.02)

    def follow(self, kind: Callable[..., Copy], each: int, **options: object) -> list[Copy]:
        """Start `each` followers of every user; `reckon` compares their changes with the database."""
        users = [f"user-{number}" for number in range(self.users)] * each
        begun = [kind(self.port, user, self.sign(user), **options) for user in users]
        for one in begun:
            one.start()
        self.followers += begun
        return begun

    def over(self) -> None:
        """Record the end of the fault, from which the recovery time counts."""
        self.load.mark()

    async def exited(self) -> float:
        """Wait until the service has ended, and return the seconds."""
        began = time.monotonic()
        code = await self.process.exit_code(EXIT)
        assert code in {0, -signal.SIGTERM}, self.process.stdout
        return time.monotonic() - began

    async def reckon(self, fault: str) -> None:
        """Wait for the recovery, stop the load, compare acknowledged writes with the database, and print the result."""
        load, faults = self.load, []
        recovered = 0.0 if self.exits else await load.recovered()
        try:
            await load.stop()
        finally:
            if not self.exits and not self.pooler:
                faults += await self._look_at_pool()
        async with self.cluster.admin() as connection:
            lost, doubled, more = await compare(connection, load.promised)
            faults += more
            if self.followers and not self.exits:
                note, more = await settle(connection, self.followers)
                self.notes.append(note)
                faults += more
        if recovered > RECOVERY:
            faults.append(f"recovered after {recovered:.1f} s; connections {load.first_success}")
        faults += self._read_log()
        rate = load.sent / load.seconds
        failures = load.statuses[503] + load.statuses[504]
        shown = f"{recovered:.2f}" if not self.exits else "-"
        if not self.exits:
            self.notes.append(f"live answered {load.lives} times within {load.slowest_live * 1000:.0f} ms")
        self.say(
            f"| {fault} | {rate:.0f} | {load.acknowledged} | {len(lost)} | {len(doubled)} | {len(load.wrong)} | "
            f"{failures} | {shown} | {'; '.join(self.notes)} |"
        )
        assert not lost, f"{len(lost)} acknowledged writes are not there: {lost[:5]}"
        assert not doubled, f"{len(doubled)} writes are there twice: {doubled[:5]}"
        assert not load.wrong, f"{len(load.wrong)} wrong answers: {load.wrong[:5]}"
        assert not faults, "\n".join(faults)
        assert load.acknowledged > ENOUGH, "or there was no load to lose anything of"

    async def _look_at_pool(self) -> list[str]:
        """Take every connection of the pools at once, so that a leaked connection or turn would be noticed."""
        async with self.cluster.admin() as connection:
            if idle := await connection.fetchval(f"SELECT count(*) {BACKENDS} AND state LIKE 'idle in%'"):
                return [f"{idle} connections are idle in a transaction"]
            waiting = f"SELECT count(*) {BACKENDS} AND wait_event_type = 'Lock'"
            lines: list[Line] = []
            asked: list[asyncio.Task] = []
            async with connection.transaction():
                await connection.execute("LOCK TABLE tasks IN ACCESS EXCLUSIVE MODE")
                held, deadline = 0, time.monotonic() + 3
                while held < CONNECTIONS and time.monotonic() < deadline:
                    # A few requests at a time, until the kernel has distributed enough of them to each worker.
                    # One user may use at most half of the connections.
                    users = [f"user-{number % USERS}" for number in range(CONNECTIONS)]
                    for line in (more := [Line(self.port, self.sign(user)) for user in users]):
                        asked.append(asyncio.create_task(line.ask("GET", "/api/me/tasks?limit=1")))
                    lines += more
                    await asyncio.sleep(0.1)
                    await connection.execute("SELECT pg_stat_clear_snapshot()")
                    held = await connection.fetchval(waiting)
            answers = counted(await asyncio.gather(*asked, return_exceptions=True))
            for line in lines:
                line.close()
            backends = await connection.fetchval(f"SELECT count(*) {BACKENDS}")
        faults = []
        if held != CONNECTIONS:
            faults.append(f"{held} of {CONNECTIONS} connections can be used at once")
        if answers != {200: len(lines)}:
            faults.append(f"after all was over, {len(lines)} requests at once were answered {answers}")
        if backends > CONNECTIONS:
            faults.append(f"the database holds {backends} connections, {CONNECTIONS} are allowed")
        return faults

    def _read_log(self) -> list[str]:
        """Check the log of the process: only JSON lines, and only expected failures."""
        faults = [f"stderr: {self.process.stderr[:500]}"] if self.process.stderr else []
        for text in self.process.stdout.splitlines():
            line = json.loads(text)
            if line["level"] == "error" and line["message"] not in FORESEEN:
                faults.append(f"log: {text[:1500]}")
        return faults[:5]

    def family(self) -> list[psutil.Process]:
        """Return the processes that serve."""
        parent = psutil.Process(self.process.process.pid)
        return parent.children() or [parent]

    def files(self) -> int:
        """Return the number of their open files and sockets."""
        return sum(process.num_fds() for process in self.family())


def counted(answers: list) -> dict[object, int]:
    """Return how often each status or failure occurred."""
    return dict(Counter(repr(one) if isinstance(one, BaseException) else one.status for one in answers))


async def compare(connection: asyncpg.Connection, promised: Promised) -> tuple[list[str], list[str], list[str]]:
    """Return acknowledged writes that are lost, duplicated or inconsistent."""
    rows = await connection.fetch("SELECT user_id, id, title, completed, deleted_at, version FROM tasks")
    users = await connection.fetch(
        "SELECT users.*, (SELECT count(*) FROM tasks WHERE user_id = users.id AND deleted_at IS NULL) AS live, "
        "(SELECT max(version) FROM tasks WHERE user_id = users.id) AS newest, "
        "(SELECT count(*) - count(DISTINCT version) FROM tasks WHERE user_id = users.id) AS repeated FROM users"
    )
    there: dict[str, asyncpg.Record] = {}
    doubled = []
    for row in rows:
        if row["title"] in there:
            doubled.append(row["title"])
        there[row["title"]] = row
    lost = _missing(promised.promises, there)
    faults = []
    for user in users:
        done, sent = promised.writes_done[user["id"]], promised.writes_sent[user["id"]]
        # Each write advances the owner's revision by one: a lower one means lost writes, a higher one repeated writes.
        if user["revision"] < done:
            lost.append(f"{user['id']}: {done} writes acknowledged, {user['revision']} done")
        if user["revision"] > sent:
            doubled.append(f"{user['id']}: {sent} writes sent, {user['revision']} done")
        if user["live"] != user["task_count"]:
            faults.append(f"{user['id']} has {user['live']} live tasks and counts {user['task_count']}")
        if user["newest"] > user["revision"] or user["repeated"]:
            faults.append(f"the versions of {user['id']} are not its revisions")
    return lost, doubled, faults


def _missing(promises: dict[str, Promise], there: dict[str, asyncpg.Record]) -> list[str]:
    """Return the acknowledged tasks that differ from `there`, the tasks by title."""
    lost = []
    for title, promise in promises.items():
        row = there.get(title)
        if row is None or (row["user_id"], row["id"]) != (promise.user, promise.id):
            lost.append(title)
        elif row["version"] < promise.version:
            lost.append(f"{title}: version {promise.version}, there {row['version']}")
        elif (promise.certain and row["completed"] is not promise.completed) or (
            promise.deleted and row["deleted_at"] is None
        ):
            lost.append(f"{title}: promised {promise}, there {dict(row)}")
    return lost
