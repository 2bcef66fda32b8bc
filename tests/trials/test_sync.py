"""Clients that follow changes, by streams and feeds, while the database and the process are killed under load."""

from __future__ import annotations

import asyncio
import math
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import asyncpg
import pytest

from tests.trials.followers import Reader, Stream, spread
from tests.trials.load import Line

trial = pytest.mark.trial
STREAMS = 4  # of each user
REVISION = "SELECT revision FROM users WHERE id = $1"
SAME_PROCESS = 0.2  # seconds from a write to its event
OTHER_PROCESS = 1.5


@pytest.fixture
async def committed(cluster) -> AsyncIterator[Callable[[str], Awaitable[int | None]]]:
    """Return a function that reads a user's committed revision over its own session; None without a database."""
    sessions: list[asyncpg.Connection] = []
    turn = asyncio.Lock()

    async def look(user: str) -> int | None:
        async with turn:
            try:
                if not sessions:
                    sessions.append(await asyncpg.connect(cluster.admin_url, timeout=2, command_timeout=2))
                return await sessions[0].fetchval(REVISION, user)
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                for session in sessions:
                    session.terminate()
                sessions.clear()
                return None

    yield look
    for session in sessions:
        session.terminate()


async def streams_of(trial, eventually) -> list[Stream]:
    """Open streams of every user on all workers; the kernel chooses the worker of a connection."""
    held = [0]
    while len(trial.followers) < STREAMS * trial.users or not all(held):
        assert len(trial.followers) < 3 * STREAMS * trial.users, held
        trial.follow(Stream, 1)
        await eventually(lambda: all(one.began for one in trial.followers))
        held = spread(trial.followers, trial.family())
        assert sum(held) == len(trial.followers)
    if trial.workers > 1:
        trial.notes.append(f"workers hold {' and '.join(map(str, held))}")
    return trial.followers


@trial
async def test_streams_survive_a_crash_of_the_database(stage, cluster, eventually):
    trial = stage(workers=2)
    await trial.raise_curtain(1)
    streams = await streams_of(trial, eventually)
    for _ in range(3):
        await asyncio.sleep(0.5)
        await cluster.stop("immediate")
        await asyncio.sleep(1)
        await cluster.start()
        trial.over()
        await asyncio.sleep(2)
    await trial.reckon("database restarted with immediate, streams open")
    assert not any(one.endings for one in streams), "they stay open, and catch up"


@trial
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL], ids=["terminated", "killed"])
async def test_streams_continue_at_their_position_in_a_new_process(stage, eventually, how):
    trial = stage(workers=2, breaks=True)
    await trial.raise_curtain()
    streams = await streams_of(trial, eventually)
    for number in range(1, 4):
        await asyncio.sleep(0.5)
        if how == signal.SIGTERM:
            trial.process.signal(how)
            await trial.exited()
            assert not trial.process.stderr
        else:
            trial.process.kill()  # the workers too
        await trial.serve()
        await trial.lives()
        trial.over()
        await eventually(lambda number=number: all(len(one.endings) == number and one.open for one in streams))
    await trial.reckon(f"service restarted ({how.name}) 3 times, streams open")
    assert all(proper is (how == signal.SIGTERM) for one in streams for _, proper in one.endings)


@trial
async def test_a_slow_reader_of_the_feed_misses_nothing(stage, cluster, committed):
    trial = stage(workers=2)
    await trial.raise_curtain(0.5)
    for one in trial.follow(Reader, 2, limit=5, pause=0.05):
        one.acknowledged, one.committed = (lambda user=one.user: trial.load.newest[user]), committed
    for _ in range(3):
        await asyncio.sleep(1)
        async with cluster.admin() as admin:
            await admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'doable'")
        await asyncio.sleep(0.2)
        await cluster.stop("immediate")
        await asyncio.sleep(0.2)
        await cluster.start()
        trial.over()
        await asyncio.sleep(1)
    await trial.reckon("database restarted with immediate, slow readers of the feed")


