"""Faults of the process: stops under load, kills, disconnected clients, and a long run."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import shlex
import signal
import socket
import sys
import time
from collections import Counter

import pytest

from tests.trials.load import CONNECTIONS, Line
from tests.trials.stage import ENOUGH, EXIT

trial = pytest.mark.trial
MEGABYTE = 1024 * 1024
MINUTES = float(os.environ.get("TRIAL_MINUTES", "1"))


@trial
@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("signals", [1, 2])
async def test_a_stop_responds_to_all_requests_in_flight(stage, cluster, workers, signals):
    """Block all requests, send the signal and unblock them: each request must get its response."""
    trial = stage(workers=workers, breaks=True, exits=True)
    await trial.raise_curtain(2)
    load = trial.load
    async with asyncio.timeout(60):
        while load.acknowledged <= ENOUGH:  # a busy machine takes longer than the warm-up
            await asyncio.sleep(0.01)
    async with cluster.admin() as admin, admin.transaction():
        await admin.execute("LOCK TABLE tasks IN ACCESS EXCLUSIVE MODE")
        await asyncio.sleep(0.5)
        in_flight = sum(time.monotonic() - since > 0.2 for since in load.pending.values())
        signalled = time.monotonic()
        for _ in range(signals):
            trial.process.signal(signal.SIGTERM)
            await asyncio.sleep(0.3)
        assert trial.process.process.poll() is None
    await trial.exited()
    seconds = time.monotonic() - signalled
    unanswered = sum(sent < signalled - 0.2 for sent, _ in load.broken)
    # The port is closed; the clients notice it and are stopped.
    await asyncio.sleep(0.2)
    trial.notes.append(f"{in_flight} in flight, {unanswered} of them unanswered, exit after {seconds:.1f} s")
    await trial.reckon(f"SIGTERM {'once' if signals == 1 else 'twice'}, {workers} workers")
    assert in_flight == CONNECTIONS
    assert unanswered == 0
    assert load.statuses.keys() <= {200, 201, 204}, "no request in flight was refused"
    assert seconds < 5, "nobody who has been answered is waited for"


@trial
@pytest.mark.parametrize("workers", [1, 2])
async def test_a_stop_signal_at_any_time_during_startup_ends_the_service(stage, workers):
    slowest, rounds = 0.0, 8
    for number in range(rounds):
        trial = stage(workers=workers, breaks=True, exits=True)
        await trial.serve()
        await asyncio.sleep(0.2 * number)
        trial.process.signal(signal.SIGTERM)
        slowest = max(slowest, await trial.exited())
        assert not trial.process.stderr
    trial.say(
        f"| SIGTERM during start, {workers} workers | 0 | 0 | 0 | 0 | 0 | 0 | - | "
        f"{rounds} moments, the slowest exit after {slowest:.1f} s |"
    )


@trial
async def test_a_worker_of_two_is_killed(stage):
    trial = stage(workers=2, breaks=True)
    await trial.raise_curtain()
    for _ in range(3):
        victim = random.Random(1).choice(trial.family())
        victim.kill()
        trial.over()
        await asyncio.sleep(1.5)
        assert victim.pid not in [process.pid for process in trial.family()]
    trial.notes.append(f"{len(trial.load.broken)} requests broken off")
    assert 0 < len(trial.load.broken) <= 3 * (CONNECTIONS + 1)
    await trial.reckon("kill -9 of a worker of two, 3 times")


@trial
async def test_a_worker_that_hangs_is_replaced_within_thirty_seconds(stage):
    trial = stage(workers=2)
    await trial.serve()
    await trial.lives()
    family = trial.family()
    await asyncio.sleep(2)  # both have a heartbeat
    hung, began = family[0], time.monotonic()
    hung.suspend()
    while hung.is_running() and time.monotonic() < began + 40:
        await asyncio.sleep(0.1)
    seconds = time.monotonic() - began
    await trial.lives()
    assert len(trial.family()) == 2
    trial.say(f"| SIGSTOP of a worker of two | - | - | - | - | - | - | {seconds:.1f} | killed and replaced |")
    assert seconds < 30


@trial
@pytest.mark.parametrize("workers", [1, 2])
async def test_a_stop_among_heavy_exports_ends_within_twenty_seconds(stage, workers):
    trial = stage(workers=workers, exits=True)
    await trial.serve()
    await trial.lives()
    users = [f"user-{number}" for number in range(4)]
    for user in users:
        tasks = [{"title": f"Task {number}", "description": "long " * 190, "tags": [f"tag-{one}" for one in range(20)],
                  "due_date": "2026-12-01"} for number in range(2_000)]  # fmt: skip
        line = Line(trial.port, trial.sign(user))
        answer = await line.ask("POST", f"/api/{user}/import", {"tasks": tasks})
        line.close()
        assert answer.status == 200, answer.body
    exports = [asyncio.create_task(keep_exporting(trial, user)) for user in users for _ in range(8)]
    await asyncio.sleep(2)
    trial.process.signal(signal.SIGTERM)
    seconds = await trial.exited()
    await asyncio.gather(*exports)
    trial.say(f"| SIGTERM among 32 iCalendar exports, {workers} workers | - | - | - | - | - | - | - | "
              f"exit after {seconds:.1f} s |")  # fmt: skip


async def keep_exporting(trial, user: str) -> None:
    """Repeat exports until the service has ended."""
    request = (f"GET /api/{user}/export?format=ical HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
               f"Authorization: Bearer {trial.sign(user)}\r\n\r\n").encode()  # fmt: skip
    with contextlib.suppress(OSError):
        while True:
            reader, writer = await asyncio.open_connection("127.0.0.1", trial.port)
            try:
                writer.write(request)
                while await reader.read(65_536):
                    pass
            finally:
                writer.close()


@trial
async def test_a_stop_with_a_stopped_worker_ends_within_twenty_seconds(stage):
    trial = stage(workers=2)
    await trial.serve()
    await trial.lives()
    stopped = trial.family()[0]
    stopped.suspend()
    began = time.monotonic()
    trial.process.signal(signal.SIGTERM)
    assert await trial.process.exit_code(EXIT) == 1
    seconds = time.monotonic() - began
    assert not stopped.is_running()
    trial.say(f"| SIGTERM with a stopped worker | - | - | - | - | - | - | - | exit after {seconds:.1f} s |")


@trial
async def test_workers_of_a_killed_supervisor_leave_the_port(stage):
    trial = stage(workers=2)
    await trial.serve()
    await trial.lives()
    family, began = trial.family(), time.monotonic()
    trial.process.signal(signal.SIGKILL)
    while any(worker.is_running() for worker in family):
        assert time.monotonic() < began + 10
        await asyncio.sleep(0.02)
    seconds = time.monotonic() - began
    with socket.create_server(("127.0.0.1", trial.port)):
        pass
    trial.say(f"| kill -9 of the supervisor | - | - | - | - | - | - | - | the port was free after {seconds:.1f} s |")


@trial
@pytest.mark.parametrize("workers", [1, 2])
async def test_unread_stdout_hangs_neither_requests_nor_probes_nor_a_stop(stage, tmp_path, workers):
    pipe = tmp_path / "stdout"
    os.mkfifo(pipe)
    held = os.open(pipe, os.O_RDWR | os.O_NONBLOCK)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(held, b"full" * 1024)
    trial = stage(workers=workers, exits=True, breaks=True)
    trial.command = ["bash", "-c", f'exec "$0" -m service run > {shlex.quote(str(pipe))}', sys.executable]
    await trial.raise_curtain(0.1, LOG_LEVEL="info", METRICS_TOKEN="a-token-of-this-trial-alone")
    dropped = 0.0
    async with asyncio.timeout(60):
        while dropped < 100:
            await asyncio.sleep(0.5)
            line = Line(trial.port, "a-token-of-this-trial-alone")
            text = (await line.ask("GET", "/metrics")).body.decode()
            line.close()
            dropped = float(text.split("\ndoable_log_lines_dropped_total ")[1].split()[0])
    trial.over()
    assert await trial.load.recovered() < 5
    lives, slowest = trial.load.lives, trial.load.slowest_live
    trial.process.signal(signal.SIGTERM)
    seconds = await trial.exited()
    os.close(held)
    trial.notes.append(
        f"{dropped:.0f} lines dropped, live answered {lives} times within {slowest * 1000:.0f} ms, "
        f"exit after {seconds:.1f} s"
    )
    await trial.reckon(f"stdout full and unread, {workers} workers")
    assert seconds < 5


async def hang_up(trial, clients: int) -> None:
    """Let so many clients send a request, or half of one, and disconnect at a random time."""
    chance, load = random.Random(20261121), trial.load
    token = trial.sign("user-0")

    async def one(number: int) -> None:
        line = Line(trial.port, token)
        sent = line.request("POST", "/api/user-0/tasks", {"title": f"hung up {number}"})
        whole = chance.random() < 0.8
        _reader, writer = await asyncio.open_connection("127.0.0.1", trial.port)
        load.writes_sent["user-0"] += whole
        writer.write(sent if whole else sent[: chance.randrange(len(sent))])
        await asyncio.sleep(chance.uniform(0, 0.1))
        writer.transport.abort()

    async def some(numbers: range) -> None:
        for number in numbers:
            await one(number)

    async with asyncio.timeout(120):
        await asyncio.gather(*(some(range(start, clients, 50)) for start in range(50)))


@trial
@pytest.mark.parametrize("workers", [1, 2])
async def test_a_thousand_clients_that_disconnect_leave_nothing_behind(stage, workers):
    trial = stage(workers=workers, pause=0.1)
    await trial.raise_curtain(2)
    before = trial.files()
    await hang_up(trial, 1000)
    trial.over()
    await asyncio.sleep(1)
    after = trial.files()
    trial.notes.append(f"1000 hung up; {before} files before, {after} after")
    await trial.reckon(f"clients hang up, {workers} workers")
    assert set(trial.load.statuses) <= {200, 201, 204}, "those who stay notice nothing"
    assert after <= before + 12, "ten connections to the database may have been opened, and a probe's"


@trial
async def test_churn_grows_neither_memory_nor_files_nor_connections(stage, cluster):
    """An hour with TRIAL_MINUTES=60; the first quarter fills caches and is not counted."""
    trial = stage(workers=2, pause=0.04)
    await trial.raise_curtain()
    ends, began = time.monotonic() + MINUTES * 60, time.monotonic()
    samples: list[tuple[int, int, int]] = []
    async with cluster.admin() as admin:
        held = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'doable'"
        while time.monotonic() < ends:
            await hang_up(trial, 50) if len(samples) == 0 else await come_and_go(trial)
            memory = sum(process.memory_info().rss for process in trial.family())
            samples.append((memory, trial.files(), await admin.fetchval(held)))
            await asyncio.sleep(1)
    trial.over()
    counted = samples[len(samples) // 4 :]
    third = max(1, len(counted) // 3)
    early, late = ([sum(column) / third for column in zip(*part, strict=True)] for part in
                   (counted[:third], counted[-third:]))  # fmt: skip
    minutes = (time.monotonic() - began) / 60
    trial.notes.append(
        f"{minutes:.1f} minutes; memory {early[0] / MEGABYTE:.1f} → {late[0] / MEGABYTE:.1f} MB, "
        f"files {early[1]:.0f} → {late[1]:.0f}, connections {early[2]:.0f} → {late[2]:.0f}"
    )
    await trial.reckon("churn")
    assert set(trial.load.statuses) <= {200, 201, 204}
    assert late[0] < early[0] * 1.05 + 4 * MEGABYTE
    assert late[1] < early[1] + 5
    assert late[2] <= 10


async def come_and_go(trial) -> None:
    """Send one request on each of twenty new connections, with new tokens."""
    lines = [Line(trial.port, trial.sign("visitor", jti=str(random.random()))) for _ in range(20)]
    answers = await asyncio.gather(*(line.ask("GET", "/api/visitor/tasks?limit=1") for line in lines))
    for line in lines:
        line.close()
    assert Counter(answer.status for answer in answers) == {200: len(lines)}
