"""Send load: requests as bytes, with wrk at the maximum rate, or with a client of our own."""

from __future__ import annotations

import asyncio
import itertools
import json
import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import jwt

from benchmarks.servers import SECRET, Server

SCRIPT = Path(__file__).with_name("requests.lua")
CONNECTIONS = 50
MISSING = "doable: wrk sends the load, but is not installed: apt-get install wrk, or brew install wrk."


@dataclass(frozen=True, slots=True)
class Sample:
    """The result of one run of one cell: requests per second, milliseconds, and microseconds of CPU per request."""

    rate: float
    p50: float
    p95: float
    p99: float
    worker: float = 0.0
    database: float = 0.0


@dataclass(frozen=True, slots=True)
class Reply:
    """A response, as our own client reads it. The header names are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


@cache
def token(user: str) -> str:
    """Return a token for a user, valid for a day."""
    return jwt.encode({"sub": user, "exp": int(time.time()) + 86_400}, SECRET, algorithm="HS256")


def request(method: str, user: str, path: str = "", body: object = None, **headers: str) -> bytes:
    """Return the bytes of a user's request to `/api/{user}/tasks{path}`."""
    lines = [
        f"{method} /api/{user}/tasks{path} HTTP/1.1",
        "Host: localhost",
        f"Authorization: Bearer {token(user)}",
        *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items()),
    ]
    content = b""
    if body is not None:
        content = json.dumps(body).encode()
        lines += ["Content-Type: application/json", f"Content-Length: {len(content)}"]
    return "\r\n".join([*lines, "", ""]).encode() + content


def parse(output: str) -> tuple[Sample, int]:
    """Return the result in wrk's output, and the number of requests.

    Raises ValueError if a request was refused or a connection broke, because such a result is useless.
    """
    said = json.loads(next(line for line in output.splitlines() if line.startswith("{")))
    if said["refused"] or said["broken"] or not said["requests"]:
        raise ValueError(f"{said['refused']} requests refused and {said['broken']} broken, of {said['requests']}")
    rate = said["requests"] / said["seconds"]
    return Sample(rate, said["p50"], said["p95"], said["p99"]), said["requests"]


async def press(server: Server, requests: Sequence[bytes], seconds: int, connections: int = CONNECTIONS) -> Sample:
    """Send `requests` repeatedly with wrk. Return the rate, the percentiles and the CPU time."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(b"\0".join(requests))
        file.flush()
        before = server.spent()
        wrk = await asyncio.create_subprocess_exec(
            "wrk", "--threads=1", f"--connections={connections}", f"--duration={seconds}s", "--timeout=10s",
            f"--script={SCRIPT}", server.address, "--", file.name,
            stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        output, _ = await wrk.communicate()
        worker, database = (1e6 * (after - sooner) for after, sooner in zip(server.spent(), before, strict=True))
    sample, sent = parse(output.decode())
    return Sample(sample.rate, sample.p50, sample.p95, sample.p99, worker / sent, database / sent)


async def version() -> str:
    """Return the version of wrk. Raises SystemExit, with the command to install it, if it is missing."""
    if not shutil.which("wrk"):
        raise SystemExit(MISSING)
    wrk = await asyncio.create_subprocess_exec("wrk", "--version", stdout=asyncio.subprocess.PIPE)
    output, _ = await wrk.communicate()
    return " ".join(output.decode().split()[:2])


class Line:
    """One keep-alive connection of our own client."""

    def __init__(self, server: Server) -> None:
        """Prepare a connection to `server`. The first request opens it."""
        self._server = server
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def ask(self, content: bytes) -> Reply:
        """Send a request, and return its response."""
        if self._reader is None or self._writer is None:
            self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._server.port, limit=2**20)
        self._writer.write(content)
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:-2])}
        body = await self._reader.readexactly(int(headers.get("content-length", 0)))
        return Reply(int(head[0].split()[1]), headers, body)

    def close(self) -> None:
        """Close the connection."""
        if self._writer:
            self._writer.close()


async def ask_all(server: Server, requests: Sequence[bytes], connections: int = 20) -> list[Reply]:
    """Return the responses to `requests`, in their order. Send at most `connections` requests at the same time."""
    replies: list[Reply | None] = [None] * len(requests)
    numbered = iter(enumerate(requests))

    async def work() -> None:
        line = Line(server)
        for number, content in numbered:
            replies[number] = await line.ask(content)
        line.close()

    await asyncio.gather(*(work() for _ in range(min(connections, len(requests)))))
    return [reply for reply in replies if reply is not None]


async def pace(server: Server, requests: Sequence[bytes], interval: float, seconds: float) -> list[float]:
    """Send each of `requests` every `interval` seconds, on its own connection. Return the response times in ms.

    The requests are spread evenly over the interval. The time of a response counts from the planned time of its
    request, so that a slow response does not hide the wait of the next request.
    """
    begin = time.perf_counter() + 0.1
    took: list[float] = []

    async def user(number: int, content: bytes) -> None:
        line = Line(server)
        await line.ask(content)
        for beat in itertools.count():
            due = begin + interval * (beat + number / len(requests))
            if due > begin + seconds:
                break
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            sent = max(due, time.perf_counter() - 0.002)  # the delay of the timer itself does not count
            await line.ask(content)
            took.append(1000 * (time.perf_counter() - sent))
        line.close()

    await asyncio.gather(*(user(number, content) for number, content in enumerate(requests)))
    return took
