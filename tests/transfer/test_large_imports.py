"""Imports of the maximum size: their duration, the delay of other requests, and who may send them."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import pytest

from service.database.uids import new_uid
from service.transfer import uploads
from service.transfer.imports import MAXIMUM_BODY

IMPORT = "/api/me/import"
WHEN = "2026-01-02T03:04:05.000006Z"


@pytest.mark.steps
@pytest.mark.one_database(reason="a statement of 10,000 inserts takes longer than the time limit")
async def test_ten_thousand_tasks_of_families_take_one_statement_and_short_steps(alice, statements):
    lists = [{"id": number, "uid": new_uid(), "name": f"List {number}"} for number in range(1, 501)]
    task = {"description": "y" * 300, "tags": ["home", "garden"], "due_date": "2026-12-24", "created_at": WHEN}
    tasks = [
        {"id": place + 1, "uid": new_uid(), "title": f"Task {place}", "position": f"a{place % 9 + 1}", **task,
         **({"parent_id": place} if place % 2 else {"list_id": place % 500 + 1})}
        for place in range(10_000)
    ]  # fmt: skip
    content = json.dumps({"version": 2, "lists": lists, "tasks": tasks}).encode()
    assert len(content) > 5_000_000
    headers = {"Content-Type": "application/json"}
    with statements() as seen:
        response = await alice.post(IMPORT, content=content, headers=headers)
    assert response.json() == {"imported": 10_000, "skipped": 0}
    assert len(seen) == 1
    without_uids = json.dumps({"lists": lists, "tasks": [{**one, "uid": None} for one in tasks]}).encode()
    for again in (content, without_uids):  # without a uid, the title and the time of creation identify a task
        response = await alice.post(IMPORT, params={"on_conflict": "skip"}, content=again, headers=headers)
        assert response.json() == {"imported": 0, "skipped": 10_000}
    after = (await alice.get("/api/me/export")).json()
    assert sum(one["parent_id"] is not None for one in after["tasks"]) == 5_000


@contextlib.asynccontextmanager
async def begin(server: str, *callers) -> AsyncIterator[None]:
    """Start imports of `callers` whose bodies do not arrive."""
    address, writers = urlsplit(server), []
    for caller in callers:
        _, writer = await asyncio.open_connection(address.hostname, address.port)
        known = f"Authorization: {caller.headers['authorization']}\r\nContent-Type: text/csv\r\n"
        writer.write(f"POST {IMPORT} HTTP/1.1\r\nHost: x\r\n{known}Content-Length: 99\r\n\r\ntitle".encode())
        writers.append(writer)
    yield
    for writer in writers:
        writer.close()


async def send(caller):
    return await caller.post(IMPORT, content="title\r\nA\r\n", headers={"Content-Type": "text/csv"})


@pytest.fixture
def hurried(app, monkeypatch):
    """Uploads with a short timeout."""
    monkeypatch.setattr(app.ctx, "uploads", uploads.Uploads(wait=0.5))
    return app.ctx.uploads


async def test_slow_imports_delay_only_their_own_user(  # noqa: PLR0913, PLR0917 - each is a fixture
    alice, bob, server, refusal, eventually, hurried
):
    async with begin(server, alice, alice, alice):
        await eventually(lambda: is_told_to_wait(alice))
        assert (await send(bob)).json() == {"imported": 1, "skipped": 0}
        refusal(await send(alice), 429, "too_many_heavy_requests")
    await eventually(lambda: is_served(alice))


async def test_incomplete_bodies_do_not_block_complete_ones(app, bob, caller, server, eventually):
    slow = [caller(f"slow-{number}") for number in range(10)]
    async with begin(server, *slow):
        await eventually(lambda: app.ctx.uploads.held == len(slow) * len("title"))
        assert (await send(bob)).json() == {"imported": 1, "skipped": 0}, "503 if it had to wait for a turn"


async def test_at_most_two_complete_bodies_are_read_at_once(alice, refusal, eventually, hurried):
    async with hurried.turn("bob"):
        async with hurried.turn("carol"):
            refusal(await send(alice), 503, "service_unavailable")
            waiting = asyncio.create_task(send(alice))
            await eventually(lambda: hurried.held)
        assert (await waiting).json() == {"imported": 1, "skipped": 0}
    assert hurried.held == 0


async def test_the_memory_of_all_bodies_of_a_worker_is_limited(  # noqa: PLR0913, PLR0917 - each is a fixture
    alice, bob, server, refusal, eventually, hurried, monkeypatch
):
    monkeypatch.setattr(uploads, "MAXIMUM_HELD", 10)
    async with begin(server, alice):
        await eventually(lambda: hurried.held == len("title"))
        refusal(await send(bob), 503, "service_unavailable")
    assert (await send(bob)).json() == {"imported": 1, "skipped": 0}
    await eventually(lambda: hurried.held == 0)


async def is_told_to_wait(caller) -> bool:
    return (await send(caller)).status_code == 429


async def is_served(caller) -> bool:
    return (await send(caller)).status_code == 200


async def answer(server: str, head: str, body: bytes, pause: float = 0.0) -> tuple[int, int]:
    """Send `head` and `body`; return the status of the response, and the number of bytes that were accepted."""
    address = urlsplit(server)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    sent = 0
    try:
        writer.write(head.encode())
        with contextlib.suppress(ConnectionError):
            while sent < len(body) and not reader._buffer:
                writer.write(body[sent : sent + 65536])
                await asyncio.wait_for(writer.drain(), 60)
                await asyncio.sleep(pause)
                sent += 65536
        line = await asyncio.wait_for(reader.readline(), 60)
        return int(line.split()[1]), sent
    finally:
        writer.close()


@pytest.mark.parametrize("chunked", [False, True])
async def test_only_an_authenticated_import_may_be_large(alice, server, chunked):
    size = MAXIMUM_BODY + 65536
    body = b"x" * size
    framing = f"Content-Length: {size}\r\n"
    if chunked:
        framing = "Transfer-Encoding: chunked\r\n"
        body = b"10000\r\n" + b"x" * 65536 + b"\r\n"
        body *= size // 65536
    head = "POST {} HTTP/1.1\r\nHost: x\r\nContent-Type: text/csv\r\n" + framing + "{}\r\n"
    known = f"Authorization: {alice.headers['authorization']}\r\n"
    status, sent = await answer(server, head.format(IMPORT, ""), body, 0.002)
    assert status == 401
    assert sent < 2_000_000
    status, sent = await answer(server, head.format("/api/bob/import", known), body, 0.002)
    assert status == 403
    assert sent < 2_000_000
    status, sent = await answer(server, head.format(alice.path, known), body, 0.002)
    assert status == 413
    assert sent < 2_000_000
    status, _ = await answer(server, head.format(IMPORT, known), body)
    assert status == 413
