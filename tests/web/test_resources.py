"""Limits for each client: rates per user and per address, and requests that never arrive completely."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import re
import shutil
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from urllib.parse import urlsplit

import httpx
import pytest

from service.web.limiting import RateLimiter
from tests.conftest import SECRET, token

PYTHON = ["python", "-m", "service", "run"]
REDIS = shutil.which("redis-server")


@pytest.fixture
async def serve(settings, launch, eventually) -> AsyncIterator[Callable[..., Awaitable[httpx.AsyncClient]]]:
    """`await serve(RATE_LIMIT="5/day")` starts a service and returns a client for it."""
    clients: list[httpx.AsyncClient] = []

    async def start(**environment: str) -> httpx.AsyncClient:
        launch(PYTHON, DATABASE_URL=settings.database_url, BETTER_AUTH_SECRET=SECRET, **environment)
        client = httpx.AsyncClient(base_url=f"http://127.0.0.1:{environment['PORT']}", timeout=30)
        clients.append(client)
        await eventually(lambda: client.get("/health/live"), 60)
        return client

    yield start
    for client in clients:
        await client.aclose()


def bearer(sent: str, **headers: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {sent}", **headers}


@pytest.fixture
def limit(app, server, monkeypatch) -> Callable[[str, str], None]:
    """`limit("user", "3/day")` limits the requests of each user, and "failure" the bad tokens of each address."""

    def patch(name: str, rate: str) -> None:
        monkeypatch.setattr(app.ctx, f"{name}_limiter", RateLimiter(name, rate, "memory"))

    return patch


async def test_a_user_over_the_rate_limit_gets_retry_after_and_others_are_not_affected(http, limit):
    limit("user", "3/day")
    mine = bearer(token("alice"))
    for left in (2, 1, 0):
        response = await http.get("/api/me/tasks/summary", headers=mine)
        assert response.status_code == 200
        assert response.headers["ratelimit-policy"] == '"user";q=3;w=86400'
        assert response.headers["ratelimit"].startswith(f'"user";r={left};t=')
    refused = await http.get("/api/me/tasks/summary", headers=mine)
    assert refused.status_code == 429
    assert refused.json()["code"] == "rate_limited"
    assert 1 <= int(refused.headers["retry-after"]) <= 86_400
    assert refused.headers["ratelimit"].startswith('"user";r=0;t=')
    assert "x-request-id" in refused.headers
    assert (await http.get("/api/me/tasks/summary", headers=bearer(token("bob")))).status_code == 200
    # The path of another user is refused as such, and does not count for the caller.
    assert (await http.get("/api/alice/tasks", headers=bearer(token("bob")))).status_code == 403


async def test_an_address_that_guesses_tokens_gets_429_and_valid_tokens_pass_from_it_new_ones_too(http, limit):
    limit("failure", "3/day")
    bad = token("alice", secret="another secret, of more than 32 bytes")
    numbers = itertools.count(1)

    def guess(sent: str) -> Awaitable[httpx.Response]:
        # Without configured proxies, this header is ignored.
        return http.get("/api/me/tasks", headers=bearer(sent, **{"X-Forwarded-For": f"203.0.113.{next(numbers)}"}))

    for sent in (bad, token("alice", seconds=-60), bad):
        response = await guess(sent)
        assert response.status_code == 401
        assert response.json()["code"] == "invalid_token"
    for sent in (bad, token("alice", seconds=-60), "not-a-token"):
        refused = await guess(sent)
        assert refused.status_code == 429
        assert refused.json()["code"] == "rate_limited"
        assert int(refused.headers["retry-after"]) >= 1
        assert "ratelimit" not in refused.headers
    for user in ("alice", "bob"):  # these tokens have never been seen before
        assert (await http.get("/api/me/tasks", headers=bearer(token(user)))).status_code == 200
    assert (await http.get("/api/me/tasks", headers=bearer(bad))).status_code == 429
    assert (await http.get("/api/me/tasks")).status_code == 401  # a request without a token is not a guess


async def test_the_client_address_is_read_from_as_many_proxies_as_are_configured(serve, free_port, subtests):
    client = await serve(PORT=str(free_port), AUTH_FAILURE_LIMIT="1/day", PROXIES_COUNT="1")
    bad = token("alice", secret="another secret, of more than 32 bytes")

    async def guess(forwarded: str) -> int:
        return (await client.get("/api/me/tasks", headers=bearer(bad, **{"X-Forwarded-For": forwarded}))).status_code

    assert await guess("203.0.113.7") == 401
    assert await guess("203.0.113.7") == 429
    assert await guess("198.51.100.1, 203.0.113.7") == 429  # the entry that the client itself has added is ignored
    assert await guess("203.0.113.8") == 401
    with subtests.test("the IPv6 addresses of one /64 are counted together"):
        assert await guess("2001:db8:1:2::1") == 401
        assert await guess("2001:db8:1:2:ffff::2") == 429
        assert await guess("2001:db8:1:3::1") == 401


@pytest.mark.skipif(REDIS is None, reason="LOUD: redis-server is not installed, so shared rate limits are NOT tested")
async def test_two_services_share_counts_in_redis_and_count_alone_after_it_dies(
    serve, launch, eventually, tmp_path, unused_port
):
    port, first_port, second_port = unused_port(), unused_port(), unused_port()
    redis = launch([REDIS, "--port", str(port), "--save", "", "--dir", str(tmp_path), "--bind", "127.0.0.1"])
    cli = shutil.which("redis-cli")
    await eventually(
        lambda: subprocess.run([cli, "-p", str(port), "ping"], capture_output=True, check=False).returncode == 0
    )
    shared = {"RATE_LIMIT": "4/day", "RATE_LIMIT_STORAGE": f"redis://127.0.0.1:{port}/0"}
    first = await serve(PORT=str(first_port), **shared)
    second = await serve(PORT=str(second_port), **shared)
    mine = bearer(token("alice"))
    for client in (first, second, first, second):
        assert (await client.get("/api/me/tasks", headers=mine)).status_code == 200
    assert (await first.get("/api/me/tasks", headers=mine)).status_code == 429
    assert (await second.get("/api/me/tasks", headers=mine)).status_code == 429
    redis.kill()
    assert (await first.get("/api/me/tasks", headers=mine)).status_code == 200


SLOW_HEAD = b"GET /api/me/tasks HTTP/1.1\r\nHost: localhost\r\nX-Slow: " + b"x" * 10_000
SLOW_BODY_HEAD = (
    b"POST /api/me/tasks HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 50000\r\n"
    b"Authorization: Bearer %s\r\n\r\n"
)


async def drip(address: str, at_once: bytes, slowly: bytes, pause: float) -> tuple[float, bytes]:
    """Send some bytes at once and the rest one by one. Return how long the service waited, and its response.

    Fails if the service waits for the rest: it would take minutes.
    """
    place = urlsplit(address)
    reader, writer = await asyncio.open_connection(place.hostname, place.port)
    started = time.monotonic()
    said = bytearray()

    async def listen() -> None:
        with contextlib.suppress(ConnectionError):  # the service may disconnect before it has read the rest
            while received := await reader.read(65536):
                said.extend(received)

    answer = asyncio.create_task(listen())
    try:
        writer.write(at_once)
        for byte in slowly:
            if answer.done():
                break
            writer.write(bytes([byte]))
            await asyncio.sleep(pause)
    except ConnectionError:
        pass
    await asyncio.wait_for(answer, 60)
    writer.close()
    return time.monotonic() - started, bytes(said)


# These clients share a service, because none of them changes what another one sees.
async def test_a_request_that_trickles_in_is_ended_by_a_total_deadline(serve, free_port, subtests):
    client = await serve(PORT=str(free_port), READ_TIMEOUT="1")
    address, body = str(client.base_url), SLOW_BODY_HEAD % token("alice").encode()
    answered = b"POST /nowhere HTTP/1.1\r\nHost: localhost\r\nContent-Length: 50000\r\n\r\n"
    head, slow, begun, stopped, late, _ = await asyncio.gather(
        drip(address, b"", SLOW_HEAD, 0.05),
        drip(address, body, SLOW_HEAD, 0.05),
        drip(address, b"GET /api/me/ta", b"", 0),
        drip(address, body + b'{"title', b"", 0),
        drip(address, answered, SLOW_HEAD, 0.05),
        use(address),
    )
    for kind, (borne, said) in {"head": head, "body": slow}.items():
        with subtests.test("a request that trickles in", kind=kind):
            assert 0.5 < borne < 60
            assert said.startswith(b"HTTP/1.1 408 ")
            assert b'"code":"request_timeout"' in said
            assert b"application/problem+json" in said
    for kind, (_, said) in {"head": begun, "body": stopped}.items():
        with subtests.test("a client that stops in the middle is disconnected too", kind=kind):
            assert said.startswith(b"HTTP/1.1 408 ")
    with subtests.test("a body that trickles in after its response is ended too"):
        borne, said = late
        assert borne < 60
        assert said.startswith(b"HTTP/1.1 404 ")


async def use(address: str) -> None:
    """Check that a keep-alive connection in use is not mistaken for a slow one."""
    reader, writer = await asyncio.open_connection(urlsplit(address).hostname, urlsplit(address).port)
    ends = time.monotonic() + 1.6
    while time.monotonic() < ends:
        writer.write(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
        async with asyncio.timeout(30):
            assert (await reader.readuntil(b"}")).startswith(b"HTTP/1.1 200 ")
        await asyncio.sleep(0.2)  # idle in between, as a browser is
    writer.close()


@pytest.fixture
async def long_list(alice, connection) -> int:
    """A list of alice that exceeds the kernels' buffers, and its size in bytes."""
    made = await alice.make()
    await connection.execute(  # a list is sent as its stored documents
        "INSERT INTO tasks (user_id, id, uid, title_key, tag_keys, "
        "title, completed, priority, tags, created_at, updated_at, version, document) "
        "SELECT user_id, 100 + number, gen_random_uuid(), '', '{}', 'Long', false, 0, '{}', now(), now(), "
        """100 + number, '{"title" : "' || repeat('x', 100000) || '"}' FROM tasks, """
        "generate_series(1, 80) AS number WHERE id = $1",
        made["id"],
    )
    return 80 * 100_000


