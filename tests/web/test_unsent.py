"""Slow readers: their memory is limited for each user and for the process, and readers that are too slow are cut."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from urllib.parse import urlsplit

import pytest

from service.errors import UnavailableError
from service.web import unsent
from service.web.unsent import Budget, Unsent

KIB = 1024
MIB = 1024 * KIB
# A list is sent as its stored documents. A few long ones are as many bytes as thousands of tasks, and take less time.
INSERT = """
INSERT INTO tasks (user_id, id, uid, title_key, tag_keys,
    title, completed, priority, tags, created_at, updated_at, version, document)
SELECT 'alice', n + 1, gen_random_uuid(), '', '{}', 'Task ' || n, false, 0, '{}', now(), now(), n + 1,
    '{"title" : "' || repeat('x', 110000) || '"}' FROM generate_series(1, 50) AS n
"""
SIZE, LARGEST = 5 * MIB, 8 * MIB  # of the list, at least and at most


@pytest.fixture
async def long_list(alice, connection) -> None:
    await alice.make()
    await connection.execute(INSERT)
    await connection.execute("UPDATE users SET revision = 51, task_count = 51 WHERE id = 'alice'")


@pytest.fixture
def budget(app, monkeypatch) -> Budget:
    small = Budget(per_user=8 * MIB, in_all=20 * MIB)
    monkeypatch.setattr(app.ctx, "unsent", small)
    monkeypatch.setattr(unsent, "WAIT", 0.2)
    return small


@contextlib.contextmanager
def narrow(server: str, caller, path: str = "/api/me/tasks"):
    """A connection that has requested a list and reads nothing of it."""
    address = urlsplit(server)
    with socket.socket() as line:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * KIB)
        line.settimeout(60)
        line.connect((address.hostname, address.port))
        bearing = f"Authorization: {caller.headers['authorization']}\r\nConnection: close\r\n"
        line.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n{bearing}\r\n".encode())
        yield line


def take(line: socket.socket, pause: float = 0.0, bite: int = 64 * KIB) -> bytes:
    received = bytearray()
    with contextlib.suppress(ConnectionError):
        while came := line.recv(bite):
            received += came
            time.sleep(pause)
    return bytes(received)


@pytest.mark.usefixtures("long_list")
async def test_a_user_holds_at_most_the_budget_and_the_largest_response(alice, server, budget, eventually):
    with contextlib.ExitStack() as lines:
        held = [lines.enter_context(narrow(server, alice)) for _ in range(8)]
        await eventually(lambda: budget.size > 2 * SIZE - MIB)
        refused = [line for line in held if (await asyncio.to_thread(_status, line)) == b"503"]
        assert budget.size <= 8 * MIB + LARGEST
        assert len(refused) == 6
        assert (await alice.get(f"{alice.path}?limit=20")).status_code == 200, "short answers are not held up"
        (kept, *_) = (line for line in held if line not in refused)
        assert len(await asyncio.to_thread(take, kept)) > SIZE - 64 * KIB
    await eventually(lambda: budget.size == 0)


@pytest.mark.usefixtures("long_list")
async def test_the_503_has_retry_after(alice, server, budget, eventually, refusal):
    with narrow(server, alice), narrow(server, alice):
        await eventually(lambda: budget.size > 2 * SIZE - MIB)
        refusal(await alice.get(alice.path), 503, "service_unavailable")


@pytest.mark.usefixtures("long_list")
async def test_the_memory_of_sent_and_abandoned_responses_is_freed(alice, server, budget, eventually):
    assert len((await alice.get(alice.path)).content) > SIZE
    await eventually(lambda: budget.size == 0)
    with narrow(server, alice):
        await eventually(lambda: budget.size > SIZE - MIB)
    await eventually(lambda: budget.size == 0)
    assert (await alice.head(alice.path)).status_code == 200
    assert budget.size == 0


@pytest.mark.usefixtures("long_list")
async def test_the_transport_never_buffers_a_whole_response(alice, server, app, eventually, monkeypatch):
    seen = []
    with narrow(server, alice):
        await eventually(lambda: app.ctx.unsent.size > SIZE - MIB)
        for _ in range(5):
            seen.append(await _unwritten())
            await asyncio.sleep(0.05)
    assert 0 < max(seen) < 256 * KIB


async def _unwritten() -> int:
    """Return the number of bytes in the transports of this process."""
    import gc  # noqa: PLC0415 - only needed here

    from service.web.protocol import DeadlineProtocol  # noqa: PLC0415 - only needed here

    protocols = [found for found in gc.get_objects() if isinstance(found, DeadlineProtocol)]
    return sum(found.transport.get_write_buffer_size() for found in protocols if found.transport)


@pytest.mark.usefixtures("long_list")
async def test_a_client_below_the_minimum_rate_is_disconnected_and_a_faster_one_is_not(alice, server, app, monkeypatch):
    monkeypatch.setitem(app.config, "SEND_TIMEOUT", 1.0)
    monkeypatch.setitem(app.config, "SEND_RATE", 256 * KIB)
    with narrow(server, alice) as slow:
        received = await asyncio.to_thread(take, slow, 0.05, 4 * KIB)  # at most 80 KiB a second
        assert len(received) < SIZE
    with narrow(server, alice) as steady:
        received = await asyncio.to_thread(take, steady, 0.01, 64 * KIB)  # some 5 MiB a second
        assert len(received) > SIZE


def _status(line: socket.socket) -> bytes:
    return line.recv(12)[9:12]


class TestBudget:
    def test_a_single_response_may_exceed_the_budget(self):
        budget = Budget(per_user=10, in_all=20)
        budget.take(Unsent("alice", 100, lambda: None))
        with pytest.raises(UnavailableError):
            budget.take(Unsent("bob", 1, lambda: None))

    def test_one_user_leaves_memory_for_others(self):
        budget = Budget(per_user=10, in_all=100)
        for size in (30, 5, 5):
            budget.take(Unsent("alice", size, lambda: None))
        with pytest.raises(UnavailableError):
            budget.take(Unsent("alice", 1, lambda: None))
        budget.take(Unsent("bob", 60, lambda: None))
        assert budget.size == 100

    def test_only_an_overdue_client_is_disconnected_for_another(self, monkeypatch):
        budget, cut = Budget(per_user=10, in_all=100), []
        for number in range(10):
            budget.take(Unsent(f"user {number}", 10, lambda number=number: cut.append(number)))
        with pytest.raises(UnavailableError):
            budget.take(Unsent("alice", 15, lambda: None))
        monkeypatch.setattr(unsent, "GRACE", 0.0)
        budget.take(Unsent("alice", 15, lambda: None))
        assert cut == [0, 1]
        assert budget.size == 95

    async def test_a_wait_ends_when_memory_is_free(self):
        budget, held = Budget(per_user=10, in_all=10), Unsent("alice", 10, lambda: None)
        budget.take(held)
        asyncio.get_running_loop().call_later(0.1, budget.release, held)
        async with asyncio.timeout(20):
            await budget.wait("bob")
