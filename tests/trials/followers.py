"""Clients that follow a user's changes, over the event stream or the change feed, and keep a correct copy."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections import Counter
from collections.abc import Callable

import asyncpg
import psutil

from tests.trials.load import FAILED, Line

PATIENCE = 15  # seconds; the maximum for a follower to receive the remaining changes after the last write
SILENCE = 30  # seconds; a stream sends a comment after 20
CLOSED = (OSError, EOFError)


class Copy:
    """The changes that a client has received for its user, and the errors among them."""

    def __init__(self, port: int, user: str, token: str):
        self.user, self.wrong = user, list[str]()
        self.position = 0  # the last received revision
        self.last = "0"  # the last received position
        self.began: int | None = None  # the revision after which every deletion is reported
        self.whole = False  # whether the first page has all live tasks, or none
        self.told = 0
        self.refused = 0
        self.tasks: dict[int, tuple[int, bool]] = {}  # by id: the version, and whether it is deleted
        self._port, self._token = port, token
        self._newest = 0

    def start(self) -> None:
        """Start to follow in the background."""
        self._task = asyncio.create_task(self._follow())

    async def stop(self) -> None:
        """Stop. Raises the error that stopped the follower, if there is one."""
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    def take(self, change: dict) -> None:
        """Record one change. Versions ascend for the lifetime of the client, even over several connections."""
        version, task_id = change["version"], change["id"]
        if version <= self._newest:
            self.wrong.append(f"{self.user}: version {version} of task {task_id} after version {self._newest}")
        if change.get("user_id", self.user) != self.user:
            self.wrong.append(f"{self.user} was told of somebody else")
        self._newest = version
        self.tasks[task_id] = (version, change.get("deleted", False))
        self.told += 1

    def compare(self, rows: list[asyncpg.Record]) -> list[str]:
        """Return the differences between this copy and the rows of all tasks."""
        if self.began is None:
            return [f"{self.user}: a follower never began"]
        there = {
            row["id"]: (row["version"], row["deleted"])
            for row in rows
            if row["user_id"] == self.user
            and (row["version"] > self.began or (self.whole and not row["deleted"]))
        }  # fmt: skip
        return [
            f"{self.user}: task {task_id} is {there.get(task_id)}, the follower has {self.tasks.get(task_id)}"
            for task_id in there.keys() | self.tasks.keys()
            if there.get(task_id) != self.tasks.get(task_id)
        ]

    async def _follow(self) -> None:
        raise NotImplementedError


class Stream(Copy):
    """A client of the event stream that reconnects with the last id that it has received."""

    def __init__(self, port: int, user: str, token: str):
        super().__init__(port, user, token)
        self.heard: dict[int, float] = {}  # by version: when
        self.endings: list[tuple[float, bool]] = []  # the time, and whether the end was proper
        self.address = 0  # the client's own port
        self.open = False

    async def _follow(self) -> None:
        while True:
            proper = False
            with contextlib.suppress(*CLOSED):
                proper = await self._listen()
            if self.open:
                self.endings.append((time.monotonic(), proper))
            self.open = False
            await asyncio.sleep(0.1)

    async def _listen(self) -> bool:
        """Follow one stream to its end; return whether the end was proper. Raises OSError or EOFError if it breaks."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            last = "" if self.began is None else f"Last-Event-ID: {self.last}\r\n"
            head = f"GET /api/{self.user}/tasks/events HTTP/1.1\r\nHost: localhost\r\n{last}"
            writer.write(f"{head}Authorization: Bearer {self._token}\r\n\r\n".encode())
            async with asyncio.timeout(SILENCE):
                status = int((await reader.readuntil(b"\r\n\r\n")).split()[1])
            if status != 200:
                self.refused += 1
                if status not in FAILED:
                    self.wrong.append(f"{self.user}: a stream was answered {status}")
                return False
            self.open, self.address = True, writer.get_extra_info("sockname")[1]
            text = b""
            while piece := await self._chunk(reader):
                *blocks, text = (text + piece).split(b"\n\n")
                for block in blocks:
                    self._take(block.decode())
            return True
        finally:
            writer.transport.abort()

    @staticmethod
    async def _chunk(reader: asyncio.StreamReader) -> bytes:
        async with asyncio.timeout(SILENCE):
            size = int(await reader.readuntil(b"\r\n"), 16)
            return (await reader.readexactly(size + 2))[:-2]

    def _take(self, block: str) -> None:
        fields = dict(line.partition(": ")[::2] for line in block.split("\n"))
        if fields.get("event") == "reset":
            self.wrong.append(f"{self.user}: a reset at {self.position}, and nothing was forgotten")
        if "data" in fields and fields.get("event") == "task":
            self.heard[_revision(fields["id"])] = time.monotonic()
            self.take(json.loads(fields["data"]))
        if "id" in fields:
            self.last, self.position = fields["id"], _revision(fields["id"])
            self.began = self.position if self.began is None else self.began