async def take(address: str, bearing: str, bites: int, pause: float) -> tuple[int, int]:
    """Read the list over a slow connection: some pieces, a pause, the rest. Return its length and the response."""
    place, loop = urlsplit(address), asyncio.get_running_loop()
    with socket.socket() as line:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        line.setblocking(False)  # noqa: FBT003 - its only argument
        await loop.sock_connect(line, (place.hostname, place.port))
        await loop.sock_sendall(
            line, f"GET /api/me/tasks HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {bearing}\r\n\r\n".encode()
        )
        came = await loop.sock_recv(line, 4096)
        expected = int(re.search(rb"content-length: (\d+)", came)[1])
        received = len(came.partition(b"\r\n\r\n")[2])
        for _ in range(bites):
            received += len(await loop.sock_recv(line, 400_000))
            await asyncio.sleep(pause)
        with contextlib.suppress(ConnectionError):
            while received < expected and (more := await loop.sock_recv(line, 400_000)):
                received += len(more)
    return expected, received


async def test_a_client_that_reads_nothing_of_a_long_response_is_disconnected(app, server, long_list, monkeypatch):
    monkeypatch.setitem(app.config, "SEND_TIMEOUT", 0.3)
    async with asyncio.timeout(60):
        expected, received = await take(server, token("alice"), bites=1, pause=1.5)
    assert expected > long_list
    assert received < expected


