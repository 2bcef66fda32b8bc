"""Attacks of one user on the others. Each attack runs in its own process for some seconds, as one user.

`python -m tests.trials.attacks NAME PORT TOKEN SECONDS` runs one attack and prints the number of responses by status,
as JSON.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

TAGS = [f"a rather long tag number {number:02}" for number in range(20)]
MEBIBYTE = 1024 * 1024
CLOSED = (OSError, EOFError, ValueError)


@dataclass
class Attacker:
    """One user, with as many connections as it likes."""

    port: int
    token: str
    ends: float  # by the monotonic clock
    statuses: Counter = field(default_factory=Counter)

    def request(
        self, method: str, path: str, body: bytes = b"", kind: str = "application/json", token: str = ""
    ) -> bytes:
        """Return the bytes of a request that closes the connection after its response."""
        head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token or self.token}\r\n"
        content = f"Content-Type: {kind}\r\nContent-Length: {len(body)}\r\n" if method != "GET" else ""
        return f"{head}{content}Connection: close\r\n\r\n".encode() + body

    async def send(self, request: bytes, *, bite: int = MEBIBYTE, pause: float = 0.0) -> None:
        """Send a request and read its response to the end, `bite` bytes at a time."""
        status = "no answer"
        writer = None
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port, limit=max(2 * bite, 4096))
            writer.write(request)
            piece = await reader.read(bite)
            status = piece.split(b" ", 2)[1].decode() if piece.startswith(b"HTTP/1.1 ") else status
            while await reader.read(bite) and time.monotonic() < self.ends:
                await asyncio.sleep(pause)
        except CLOSED:
            pass
        finally:
            self.statuses[status] += 1
            if writer is not None:
                writer.transport.abort()

    async def flood(self, connections: int, *requests: bytes, bite: int = MEBIBYTE, pause: float = 0.0) -> None:
        """Repeat the requests, on so many connections at once."""

        async def go_on() -> None:
            while True:
                for request in requests:
                    await self.send(request, bite=bite, pause=pause)
                    if self.statuses["429"] > 100:
                        await asyncio.sleep(0.05)  # fewer requests, because refused ones are no attack

        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(asyncio.get_running_loop().time() + self.ends - time.monotonic()):
                await asyncio.gather(*(go_on() for _ in range(connections)))


async def many_tags(attacker: Attacker) -> None:
    """Whole lists filtered by 19 tags, with a count, on 11 connections."""
    tags = "&".join(f"tag={tag.replace(' ', '+')}" for tag in TAGS[:19])
    await attacker.flood(11, attacker.request("GET", f"/api/me/tasks?{tags}&count=true"))


async def calendars(attacker: Attacker) -> None:
    """60 iCalendar exports at once."""
    await attacker.flood(60, attacker.request("GET", "/api/me/export?format=ical"))


async def crafted_imports(attacker: Attacker) -> None:
    """Imports of 8 MiB: a header of four million cells, an array of four million numbers, eight million empty lines."""
    cells = attacker.request("POST", "/api/me/import", b"x," * (4 * MEBIBYTE), "text/csv")
    numbers = attacker.request("POST", "/api/me/import", b'{"tasks":[' + b"0," * (4 * MEBIBYTE - 10) + b"0]}")
    lines = attacker.request("POST", "/api/me/import", b"title\n" + b"\n" * (8 * MEBIBYTE - 10), "text/csv")
    await attacker.flood(2, cells, numbers, lines)


async def slow_readers(attacker: Attacker) -> None:
    """The whole list on 20 connections that take 4 KB ten times a second."""
    await attacker.flood(20, attacker.request("GET", "/api/me/tasks"), bite=4096, pause=0.1)


async def near_misses(attacker: Attacker) -> None:
    """Batches of 100 creates, each with 20 unknown names that resemble fields, on 4 connections."""
    roots = [f"{name}{letter}" for name in ("titl", "descriptio", "priorit", "due_dat") for letter in "abcde"]
    operations = [
        {"op": "create", "task": {"title": "x"} | {f"{root}{number}": 1 for root in roots}} for number in range(100)
    ]
    body = json.dumps({"operations": operations, "atomic": False}).encode()
    await attacker.flood(4, attacker.request("POST", "/api/me/tasks/batch", body))


async def searches(attacker: Attacker) -> None:
    """Whole lists searched and sorted, with a count, on 200 connections."""
    await attacker.flood(200, attacker.request("GET", "/api/me/tasks?q=zzz+no+such+text&sort=title&count=true"))


async def convoy(attacker: Attacker) -> None:
    """Writes on 100 connections, which all wait for the lock on the user's row."""
    one = attacker.request("POST", "/api/me/tasks", b'{"title":"x"}')
    operations = [{"op": "create", "task": {"title": "x"}}] * 100
    many = attacker.request("POST", "/api/me/tasks/batch", json.dumps({"operations": operations}).encode())
    await attacker.flood(100, many, one)


async def resyncs(attacker: Attacker) -> None:
    """Full syncs and the longest pages of the list, on 100 connections; neither counts as heavy."""
    changes = attacker.request("GET", "/api/me/tasks/changes?since=0&limit=1000")
    page = attacker.request("GET", "/api/me/tasks?limit=1000&sort=title")
    await attacker.flood(100, changes, page)


async def bad_tokens(attacker: Attacker) -> None:
    """Expired and forged tokens from the victims' own address, on 50 connections."""
    forged = attacker.request("GET", "/api/me/tasks?limit=1", token=attacker.token[:-6] + "AAAAAA")
    await attacker.flood(50, forged, pause=0.01)


ATTACKS: dict[str, Callable[[Attacker], Awaitable[None]]] = {
    attack.__name__: attack
    for attack in (
        many_tags, calendars, crafted_imports, slow_readers, near_misses, searches, convoy, resyncs,
        bad_tokens,
    )
}  # fmt: skip
SEEDED = frozenset(
    {"many_tags", "calendars", "slow_readers", "searches", "resyncs"}
)  # these need a user with 10,000 long tasks


async def seed(attacker: Attacker) -> None:
    """Import 10,000 tasks with 20 tags each, 14 MB, in ten parts."""
    task = {"title": "A task " + "x" * 100, "description": "long " * 150, "tags": TAGS}
    part = attacker.request("POST", "/api/me/import", json.dumps({"tasks": [task] * 1_000}).encode())
    while attacker.statuses["200"] < 10:
        await attacker.send(part)
        assert attacker.statuses.total() < 30, attacker.statuses


async def _main(name: str, port: str, token: str, seconds: str) -> None:
    attacker = Attacker(int(port), token, time.monotonic() + float(seconds))
    await ATTACKS[name](attacker)
    print(json.dumps(attacker.statuses))


if __name__ == "__main__":
    asyncio.run(_main(*sys.argv[1:]))
