"""The processes: their start from the Procfile, their stop, the failures that they survive, and their log."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime
from pathlib import Path

import asyncpg
import httpx
import psutil
import pytest

from service import __version__, logs
from service.serving import supervisor, worker

ROOT = Path(__file__).parents[2]
PROCFILE = dict(line.split(": ", 1) for line in (ROOT / "Procfile").read_text().splitlines())
FAILING = """
import sys
from service import database
from service.__main__ import main

async def fail(settings):
    raise RuntimeError("this worker cannot start")

database.connect = fail
sys.exit(main(["run"]))
"""
# The service with a handler of SIGUSR1 that blocks the event loop, and short values of STOP_GRACE, STOP_LIMIT,
# KILL_AFTER and HUNG_AFTER of the worker and of the supervisor.
BLOCKABLE = """
import signal, sys, time
from service.serving import supervisor, worker
from service.__main__ import main

def block_the_loop(*_):
    while True:
        time.sleep(0.1)

signal.signal(signal.SIGUSR1, block_the_loop)
grace, stop, kill, blocked, hung = map(float, sys.argv[1:])
worker.STOP_GRACE, worker.HUNG_AFTER, supervisor.KILL_AFTER, supervisor.HUNG_AFTER = grace, blocked, kill, hung
worker.STOP_LIMIT = supervisor.STOP_LIMIT = stop
sys.exit(main(["run"]))
"""


def limited(*, grace: float = 15, stop: float = 17, kill: float = 10, blocked: int = 20, hung: int = 25) -> list[str]:
    """The command that runs the service with these limits, in seconds."""
    return [sys.executable, "-c", BLOCKABLE, *map(str, (grace, stop, kill, blocked, hung))]


@pytest.fixture
def start(launch, settings, free_port, eventually) -> Callable[..., Awaitable[object]]:
    """`await start(2)` runs the Procfile's line with two workers and no other settings, and waits until it serves."""

    async def run(
        workers: int = 1, *, url: str = "", command: list[str] | None = None, wait: bool | None = None, **more: str
    ):
        process = launch(
            command or PROCFILE["web"].split(),
            DATABASE_URL=url or settings.database_url,
            PORT=str(free_port),
            WEB_CONCURRENCY=str(workers),
            BETTER_AUTH_SECRET=settings.better_auth_secret,
            **more,
        )
        if wait or (wait is None and command is None):
            if workers > 1:
                await eventually(lambda: process.stdout.count("worker started") == workers)
            await eventually(lambda: lives(free_port))
        return process

    return run


async def lives(port: int, seconds: float = 5) -> bool:
    """Return whether the service responds on a new connection. Raises httpx.TransportError if it does not in time."""
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", verify=False, timeout=seconds) as client:
        return (await client.get("/health/live")).status_code == 200


@pytest.fixture
async def user(free_port, sign) -> AsyncIterator[httpx.AsyncClient]:
    """A user of the started service that no other test has."""
    headers = {"Authorization": f"Bearer {sign(f'user-{free_port}')}"}
    async with httpx.AsyncClient(
        base_url=f"http://127.0.0.1:{free_port}", headers=headers, timeout=30, verify=False
    ) as client:
        yield client


class Lock:
    """Block every write to a user's tasks until the test allows it."""

    def __init__(self, holder: asyncpg.Connection, watcher: asyncpg.Connection, eventually):
        self.holder, self._watcher, self._eventually = holder, watcher, eventually

    @contextlib.asynccontextmanager
    async def on(self, user_id: str) -> AsyncIterator[None]:
        async with self.holder.transaction():
            await self.holder.execute("SELECT FROM tasks WHERE user_id = $1 FOR UPDATE", user_id)
            yield

    async def holds_up(self, requests: int) -> None:
        """Wait until so many requests wait for the lock."""
        held = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"

        async def all_wait() -> bool:
            return await self._watcher.fetchval(held) == requests

        await self._eventually(all_wait)


@pytest.fixture
async def lock(settings, connection, eventually) -> AsyncIterator[Lock]:
    watcher = await asyncpg.connect(settings.database_url)  # the holder's snapshot is fixed in its transaction
    yield Lock(connection, watcher, eventually)
    await watcher.close()


def lines(process) -> list[dict]:
    """Return the log lines of a process, which must all be JSON objects."""
    assert process.stderr == ""
    return [json.loads(line) for line in process.stdout.splitlines()]


