"""Heavy requests wait in a queue: a few run at once, fewer of one user, and each wait has a timeout."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import pytest

from service.errors import TooManyHeavyRequestsError, UnavailableError
from service.tasks.listing import read
from service.web.admission import Admission, Bulkhead
from tests.conftest import token

PLACES, SHARE = 8, 2


@pytest.fixture
def admission(app, monkeypatch) -> Admission:
    """An admission of eight heavy requests, two of one user, with a timeout of a quarter of a second."""
    made = Admission(2 * PLACES, wait=0.25)
    monkeypatch.setattr(app.ctx, "admission", made)
    return made


@pytest.fixture
def locked(connection) -> Callable[..., object]:
    """`async with locked(*requests) as asked:` sends them while no statement can read a task."""

    @asynccontextmanager
    async def lock(*requests) -> AsyncIterator[list[asyncio.Task]]:
        async with connection.transaction():
            await connection.execute("LOCK TABLE tasks IN ACCESS EXCLUSIVE MODE")
            yield [asyncio.create_task(request) for request in requests]

    return lock


@pytest.fixture
async def unread(alice, connection, server) -> AsyncIterator[Callable[[], None]]:
    """Start two exports of alice without reading them; calling the fixture disconnects."""
    made = await alice.make()
    await connection.execute(
        "INSERT INTO tasks (user_id, id, uid, title_key, tag_keys, "
        "title, completed, priority, tags, created_at, updated_at, version, document) "
        "SELECT user_id, 100 + number, gen_random_uuid(), '', '{}', 'Long', false, 0, '{}', now(), now(), "
        # An export of 10 MB, in four pages.
        """100 + number, replace(document, '"description" : null', '"description" : "' || repeat('x', 10000) || '"') """
        "FROM tasks, generate_series(1, 1000) AS number WHERE id = $1",
        made["id"],
    )
    place = urlsplit(server)
    ask = f"GET /api/me/export HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token('alice')}\r\n\r\n".encode()
    lines = [socket.socket() for _ in range(2)]
    for line in lines:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        line.connect((place.hostname, place.port))

    def hang_up() -> None:
        for line in lines:
            line.close()

    for line in lines:
        line.sendall(ask)
    yield hang_up
    hang_up()


HEAVY = [
    "tasks", "tasks?limit=1&count=true", "tasks?limit=1&q=x", "tasks?limit=1&tag=a&tag=b", "tasks/summary", "trash",
    "trash?limit=1&count=true",
]  # fmt: skip


@pytest.mark.one_database(reason="locks")
@pytest.mark.parametrize("path", HEAVY)
async def test_a_users_heavy_request_that_waits_too_long_for_the_users_own_is_429(  # noqa: PLR0913, PLR0917 - each is a fixture
    alice, bob, http, locked, admission, path
):
    await alice.make()
    await bob.make()
    async with locked(*(alice.get(f"/api/me/{path}") for _ in range(SHARE + 1))) as mine:
        done, _ = await asyncio.wait(mine, timeout=30, return_when=asyncio.FIRST_COMPLETED)
        refused = next(iter(done)).result()
        assert (refused.status_code, refused.json()["code"]) == (429, "too_many_heavy_requests")
        assert 1 <= int(refused.headers["retry-after"]) <= 10
        assert re.search(r'doable_rate_limited_total\{limit="heavy"\} [1-9]', (await http.get("/metrics")).text)
        others = asyncio.create_task(bob.get(f"/api/me/{path}"))
    assert sorted([(await one).status_code for one in mine]) == [200] * SHARE + [429]
    assert (await others).status_code == 200
    assert admission._work._free == PLACES


async def test_a_heavy_request_that_waits_too_long_for_those_of_others_is_503(caller, locked, admission, refusal):
    users = [caller(name) for name in ("alice", "bob", "carol", "dave", "erin")]
    requests = [user.get("/api/me/tasks") for user in users for _ in range(2)]
    async with locked(*requests) as asked:
        done, _ = await asyncio.wait(asked, timeout=30, return_when=asyncio.FIRST_COMPLETED)
        refused = next(iter(done)).result()
        refusal(refused, 503, "service_unavailable")
        assert 1 <= int(refused.headers["retry-after"]) <= 3
    assert sorted([(await one).status_code for one in asked]) == [200] * PLACES + [503] * 2
    assert admission._work._free == PLACES


@pytest.mark.parametrize("query", ["limit=20", "limit=1000&sort=title", "limit=20&tag=home", "limit=20&status=pending"])
def test_a_plain_page_is_not_heavy(query):
    assert not read(query).heavy


async def test_disconnected_clients_free_their_places(alice, locked, admission, eventually):
    await alice.make()
    async with locked(*(alice.get("/api/me/tasks") for _ in range(10))) as asked:
        await eventually(lambda: admission._work._free == PLACES - SHARE)
        for one in asked:
            one.cancel()
        await asyncio.gather(*asked, return_exceptions=True)
        await eventually(lambda: admission._work._free == PLACES)
        assert not admission._work._queue
    assert (await alice.get("/api/me/tasks")).status_code == 200


async def test_an_unread_export_holds_no_heavy_place_and_a_user_may_have_two(alice, bob, unread, admission, eventually):
    streams = admission._streams._queue
    await eventually(lambda: streams.held == {"alice": 2} and admission._work._free == PLACES)
    refused = await alice.get("/api/me/export")
    assert (refused.status_code, refused.json()["code"]) == (429, "too_many_heavy_requests")
    assert (await alice.get("/api/me/tasks/summary")).status_code == 200
    assert (await bob.get("/api/me/export")).status_code == 200
    unread()
    await eventually(lambda: streams.held == {})
    assert (await alice.get("/api/me/export?format=csv")).status_code == 200
    assert (await alice.head("/api/me/export")).status_code == 200
    assert (admission._work._free, streams.held) == (PLACES, {})


@pytest.mark.one_database(reason="nodes take turns too")
async def test_users_take_turns_in_the_queue():
    bulkhead, served = Bulkhead(2, 1, 5.0), []

    async def work(user: str) -> None:
        async with bulkhead.place(user):
            served.append(user)
            await asyncio.sleep(0)

    await asyncio.gather(*map(work, ["mallory"] * 20), *map(work, ["alice", "bob"]))
    assert served.index("alice") <= 2
    assert served.index("bob") <= 4
    assert len(served) == 22


async def test_the_user_of_the_blocking_requests_decides_between_429_and_503():
    bulkhead = Bulkhead(2, 1, 0.05)
    async with bulkhead.place("alice"):
        with pytest.raises(TooManyHeavyRequestsError):
            await bulkhead.place("alice").__aenter__()
        async with bulkhead.place("bob"):
            with pytest.raises(UnavailableError):
                await bulkhead.place("carol").__aenter__()
    async with asyncio.timeout(20), bulkhead.place("alice"):
        assert bulkhead._free == 1
