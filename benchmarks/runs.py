"""Run the benchmark: fill each server through its API, then measure the servers in turns, cell by cell."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec

from benchmarks import cells, load
from benchmarks.cells import HEAVY, HEAVY_TASKS, LIGHT, LIGHT_TASKS, TASKS_EACH, Cell, SkippedError
from benchmarks.results import Pace, Results
from benchmarks.servers import Server, stage

READY = "ready"  # a user without tasks
WARM = 200  # requests before a run, whose responses are checked

OTHERS = """
INSERT INTO users (id, email, name, created_at, written_at, revision, task_count)
SELECT 'other-' || number, NULL, NULL, now(), now(), 100, 100 FROM generate_series(1, 10000) AS number
"""
OTHERS_TASKS = """
INSERT INTO tasks (user_id, id, uid, tag_keys,
    title, title_key, completed, priority, tags, created_at, updated_at, version)
SELECT 'other-' || owner, number, gen_random_uuid(),
    '{}', 'A task of somebody else', 'a task of somebody else', false, 0, '{}', now(), now(), number
FROM generate_series(1, 10000) AS owner, generate_series(1, 100) AS number
"""


@dataclass(frozen=True, slots=True)
class Plan:
    """The size of a run."""

    users: int
    rounds: int
    seconds: int
    starts: int = 1
    paced: float = 0.0  # seconds of the paced load
    extras: bool = False  # lists of 10,000, depth and unchanged lists
    width: bool = False


FULL = Plan(users=200, rounds=3, seconds=2, starts=3, paced=10, extras=True, width=True)
QUICK = Plan(users=40, rounds=2, seconds=1, paced=4, extras=True)


async def measure(plan: Plan, names: Sequence[str], main: Sequence[Cell]) -> Results:
    """Measure the servers with these names as planned, and return the results."""
    results = Results(load=await load.version(), users=plan.users, rounds=plan.rounds, seconds=plan.seconds)
    with stage(names) as (database, servers):
        results.notes += [
            f"{name}: not installed, so not measured"
            for name in names
            if name not in {one.kind.name for one in servers}
        ]
        results.postgres = await database.prepare([server.kind.name for server in servers])
        for server in servers:
            await _start(server, plan.starts)
            results.started_in[server.kind.name] = statistics.median(server.started_in)
            results.idle_memory[server.kind.name] = server.memory()
            say(f"{server.kind.title} answers after {results.started_in[server.kind.name]:.2f} s; filling it …")
            await _fill(server, plan)
        await _go_round(results, servers, main, plan)
        if plan.extras:
            await _go_round(results, servers, [cells.UNCHANGED, cells.WHOLE, *cells.DEPTH], plan)
        results.memory = {server.kind.name: server.memory() for server in servers}
        doable = servers[0]
        if plan.paced:
            results.pace = await _pace(doable, plan.paced)
        if plan.width:
            await _go_round(results, [doable], cells.NARROW, plan)
            say("adding 1,000,000 tasks of others …")
            await doable.execute(OTHERS, OTHERS_TASKS, "VACUUM (ANALYZE)")
            await _go_round(results, [doable], cells.WIDE, plan)
    return results


async def _start(server: Server, times: int) -> None:
    ready = load.request("GET", READY)
    for _ in range(times - 1):
        await server.start(ready)
        server.stop()
    await server.start(ready)


async def _fill(server: Server, plan: Plan) -> None:
    wanted = {f"user-{number}": TASKS_EACH for number in range(plan.users)}
    if plan.extras and server.kind.name in cells.WHOLE.servers:
        wanted |= {HEAVY: HEAVY_TASKS, LIGHT: LIGHT_TASKS}
    posts = [
        (user, load.request("POST", user, body={"title": f"Task {number}", "description": "Something to be done."}))
        for number in range(max(wanted.values()))
        for user, count in wanted.items()
        if number < count
    ]
    replies = await load.ask_all(server, [content for _, content in posts])
    for (user, _), reply in zip(posts, replies, strict=True):
        if reply.status != 201:  # noqa: PLR2004 - the status of a creation
            raise RuntimeError(f"{server.kind.title} answered {reply.status}: {reply.body[:500]!r}")
        server.tasks.setdefault(user, []).append(msgspec.json.decode(reply.body)["id"])
    await server.execute("VACUUM (ANALYZE)")


async def _go_round(results: Results, servers: Sequence[Server], asked: Iterable[Cell], plan: Plan) -> None:
    for cell in asked:
        for turn in range(plan.rounds):
            for server in servers:
                if server.kind.name in cell.servers:
                    with server.explained(cell.name):
                        await _run_once(results, server, cell, turn, plan.seconds)
        for name, samples in results.cells.get(cell.name, {}).items():
            middle = statistics.median(sample.rate for sample in samples)
            worker = statistics.median(sample.worker for sample in samples)
            say(f"{cell.name:30} {name:18} {middle:9,.0f}/s  {worker:6,.0f} µs of a worker")


async def _run_once(results: Results, server: Server, cell: Cell, turn: int, seconds: int) -> None:
    try:
        requests = await cell.requests(server, turn)
    except SkippedError as reason:
        if turn == 0:
            results.notes.append(f"{cell.name}: skipped, {reason}")
        return
    statuses = {reply.status for reply in await load.ask_all(server, requests[-WARM:], cell.connections)}
    if statuses != {cell.status}:
        raise RuntimeError(f"{cell.name}: {server.kind.title} answered {statuses} instead of {cell.status}")
    sample = await load.press(server, requests, seconds, cell.connections)
    results.cells.setdefault(cell.name, {}).setdefault(server.kind.name, []).append(sample)
    await cell.tidy(server)


async def _pace(server: Server, seconds: float) -> Pace:
    users = [user for user in server.tasks if user not in (HEAVY, LIGHT)]
    asked = [load.request("GET", user, "?limit=20") for user in users]
    alone = await load.pace(server, asked[:1], 0.1, seconds)
    together = await load.pace(server, (asked * 100)[:100], 1.0, seconds)
    return Pace(alone=_p95(alone), together=_p95(together))


def _p95(milliseconds: list[float]) -> float:
    return statistics.quantiles(milliseconds, n=20)[-1]


def say(line: str) -> None:
    """Print a line of progress."""
    print(f"{time.strftime('%H:%M:%S')}  {line}", flush=True)


def run(plan: Plan, names: Sequence[str], main: Sequence[Cell]) -> Results:
    """Run `measure` in a new event loop, and return the results."""
    return asyncio.run(measure(plan, names, main))