@trial
async def test_a_reader_of_ten_thousand_writes_misses_nothing(stage, committed, eventually):
    """Writes of one user only, which wait for each other; the load has no pauses."""
    trial = stage(workers=2, users=1, pause=0)
    await trial.raise_curtain(0.1)
    for one in trial.follow(Reader, 2, limit=60, pause=0):
        one.acknowledged, one.committed = (lambda: trial.load.newest["user-0"]), committed
    await eventually(lambda: trial.load.acknowledged >= 10_000, 60)
    trial.over()
    await trial.reckon("10,000 writes of one user, two readers of the feed")
    assert set(trial.load.statuses) <= {200, 201, 204}


@trial
@pytest.mark.parametrize("workers", [1, 2])
async def test_a_stop_under_load_ends_streams_within_its_time(stage, eventually, workers):
    trial = stage(workers=workers, breaks=True, exits=True)
    await trial.raise_curtain()
    streams = await streams_of(trial, eventually)
    signalled = time.monotonic()
    trial.process.signal(signal.SIGTERM)
    await trial.exited()
    seconds = time.monotonic() - signalled
    await eventually(lambda: all(one.endings for one in streams))
    slowest = max(one.endings[0][0] for one in streams) - signalled
    wrong = [fault for one in streams for fault in one.wrong]
    properly = sum(one.endings[0][1] for one in streams)
    trial.notes.append(
        f"{len(streams)} streams ended within {slowest * 1000:.0f} ms, {properly} of them properly; "
        f"exit after {seconds:.2f} s"
    )
    await trial.reckon(f"SIGTERM, {workers} workers, streams open")
    assert not wrong, wrong[:5]
    assert all(proper for one in streams for _, proper in one.endings)
    assert seconds < 5, "an open stream does not hold up the stop"


def figures(took: list[float]) -> str:
    """Return the median, the 99th percentile and the maximum of these seconds."""
    took = sorted(took)
    middle, high = took[len(took) // 2], took[math.ceil(len(took) * 0.99) - 1]
    return f"median {middle * 1000:.0f} ms, p99 {high * 1000:.0f} ms, worst {took[-1] * 1000:.0f} ms"


async def times(writer, stream: Stream, eventually, pause: float) -> list[float]:
    """Write 250 times, and return the seconds from each write to its event. Without a pause, writes are sequential."""
    line, sent = Line(writer.port, writer.sign("user-0")), dict[int, float]()
    for number in range(250):
        now = time.monotonic()
        answer = await line.ask("POST", "/api/user-0/tasks", {"title": f"Task {number}"})
        assert answer.status == 201
        sent[answer.json["version"]] = now
        await (asyncio.sleep(pause) if pause else eventually(lambda: sent.keys() <= stream.heard.keys()))
    await eventually(lambda: sent.keys() <= stream.heard.keys(), 5)
    line.close()
    return [stream.heard[version] - moment for version, moment in sent.items()]


@trial
@pytest.mark.parametrize("processes", [1, 2])
async def test_an_event_follows_its_write_in_time(stage, eventually, processes):
    """Writes of the same process are sequential; those of another process are spread over the second of a poll."""
    services = [stage(users=1) for _ in range(processes)]
    listening, writing = services[0], services[-1]
    for one in services:
        await one.serve()
        await one.lives()
    (stream,) = listening.follow(Stream, 1)
    await eventually(lambda: stream.open and stream.began is not None)
    took = await times(writing, stream, eventually, 0 if processes == 1 else 0.03)
    place = "the same process" if processes == 1 else "another process"
    listening.say(f"| from write to event, {place} | - | {len(took)} | 0 | 0 | 0 | 0 | - | {figures(took)} |")
    assert max(took) <= (SAME_PROCESS if processes == 1 else OTHER_PROCESS)
    assert not stream.wrong
    assert len(stream.tasks) == len(took)
