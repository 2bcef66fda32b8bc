"""The load of a trial: clients on keep-alive connections that read, write, and record acknowledged writes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

CONNECTIONS = 20
USERS = 5
ALLOWED = frozenset({200, 201, 204, 503, 504})
FAILED = frozenset({503, 504})
ANSWER = 25  # seconds; the timeout of a response, above the limit of the service


@dataclass
class Promise:
    """One task, according to the responses."""

    user: str
    id: int
    completed: bool = False
    deleted: bool = False
    version: int = 0
    certain: bool = True  # false after a change with an error response, because that change may have been performed


@dataclass
class Promised:
    """The acknowledged writes of all clients at one time."""

    promises: dict[str, Promise]  # by title
    writes_done: Counter  # by user, acknowledged ones
    writes_sent: Counter  # by user


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> dict:
        return json.loads(self.body)


class Line:
    """One keep-alive connection of HTTP/1.1."""

    def __init__(self, port: int, token: str = ""):
        self._port = port
        self._head = f"Host: localhost\r\nAuthorization: Bearer {token}\r\n" if token else "Host: localhost\r\n"
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    def request(self, method: str, path: str, body: object = None, key: str = "") -> bytes:
        """Return the bytes of a request, with an Idempotency-Key if one is given."""
        content = b"" if body is None else json.dumps(body).encode()
        kind = "Content-Type: application/json\r\n" if content else ""
        length = f"Content-Length: {len(content)}\r\n" if content or method in {"POST", "PATCH"} else ""
        once = f"Idempotency-Key: {key}\r\n" if key else ""
        head = f"{method} {path} HTTP/1.1\r\n{self._head}{kind}{length}{once}\r\n"
        return head.encode() + content

    async def ask(self, method: str, path: str, body: object = None, key: str = "") -> Answer:
        """Send a request and read its response. Raises OSError or EOFError if the connection breaks."""
        try:
            async with asyncio.timeout(ANSWER):
                if self._writer is None:
                    self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
                self._writer.write(self.request(method, path, body, key))
                await self._writer.drain()
                return await self._read()
        except BaseException:
            self.close()
            raise

    async def _read(self) -> Answer:
        first, *rest = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in rest if line)}
        body = await self._reader.readexactly(int(headers.get("content-length", 0)))
        if headers.get("connection", "").lower() == "close":
            self.close()
        return Answer(int(first.split()[1]), headers, body)

    def close(self) -> None:
        """Disconnect at once."""
        if self._writer is not None:
            self._writer.transport.abort()
        self._reader = self._writer = None


@dataclass
class Load:
    """Twenty clients of five users. They never repeat a request, so a duplicate task was created by the service."""

    port: int
    sign: Callable[[str], str]
    pause: float = 0.02  # seconds between two requests of a client, on average
    breaks: bool = False  # whether the fault breaks connections too, because it ends processes
    users: int = USERS
    sent: int = 0
    acknowledged: int = 0  # writes
    writes_sent: Counter = field(default_factory=Counter)  # by user
    writes_done: Counter = field(default_factory=Counter)  # by user, acknowledged ones
    newest: Counter = field(default_factory=Counter)  # by user, the newest version that was acknowledged
    titles: set[str] = field(default_factory=set)  # that were sent
    promises: dict[str, Promise] = field(default_factory=dict)  # by title
    statuses: Counter = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    broken: list[tuple[float, float]] = field(default_factory=list)  # when sent and when broken
    pending: dict[int, float] = field(default_factory=dict)  # by client: the start time of its current request
    last_failure: float = 0.0
    last_success: list[float] = field(default_factory=lambda: [0.0] * CONNECTIONS)
    first_success: list[float] = field(default_factory=lambda: [0.0] * CONNECTIONS)  # since `mark`
    slowest_live: float = 0.0
    lives: int = 0

    def start(self) -> None:
        """Start the load in the background."""
        self.began = time.monotonic()
        self._stopped = asyncio.Event()
        self._tasks = [asyncio.create_task(self._client(number)) for number in range(CONNECTIONS)]
        self._tasks.append(asyncio.create_task(self._probe()))

    async def stop(self) -> None:
        """Stop after the outstanding responses. Raises the error that stopped a client, if there is one."""
        self._stopped.set()
        self.seconds = time.monotonic() - self.began
        try:
            async with asyncio.timeout(ANSWER + 5):
                await asyncio.gather(*self._tasks)
        finally:
            for task in self._tasks:
                task.cancel()

    @property
    def promised(self) -> Promised:
        """Return the acknowledged writes, which change with each new one."""
        return Promised(self.promises, self.writes_done, self.writes_sent)

    def doubt(self, promised: Promised) -> None:
        """Count the requests sent until now, and mark the tasks that have changed since `promised` as uncertain."""
        promised.writes_sent = self.writes_sent.copy()
        for title, promise in promised.promises.items():
            promise.certain = promise.certain and promise == self.promises[title]

    def mark(self) -> None:
        """Record the end of the fault, from which the recovery counts."""
        self.ended = time.monotonic()
        self.first_success = [0.0] * CONNECTIONS

    async def recovered(self, seconds: float = 20) -> float:
        """Wait until every connection has worked for half a second; return the seconds since the end of the fault."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if all(self.first_success) and time.monotonic() - self.last_failure > 0.5:
                return max(0.0, self.last_failure - self.ended, max(self.first_success) - self.ended)
            await asyncio.sleep(0.02)
        return float("inf")

    async def _client(self, number: int) -> None:
        user = f"user-{number % self.users}"
        line, chance = Line(self.port, self.sign(user)), random.Random(number)
        mine: list[str] = []
        while not self._stopped.is_set():
            began = self.pending[number] = time.monotonic()
            try:
                failed = await self._step(line, user, mine, chance, f"{number}-{self.sent}")
            except (OSError, EOFError) as error:
                failed = True
                now = time.monotonic()
                self.broken.append((began, now))
                if not self.breaks or isinstance(error, TimeoutError):
                    self.wrong.append(f"{type(error).__name__} after {now - began:.1f} s")
            now = time.monotonic()
            del self.pending[number]
            if failed:
                self.last_failure = now
            else:
                self.first_success[number] = self.first_success[number] or now
                self.last_success[number] = now
            await asyncio.sleep(0.1 if failed else chance.uniform(0, 2 * self.pause))
        line.close()

    async def _step(self, line: Line, user: str, mine: list[str], chance: random.Random, title: str) -> bool:
        """Send one request; return whether it failed."""
        self.sent += 1
        path = f"/api/{user}/tasks"
        what = chance.random()
        if what < 0.45 or not mine:
            self.titles.add(title)
            answer = await self._write(line, user, "POST", path, {"title": title})
            if answer.status == 201:
                self.promises[title] = Promise(user, answer.json["id"], version=answer.json["version"])
                mine.append(title)
        elif what < 0.8:
            name = chance.choice(mine[-50:])
            promise = self.promises[name]
            certain, promise.certain = promise.certain, False
            if what < 0.75:
                answer = await self._write(line, user, "PATCH", f"{path}/{promise.id}/complete")
                if answer.status == 200:
                    found = answer.json
                    if certain and found["completed"] is promise.completed:
                        self.wrong.append("a toggle that did not toggle")
                    promise.completed, promise.version, promise.certain = found["completed"], found["version"], True
            else:
                mine.remove(name)
                answer = await self._write(line, user, "DELETE", f"{path}/{promise.id}")
                if answer.status == 204:
                    promise.deleted, promise.certain = True, certain
        elif what < 0.95:
            name = chance.choice(mine[-50:])
            answer = await line.ask("GET", f"{path}/{self.promises[name].id}")
            if answer.status == 200 and answer.json["title"] != name:
                self.wrong.append("somebody else's answer")
        else:
            answer = await line.ask("GET", f"{path}?limit=5")
        self._judge(answer)
        return answer.status in FAILED

    async def _write(self, line: Line, user: str, method: str, path: str, body: object = None) -> Answer:
        self.writes_sent[user] += 1
        answer = await line.ask(method, path, body)
        if answer.status < 300:
            self.writes_done[user] += 1
            self.acknowledged += 1
            if answer.body:
                self.newest[user] = max(self.newest[user], answer.json["version"])
        return answer

    def _judge(self, answer: Answer) -> None:
        self.statuses[answer.status] += 1
        if answer.status not in ALLOWED:
            self.wrong.append(f"{answer.status}: {answer.body[:200]!r}")
        elif answer.status in FAILED and not answer.headers.get("retry-after", "").isdecimal():
            self.wrong.append(f"{answer.status} without Retry-After")

    async def _probe(self) -> None:
        """Request the liveness of the process repeatedly, on new connections."""
        while not self._stopped.is_set():
            line, began = Line(self.port), time.monotonic()
            try:
                status = (await line.ask("GET", "/health/live")).status
                if status != 200:
                    self.wrong.append(f"/health/live: {status}")
                self.lives += 1
                self.slowest_live = max(self.slowest_live, time.monotonic() - began)
            except (OSError, EOFError) as error:
                if not self.breaks:
                    self.wrong.append(f"/health/live: {type(error).__name__}")
            line.close()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopped.wait(), 0.1)