async def test_a_client_that_reads_a_long_response_slowly_gets_all_of_it(app, server, long_list, monkeypatch):
    monkeypatch.setitem(app.config, "SEND_TIMEOUT", 1.0)
    started = time.monotonic()
    async with asyncio.timeout(60):
        expected, received = await take(server, token("alice"), bites=60, pause=0.025)
    assert time.monotonic() - started > 1, "or it was not slow"
    assert expected > long_list
    assert received == expected


@pytest.mark.trial
async def test_500_slow_clients_are_disconnected_and_delay_no_other_client(serve, free_port):
    client = await serve(PORT=str(free_port), READ_TIMEOUT="2")
    slow = [asyncio.create_task(drip(str(client.base_url), b"", SLOW_HEAD, 1.0)) for _ in range(500)]
    await asyncio.sleep(0.5)
    mine = bearer(token("alice"))
    started = time.monotonic()
    for _ in range(20):
        assert (await client.get("/api/me/tasks/summary", headers=mine)).status_code == 200
    assert time.monotonic() - started < 2
    borne = sorted(seconds for seconds, _ in await asyncio.gather(*slow))
    print(f"500 slow clients were borne for {borne[0]:.1f} to {borne[-1]:.1f} s with READ_TIMEOUT=2")
    assert borne[-1] < 5