class Reader(Copy):
    """A client of the change feed that reads a page, pauses, and reads the next one."""

    def __init__(self, port: int, user: str, token: str, *, limit: int, pause: float):
        super().__init__(port, user, token)
        self.whole, self._limit, self._pause = True, limit, pause
        self.acknowledged: Callable[[], int] = lambda: 0  # the newest version of the user that was acknowledged
        self.committed: Callable | None = None  # a coroutine: the revision in the database, None during an outage

    async def _follow(self) -> None:
        promised = self.acknowledged()
        with contextlib.closing(Line(self._port, self._token)) as line:
            while True:
                more = True
                with contextlib.suppress(*CLOSED):
                    more = await self._read(line)
                if not more:
                    if self.position < promised:
                        self.wrong.append(f"{self.user}: {promised} acknowledged, the feed ends at {self.position}")
                    promised = self.acknowledged()
                await asyncio.sleep(self._pause)

    async def _read(self, line: Line) -> bool:
        """Read one page; return whether there may be more."""
        query = f"since={self.last}&limit={self._limit}"
        answer = await line.ask("GET", f"/api/{self.user}/tasks/changes?{query}")
        if answer.status != 200:
            self.refused += 1
            if answer.status not in FAILED:
                self.wrong.append(f"{self.user}: since {self.last} was answered {answer.status}")
            return True
        page = answer.json
        committed = await self.committed(self.user) if self.committed else None
        for change in page["changes"]:
            self.take(change)
            if committed is not None and change["version"] > committed:
                self.wrong.append(f"{self.user}: {change['version']} was seen, {committed} is committed")
        reached = _revision(page["next"])
        if reached < self.position:
            self.wrong.append(f"{self.user}: the position went from {self.position} back to {reached}")
        if page["changes"] and self.began is None:
            self.began = reached
        self.last, self.position = page["next"], reached
        return page["has_more"]


def _revision(position: str) -> int:
    """Return the revision in a position, which is opaque to clients."""
    return int((position.split("-")[1:2] or [position])[0])


async def settle(connection: asyncpg.Connection, followers: list[Copy]) -> tuple[str, list[str]]:
    """Wait until all followers have reached the database's revision. Return a summary and the errors."""
    revisions = {row["id"]: row["revision"] for row in await connection.fetch("SELECT id, revision FROM users")}
    began = time.monotonic()
    while any(one.position < revisions[one.user] for one in followers) and time.monotonic() < began + PATIENCE:
        await asyncio.sleep(0.02)
    seconds = time.monotonic() - began
    rows = await connection.fetch("SELECT user_id, id, version, deleted_at IS NOT NULL AS deleted FROM tasks")
    missed = [fault for one in followers for fault in one.compare(rows)]
    wrong = [fault for one in followers for fault in one.wrong]
    wrong += [f"{one.user} is told of nothing" for one in followers if not one.told]
    for one in followers:
        await one.stop()
    kinds = Counter(type(one).__name__.lower() for one in followers)
    who = " and ".join(f"{number} {kind}s" for kind, number in kinds.items())
    told = sum(one.told for one in followers)
    back = sum(len(one.endings) for one in followers if isinstance(one, Stream))
    note = (
        f"{who} told of {told} changes, {len(missed)} missed, {len(wrong)} wrong; {back} came back; "
        f"all there {seconds:.1f} s after the last write"
    )
    return note, missed[:5] + wrong[:5]


def spread(streams: list[Stream], processes: list[psutil.Process]) -> list[int]:
    """Return how many of the streams each process serves."""
    addresses = {one.address for one in streams if one.open}
    return [
        sum(bool(held.raddr) and held.raddr.port in addresses for held in process.net_connections("tcp"))
        for process in processes
    ]
