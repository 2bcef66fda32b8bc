"""A response to a request that is still being sent arrives, without a connection reset (RFC 9112 section 9.6)."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable

import httpx
import pytest

from tests.conftest import SECRET, token

MIB = 1024 * 1024


PYTHON = ["python", "-m", "service", "run"]


@pytest.fixture
async def serve(settings, launch, eventually, free_port) -> Callable[..., Awaitable[int]]:
    """Start a process with the event loop of production, and return its port."""

    async def start(**environment: str) -> int:
        environment = {"PORT": str(free_port), "RATE_LIMIT": "off", "AUTH_FAILURE_LIMIT": "off", **environment}
        launch(PYTHON, DATABASE_URL=settings.database_url, BETTER_AUTH_SECRET=SECRET, **environment)
        async with httpx.AsyncClient() as client:
            await eventually(lambda: client.get(f"http://127.0.0.1:{free_port}/health/live"), 60)
        return free_port

    return start


@pytest.fixture
async def port(serve) -> int:
    return await serve()


def converse(port: int, head: str, pieces: int, *, chunked: bool = False) -> tuple[bytes, bool]:
    """Send a head and so many MiB without reading. Return the response, and whether all bytes were accepted."""
    piece = b" " * MIB
    if chunked:
        piece = b"%x\r\n%b\r\n" % (len(piece), piece)
    with socket.create_connection(("127.0.0.1", port), timeout=60) as line:
        line.sendall(head.encode())
        taken = True
        try:
            for _ in range(pieces):
                line.sendall(piece)
        except ConnectionError:
            taken = False
        received = b""
        with contextlib.suppress(ConnectionError):
            while came := line.recv(65536):
                received += came
    return received, taken


# The requests share one service, because its start takes as much CPU time as all of them.
async def test_a_refusal_arrives_although_the_client_sends_its_long_body_first(port, subtests):
    for framing, path, bearing, status in (
        ("Content-Length: 20971520", "/api/me/import", "nonsense", 401),
        ("Content-Length: 20971520", "/api/bob/import", token("alice"), 403),
        ("Content-Length: 20971520", "/api/me/tasks", token("alice"), 413),
        ("Content-Length: 20971520", "/api/me/tasks/batch", "nonsense", 401),
        ("Content-Length: 20971520", "/api/me/tasks/batch", token("alice"), 413),
        ("Transfer-Encoding: chunked", "/api/me/tasks", token("alice"), 413),
        ("Transfer-Encoding: chunked", "/api/me/import", "nonsense", 401),
        ("Transfer-Encoding: chunked", "/api/me/tasks/batch", token("alice"), 413),
        ("Transfer-Encoding: chunked", "/nothing", "nonsense", 404),
    ):
        with subtests.test("a body of 20 MiB", framing=framing, path=path, status=status):
            head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n{framing}\r\n"
            head += f"Authorization: Bearer {bearing}\r\n\r\n"
            received, taken = await asyncio.to_thread(converse, port, head, 20, chunked="chunked" in framing)
            assert taken
            assert received.startswith(f"HTTP/1.1 {status} ".encode())
            assert b"\r\nconnection: close\r\n" in received
            assert received.count(b"HTTP/1.1 ") == 1

    with subtests.test("a body behind a malformed head"):
        received, taken = await asyncio.to_thread(converse, port, "POST / HTTP/1.1\r\nHost: a b\r\n\r\n", 20)
        assert taken
        assert received.startswith(b"HTTP/1.1 400 ")

    with subtests.test("an import over the limit is 413 before any of it is read"):
        head = "POST /api/me/import HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        head += f"Content-Length: 41943040\r\nAuthorization: Bearer {token('alice')}\r\n\r\n"
        received, taken = await asyncio.to_thread(converse, port, head, 40)
        assert taken
        assert received.startswith(b"HTTP/1.1 413 ")

    with subtests.test("the dropped part of a refused body is limited"):
        head = "POST /api/me/import HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n"
        received, taken = await asyncio.to_thread(converse, port, head, 200)
        assert not taken
        assert received[:13] in {b"HTTP/1.1 401 ", b""}

    with subtests.test("a client that expects 100 Continue gets only the refusal"):
        head = "POST /api/me/import HTTP/1.1\r\nHost: x\r\nContent-Length: 20971520\r\nExpect: 100-continue\r\n\r\n"
        received, _ = await asyncio.to_thread(converse, port, head, 0)
        assert received.startswith(b"HTTP/1.1 401 ")
        assert b"100 Continue" not in received

    with subtests.test("an unread short body leaves the connection open"):
        head = "POST /nothing HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello" * 2
        head += "GET /health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        received, _ = await asyncio.to_thread(converse, port, head, 0)
        assert [line[:3] for line in received.split(b"HTTP/1.1 ")[1:]] == [b"404", b"404", b"200"]


async def test_a_user_over_the_rate_limit_can_read_the_429_to_a_large_import(serve):
    port = await serve(RATE_LIMIT="2/day")
    head = "POST /api/me/import HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\nContent-Length: 20971520\r\n"
    head += f"Authorization: Bearer {token('alice')}\r\n\r\n"
    statuses = [(await asyncio.to_thread(converse, port, head, 20))[0][9:12] for _ in range(3)]
    assert statuses == [b"415", b"415", b"429"]