def told(process, message: str) -> dict:
    """Return the only line with this message."""
    (found,) = [line for line in lines(process) if line["message"] == message]
    return found


def workers_of(process) -> set[int]:
    return {child.pid for child in psutil.Process(process.process.pid).children()}


# A supervisor forwards only the first signal to its workers. Two workers need no case with one signal, because the test
# waits for the effect of the first signal before it sends the second.
@pytest.mark.parametrize(("workers", "signals"), [(1, 1), (1, 2), (2, 2)])
async def test_a_stop_waits_for_the_responses_of_requests_in_flight(start, user, lock, workers, signals):
    # A user's share is half of a worker's pool: enough for all three requests, even on one worker.
    process = await start(workers, DB_CONNECTIONS="40")
    tasks = [(await user.post("/api/me/tasks", json={"title": "In flight"})).json() for _ in range(3)]
    owner = tasks[0]["user_id"]
    idle, writer = await asyncio.open_connection("127.0.0.1", user.base_url.port)
    writer.write(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
    await idle.readuntil(b"}")
    async with lock.on(owner):
        requests = [asyncio.create_task(user.patch(f"/api/me/tasks/{task['id']}/complete")) for task in tasks]
        await lock.holds_up(len(tasks))
        for _ in range(signals):
            process.signal(signal.SIGTERM)
            async with asyncio.timeout(30):
                assert await idle.read() == b"", "an idle connection is closed once the stop is heard"
        assert process.process.poll() is None
    began = time.monotonic()
    answers = await asyncio.gather(*requests)
    assert [(answer.status_code, answer.json()["completed"]) for answer in answers] == [(200, True)] * len(tasks)
    assert await process.exit_code() == 0
    assert time.monotonic() - began < worker.STOP_GRACE, "no answered connection is waited for"
    assert await lock.holder.fetchval("SELECT bool_and(completed) FROM tasks WHERE user_id = $1", owner)
    assert {line["level"] for line in lines(process)} == {"info"}
    writer.close()


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("moment", [0, 0.05])
async def test_a_stop_signal_at_any_time_during_startup_is_handled(start, workers, moment):
    process = await start(workers, command=PROCFILE["web"].split())
    await process.says("listening")
    await asyncio.sleep(moment)  # not to wait, but to stop the service at this time
    process.signal(signal.SIGTERM)
    assert await process.exit_code(20) in {0, -signal.SIGTERM}
    assert {line["level"] for line in lines(process)} == {"info"}
    assert not psutil.pid_exists(process.process.pid)


async def test_ctrl_c_stops_as_sigterm_does(start):
    process = await start(2)
    os.killpg(process.process.pid, signal.SIGINT)  # a terminal signals every process of the group
    assert await process.exit_code() == 0
    assert {line["level"] for line in lines(process)} == {"info"}


async def test_a_killed_worker_is_replaced_while_the_other_serves(start, eventually, free_port):
    process = await start(2)
    before = await eventually(lambda: found if len(found := workers_of(process)) == 2 else None)
    killed = min(before)
    psutil.Process(killed).kill()
    assert all([await lives(free_port) for _ in range(20)])
    after = await eventually(lambda: found if len(found := workers_of(process) - {killed}) == 2 else None)
    assert before - {killed} < after
    assert [line["exit_code"] for line in lines(process) if line["message"] == "worker died"] == [-signal.SIGKILL]
    process.signal(signal.SIGTERM)
    assert await process.exit_code() == 0
    assert not any(psutil.pid_exists(worker) for worker in before | after)


@pytest.mark.parametrize("workers", [1, 2])
async def test_workers_that_cannot_start_end_the_service_with_an_error(start, workers):
    process = await start(workers, command=[sys.executable, "-c", FAILING])
    assert await process.exit_code() == 1
    written = process.stdout + process.stderr
    assert "this worker cannot start" in written
    assert written.count("this worker cannot start") <= 3 * supervisor.MAXIMUM_FAILED_STARTS


async def test_each_request_is_one_log_line_with_route_and_user_and_without_secrets(
    start, user, free_port, settings, sign
):
    process = await start()
    task = (await user.post("/api/me/tasks", json={"title": "Logged"}, headers={"X-Request-ID": "first"})).json()
    await user.get(f"/api/{task['user_id']}/tasks/{task['id']}", headers={"X-Request-ID": "second"})
    stale, theirs = sign("ada", seconds=-600), user.headers["authorization"].removeprefix("Bearer ")
    await user.get("/api/me/tasks", headers={"Authorization": f"Bearer {stale}", "X-Request-ID": "third"})
    await user.get(f"/api/somebody/tasks?access_token={theirs}", headers={"X-Request-ID": "fourth"})
    await user.get(f"/nowhere/{theirs}", headers={"X-Request-ID": "fifth"})
    reader, writer = await asyncio.open_connection("127.0.0.1", free_port)
    writer.write(b"GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n")
    assert (await reader.readline()).startswith(b"HTTP/1.1 400 ")
    writer.close()
    process.signal(signal.SIGTERM)
    assert await process.exit_code() == 0

    found = {line["request_id"]: line for line in lines(process) if line["message"] == "request"}
    seen = [(found[name]["method"], found[name]["route"], found[name]["status"], found[name]["user_id"])
            for name in ("first", "second", "third", "fourth", "fifth")]  # fmt: skip
    owner, one = task["user_id"], "/api/{user_id}/tasks/{task_id}"
    assert seen == [
        ("POST", "/api/{user_id}/tasks", 201, owner),
        ("GET", one, 200, owner),
        ("GET", "/api/{user_id}/tasks", 401, None),
        ("GET", "/api/{user_id}/tasks", 403, owner),
        ("GET", None, 404, None),
    ]
    unreadable = found.pop(next(name for name, line in found.items() if line["status"] == 400))
    assert (unreadable["method"], unreadable["client_address"]) == ("NONE", "127.0.0.1")
    for line in found.values():
        assert 0 <= line["duration_ms"] < 10_000
        assert datetime.fromisoformat(line["time"]).utcoffset().total_seconds() == 0
        assert line["level"] == "info"
        assert line["client_address"] == "127.0.0.1"
    for secret in (theirs, stale, settings.better_auth_secret, settings.database_url):
        assert secret not in process.stdout
        assert secret.rsplit(".", 1)[-1] not in process.stdout


async def test_the_service_starts_without_the_database_and_serves_once_it_is_available(start, relay, user, eventually):
    process = await start(url=relay.url)
    ready = await user.get("/health/ready")
    assert (ready.status_code, ready.json()["database"]["status"]) == (503, "unavailable")
    assert "127.0.0.1" not in ready.text
    for answer in (await user.get("/api/me/tasks"), await user.post("/api/me/tasks", json={"title": "Not yet"})):
        assert answer.status_code == 503
        assert re.fullmatch(r"[1-9]\d?", answer.headers["retry-after"])
        assert answer.json()["code"] == "service_unavailable"
    assert (await user.get("/health/live")).status_code == 200

    await relay.open()

    async def answers() -> bool:
        return (await user.get("/api/me/tasks")).status_code == 200

    await eventually(answers)
    assert (await user.post("/api/me/tasks", json={"title": "Now"})).status_code == 201
    await eventually(lambda: is_ready(user))
    await relay.close()
    assert (await user.get("/api/me/tasks")).status_code == 503
    assert process.process.poll() is None
    process.signal(signal.SIGTERM)
    assert await process.exit_code() == 0


async def is_ready(user: httpx.AsyncClient) -> bool:
    return (await user.get("/health/ready")).status_code == 200


def test_the_limits_of_a_stop_add_up_to_less_than_twenty_seconds():
    assert worker.STOP_GRACE < worker.STOP_LIMIT
    assert worker.STOP_LIMIT + supervisor.KILL_AFTER + logs.DRAIN_WITHIN <= 20
    assert worker.HUNG_AFTER < supervisor.HUNG_AFTER < 30


def test_compose_restarts_the_services_and_lets_the_api_finish_its_requests():
    services = dict(re.findall(r"^  (\w+):\n((?:    .*\n)+)", (ROOT / "compose.yaml").read_text(), re.MULTILINE))
    assert services.keys() >= {"database", "migrate", "api"}
    restarted = [name for name, text in services.items() if "    restart: unless-stopped\n" in text]
    assert restarted == ["database", "api"], "and the migration runs once"
    (seconds,) = re.findall(r"^    stop_grace_period: (\d+)s\b", services["api"], re.MULTILINE)
    assert int(seconds) >= worker.STOP_LIMIT + supervisor.KILL_AFTER + logs.DRAIN_WITHIN


@pytest.mark.parametrize("workers", [1, 2])
async def test_a_stop_of_a_blocked_event_loop_ends_at_the_deadline(start, workers):
    process = await start(workers, command=limited(stop=1), wait=True)
    for one in workers_of(process) or {process.process.pid}:
        os.kill(one, signal.SIGUSR1)
    process.signal(signal.SIGTERM)
    assert await process.exit_code() == (1 if workers == 1 else 0)
    late = [line for line in lines(process) if line["message"] == "stop took too long"]
    assert [line["level"] for line in late] == ["error"] * workers
    assert all("block_the_loop" in line["stack"] for line in late)


async def test_a_stopped_worker_is_killed_at_the_deadline_of_a_stop(start):
    # The other worker has two and a half seconds.
    process = await start(2, command=limited(stop=2, kill=0.5), wait=True)
    stopped = min(workers_of(process))
    os.kill(stopped, signal.SIGSTOP)
    process.signal(signal.SIGTERM)
    assert await process.exit_code() == 1
    assert told(process, "worker does not stop, killing it")["process"] == stopped
    assert told(process, "stopped")["killed"] == 1
    assert not psutil.pid_exists(stopped)


@pytest.mark.parametrize("workers", [1, 2])
async def test_requests_that_outlast_the_grace_of_a_stop_are_cut_off_and_counted(start, user, lock, workers):
    process = await start(workers, command=limited(grace=0.5, stop=10), wait=True)
    task = (await user.post("/api/me/tasks", json={"title": "In flight"})).json()
    async with lock.on(task["user_id"]):
        request = asyncio.create_task(user.patch(f"/api/me/tasks/{task['id']}/complete"))
        await lock.holds_up(1)
        process.signal(signal.SIGTERM)
        with pytest.raises(httpx.TransportError):
            await request
        assert await process.exit_code() == 0
    stops = [line for line in lines(process) if line["message"] == ("stopped" if workers == 1 else "worker stopped")]
    assert sum(line["cut_off"] for line in stops) == 1
    assert max(line["level"] for line in stops) == "warning"


async def test_a_hung_worker_is_killed_and_replaced_while_the_other_serves(start, eventually, free_port):
    process = await start(2, command=limited(hung=5), wait=True)
    before = await eventually(lambda: found if len(found := workers_of(process)) == 2 else None)
    hung = min(before)
    os.kill(hung, signal.SIGSTOP)
    after = await eventually(lambda: found if len(found := workers_of(process) - {hung}) == 2 else None)
    assert told(process, "worker hangs, killing it")["process"] == hung
    died = told(process, "worker died")
    assert (died["process"], died["exit_code"], died["signal"]) == (hung, -signal.SIGKILL, "SIGKILL")
    await eventually(lambda: process.stdout.count("worker started") == 3)
    started = [line["process"] for line in lines(process) if line["message"] == "worker started"]
    assert set(started[:2]) == before
    assert set(started) == before | after
    await eventually(lambda: lives(free_port))
    process.signal(signal.SIGTERM)
    assert await process.exit_code() == 0


async def test_a_service_that_was_suspended_as_a_whole_keeps_its_workers(start, free_port):
    process = await start(2, command=limited(blocked=4, hung=5), wait=True)
    before = workers_of(process)
    os.killpg(process.process.pid, signal.SIGSTOP)
    await asyncio.sleep(5.5)  # longer than both limits
    os.killpg(process.process.pid, signal.SIGCONT)
    await asyncio.sleep(1.5)  # at least one look
    assert workers_of(process) == before
    assert await lives(free_port)
    assert {line["level"] for line in lines(process)} == {"info"}


@pytest.mark.parametrize("workers", [1, 2])
async def test_a_blocked_event_loop_ends_the_worker_with_its_stack_in_the_log(start, workers, eventually, free_port):
    process = await start(workers, command=limited(blocked=4), wait=True)
    blocked = min(workers_of(process) or {process.process.pid})
    os.kill(blocked, signal.SIGUSR1)
    await process.says("event loop is blocked") if workers == 2 else await process.exit_code()
    line = told(process, "event loop is blocked")
    assert (line["level"], line["process"], line["seconds"]) == ("error", blocked, 4)
    assert "block_the_loop" in line["stack"]
    if workers == 1:
        assert process.process.returncode == 1
    else:
        await process.says("worker died")
        assert told(process, "worker died")["exit_code"] == 1
        await eventually(lambda: lives(free_port))


async def test_workers_end_when_the_supervisor_is_killed_and_leave_the_port_free(start, eventually, free_port):
    process = await start(2)
    workers = await eventually(lambda: found if len(found := workers_of(process)) == 2 else None)
    process.signal(signal.SIGKILL)
    await eventually(lambda: not any(psutil.pid_exists(one) for one in workers))
    again = await start(1)
    assert again.process.poll() is None
    gone = [line for line in lines(process) if line["message"] == "supervisor is gone, stopping"]
    assert {line["process"] for line in gone} == workers


@pytest.mark.parametrize("workers", [1, 2])
async def test_unread_stdout_drops_lines_and_hangs_neither_requests_nor_a_stop(  # noqa: PLR0913, PLR0917 - all are fixtures
    settings, free_port, eventually, starter, tmp_path, workers
):
    environment = {
        "PATH": os.environ["PATH"], "DATABASE_URL": settings.database_url, "PORT": str(free_port),
        "BETTER_AUTH_SECRET": settings.better_auth_secret, "WEB_CONCURRENCY": str(workers), "RATE_LIMIT": "off",
    }  # fmt: skip
    # A pipe with room for a few lines only, so that little traffic fills it.
    small = "from service.logs import output; from service.__main__ import main; output.ROOM = 4096; main(['run'])"
    unread, written = os.pipe()
    with os.fdopen(written, "wb") as stdout, (tmp_path / "stderr").open("wb") as stderr:
        process = starter.start(["-c", small], cwd=ROOT, env=environment, stdout=stdout, stderr=stderr)
    try:
        await eventually(lambda: lives(free_port))
        address = f"http://127.0.0.1:{free_port}"
        async with httpx.AsyncClient(base_url=address, timeout=30, verify=False) as client:

            async def drops() -> bool:
                answers = [await client.get("/nowhere", headers={"X-Request-ID": "x" * 128}) for _ in range(50)]
                assert {answer.status_code for answer in answers} == {404}
                metrics = (await client.get("/metrics")).text
                found = re.search(r"^doable_log_lines_dropped_total (\S+)$", metrics, re.MULTILINE)
                return float(found[1]) > 0

            await eventually(drops, 60)
            assert await lives(free_port)
            # Now the test reads it again: the writers continue, and report the number of lost lines.
            read = []
            async with asyncio.timeout(60):
                while b"log lines dropped" not in b"".join(read):
                    read.append(await asyncio.to_thread(os.read, unread, 65536))
            whole = [json.loads(line) for line in b"".join(read).split(b"\n")[:-1]]
            (line,) = [one for one in whole if one["message"].startswith("log lines dropped")][:1]
            assert (line["level"], line["logger"]) == ("warning", "doable.logs")
            assert line["dropped"] > 0
            await eventually(drops, 60)  # it is full again
        process.send_signal(signal.SIGTERM)
        await eventually(lambda: process.poll() is not None)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        os.close(unread)


@pytest.mark.parametrize("workers", [1, 2])
async def test_the_log_names_the_address_each_worker_and_the_stop(start, user, free_port, workers):
    process = await start(workers)
    process.signal(signal.SIGTERM)
    assert await process.exit_code() == 0
    listening = told(process, "listening")
    assert (listening["address"], listening["port"]) == ("0.0.0.0", free_port)
    assert (listening["workers"], listening["version"]) == (workers, __version__)
    assert told(process, "shutting down")["signal"] == "SIGTERM"
    assert 0 <= told(process, "stopped")["seconds"] < worker.STOP_GRACE
    started = [line["process"] for line in lines(process) if line["message"] == "worker started"]
    stopped = [line for line in lines(process) if "finished" in line]
    assert len(started) == (0 if workers == 1 else workers)
    assert [line["cut_off"] for line in stopped] == [0] * workers


@pytest.mark.parametrize(("option", "host", "workers"), [([], "0.0.0.0", 2), (["--development"], "127.0.0.1", 1)])
async def test_a_busy_port_is_an_error_before_anything_is_started(  # noqa: PLR0913, PLR0917 - fixtures and a case
    launch, settings, free_port, tmp_path, option, host, workers
):
    with socket.create_server(("127.0.0.1", free_port)):
        process = launch(
            [sys.executable, "-m", "service", "run", *option], cwd=tmp_path, PORT=str(free_port), HOST=host,
            DATABASE_URL="" if option else settings.database_url, WEB_CONCURRENCY=str(workers),
            BETTER_AUTH_SECRET=settings.better_auth_secret,
        )  # fmt: skip
        assert await process.exit_code() == 1
    assert process.stdout == ""
    assert process.stderr == (
        f"doable: Port {free_port} on {host} is in use by another process. Stop that process, or choose another "
        f"port: PORT={free_port + 1} make run, or PORT={free_port + 1} doable run.\n"
    )
    assert not (tmp_path / ".data" / "postgres").exists()


async def test_a_start_waits_for_the_port_of_a_process_that_ends(launch, settings, free_port, eventually):
    with socket.create_server(("127.0.0.1", free_port)) as taken:
        process = launch(
            [sys.executable, "-m", "service", "run"], PORT=str(free_port), HOST="127.0.0.1",
            DATABASE_URL=settings.database_url, BETTER_AUTH_SECRET=settings.better_auth_secret,
        )  # fmt: skip
        await asyncio.sleep(0.5)
        taken.close()
    await process.says('"listening"')
    assert process.stderr == ""


@pytest.mark.parametrize(
    ("proxies", "addresses"),
    [
        (0, {"203.0.113.7": "127.0.0.1", "198.51.100.2, 203.0.113.7": "127.0.0.1"}),
        (
            1,
            {
                "198.51.100.2, 203.0.113.7": "203.0.113.7", "2001:DB8::7": "2001:db8::7", "unknown": "127.0.0.1",
                "x" * 100: "x" * 64,
            },
        ),
        (2, {"192.0.2.1, 198.51.100.2, 203.0.113.7": "198.51.100.2", "203.0.113.7": "127.0.0.1"}),
    ],
    ids=["no proxy", "one proxy", "two proxies"],
)  # fmt: skip
async def test_the_logged_client_address_is_the_one_before_our_proxies(start, user, proxies, addresses):
    process = await start(PROXIES_COUNT=str(proxies))
    for sent in addresses:
        await user.get("/api/me/tasks", headers={"X-Forwarded-For": sent})
    process.signal(signal.SIGTERM)
    assert await process.exit_code() == 0
    requests = [line for line in lines(process) if line.get("route") == "/api/{user_id}/tasks"]
    assert [line["client_address"] for line in requests] == [*addresses.values()]
    warnings = [line["message"] for line in lines(process) if line["level"] == "warning"]
    assert [message.split(".")[0] for message in warnings] == (
        [] if proxies else ["X-Forwarded-For is ignored because PROXIES_COUNT is 0"]
    ), "once, however many requests bring it"


async def test_development_logs_a_blocked_event_loop_with_the_stack_and_continues(
    launch, settings, free_port, tmp_path, eventually
):
    blocking = BLOCKABLE.replace(
        "    while True:\n        time.sleep(0.1)\n",
        "    began = time.thread_time()\n    while time.thread_time() < began + 0.2:\n        pass\n",
    )
    command = limited(blocked=1, hung=1)
    process = launch(
        [*command[:2], blocking.replace('["run"]', '["run", "--development"]'), *command[3:]], cwd=tmp_path,
        DATABASE_URL=settings.database_url, PORT=str(free_port), BETTER_AUTH_SECRET=settings.better_auth_secret,
        LOG_FORMAT="json",
    )  # fmt: skip
    await eventually(lambda: lives(free_port))
    await process.says("Ctrl-C stops everything")

    async def warning() -> dict[str, object] | None:
        """Block the loop once more, because only a free loop begins the watch. Return the warning about that block."""
        process.signal(signal.SIGUSR1)
        assert await lives(free_port, 60)
        found = [json.loads(line) for line in process.stdout.splitlines() if '"doable.blocking"' in line]
        return next((line for line in found if "block_the_loop" in line["stack"]), None)

    line = await eventually(warning)
    assert line["level"] == "warning"
    assert line["milliseconds"] >= 50
    assert await lives(free_port)
    process.signal(signal.SIGTERM)
    assert await process.exit_code() == 0
