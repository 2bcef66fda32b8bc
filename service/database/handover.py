"""Connections kept at hand, and handed from one request to the next in the order of asking.

asyncpg's pool opens, mends and closes connections well, but lending one from it takes a task, a queue and a proxy each
time, and its queue lets a newcomer overtake whoever was just woken. So connections are taken from it once and kept
here: a request takes one in a function call, and gives it straight to whoever has waited longest. What was cancelled
or failed goes back to asyncpg, which alone knows how to make a connection whole again.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from typing import Any

import asyncpg

from service.database.failures import is_lost
from service.errors import UnavailableError
from service.metrics import figures

KEPT = 240.0  # seconds; less than the five minutes after which a serverless database falls asleep if it is let

Connection = Any  # asyncpg's PoolConnectionProxy, which has no types


class Turn(asyncio.Future[Connection | None]):
    """What somebody waits for, and the loop's time at which that ends."""

    ends: float


class Handover:
    """At most `size` connections of `pool`, lent to one request at a time."""

    def __init__(self, pool: asyncpg.Pool, size: int, wait: float) -> None:
        """Lend connections of `pool`, whose maximum is not below `size`; nobody waits longer than `wait` seconds."""
        self._pool = pool
        self._size = size
        self._wait = wait
        self._loop = asyncio.get_running_loop()
        self._idle: list[tuple[float, Connection]] = []  # since when; the most recently used is the last
        self._waiting: deque[Turn] = deque()
        self._alarm: asyncio.TimerHandle | None = None  # for whoever has waited longest
        self._places = 0  # connections that we hold or are about to
        self._sweeper: asyncio.TimerHandle | None = None
        self._returning: set[asyncio.Task[None]] = set()

    @property
    def lent(self) -> int:
        """How many connections are in use, being opened for somebody, or being made whole."""
        return self._places - len(self._idle)

    @property
    def waiting(self) -> int:
        """How many requests wait for one."""
        return len(self._waiting)

    def take_now(self) -> Connection | None:
        """An idle connection; None when somebody must be waited for, or one must be opened."""
        while self._idle:
            _, connection = self._idle.pop()
            if _is_usable(connection):
                figures.acquired_at_once += 1
                return connection
            self.give_up(connection)
        return None

    async def take(self) -> Connection:
        """A connection, as soon as it is the caller's turn.

        Raises UnavailableError when the turn does not come in time, and whatever asyncpg raises when it cannot connect.
        """
        if connection := self.take_now():
            return connection
        with figures.acquiring():
            while self._places >= self._size:
                left = await self._wait_for_turn()
                if left is None:
                    return await self._open()
                if _is_usable(left):
                    return left
                self.give_up(left)  # the server closed it while it was being handed over
            self._places += 1
            return await self._open()

    def give_back(self, connection: Connection) -> None:
        """Hand a connection that is in order to whoever has waited longest, or keep it at hand."""
        if not _is_usable(connection):
            self.give_up(connection)
        elif not self._wake(connection):
            self._idle.append((self._loop.time(), connection))
            if self._sweeper is None:
                self._sweeper = self._loop.call_later(KEPT, self._sweep)

    def give_up(self, connection: Connection) -> None:
        """Part with a connection that something has happened to, in the background.

        asyncpg may have to wait until a cancelled statement has ended. Only then does the connection's place go to
        whoever has waited longest.
        """
        task = self._loop.create_task(self._pool.release(connection))
        self._returning.add(task)
        task.add_done_callback(self._returned)

    async def close(self) -> None:
        """Let go of the idle connections, and wait until asyncpg has back what it was to mend."""
        for timer in filter(None, (self._sweeper, self._alarm)):
            timer.cancel()
        while self._idle:
            self.give_up(self._idle.pop()[1])
        while self._returning:
            await asyncio.wait(self._returning)

    async def _open(self) -> Connection:
        """Open a connection in a place of ours; once more when that fails, for nothing has been sent yet."""
        try:
            try:
                return await self._connect()
            except Exception as error:
                if not is_lost(error):
                    raise
            figures.database_retries += 1
            async with asyncio.timeout(self._wait):
                return await self._connect()
        except BaseException:
            self._free_place()
            raise

    async def _connect(self) -> Connection:
        try:
            return await self._pool.acquire()
        except asyncpg.InternalServerError as error:
            # No statement of ours is the reason: Neon's proxy says so when the database behind it does not wake.
            raise UnavailableError("connection") from error

    async def _wait_for_turn(self) -> Connection | None:
        """What the one before left: a connection, or None for a place to open one in."""
        turn = Turn(loop=self._loop)
        turn.ends = self._loop.time() + self._wait
        self._waiting.append(turn)
        if self._alarm is None:
            self._alarm = self._loop.call_at(turn.ends, self._call_off)
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                with contextlib.suppress(ValueError):  # whoever looked for the next one may have taken it out
                    self._waiting.remove(turn)
            elif turn.exception() is None:
                # The turn came as the waiter left: it belongs to the next one.
                left = turn.result()
                self.give_back(left) if left is not None else self._free_place()
            raise

    def _call_off(self) -> None:
        """Send away who has waited too long.

        All wait equally long, so one timer for the first of them is enough; one for each waiter cost 10 µs.
        """
        self._alarm = None
        now = self._loop.time()
        while self._waiting:
            turn = self._waiting[0]
            if not turn.done():
                if turn.ends > now:
                    self._alarm = self._loop.call_at(turn.ends, self._call_off)
                    return
                turn.set_exception(UnavailableError("pool"))
            self._waiting.popleft()

    def _wake(self, connection: Connection | None) -> bool:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(connection)
                return True
        return False

    def _free_place(self) -> None:
        if not self._wake(None):
            self._places -= 1

    def _returned(self, task: asyncio.Task[None]) -> None:
        self._returning.discard(task)
        self._free_place()
        if not task.cancelled():
            task.exception()  # a connection that cannot even be given back is lost, and asyncpg has let go of it

    def _sweep(self) -> None:
        """Let go of what nobody has needed for a while."""
        self._sweeper = None
        now = self._loop.time()
        while self._idle and now - self._idle[0][0] >= KEPT:
            self.give_up(self._idle.pop(0)[1])
        if self._idle:
            self._sweeper = self._loop.call_later(self._idle[0][0] + KEPT - now, self._sweep)


def _is_usable(connection: Connection) -> bool:
    try:
        return not connection.is_closed()
    except asyncpg.InterfaceError:  # the server closed it, and asyncpg has taken it out of our hands
        return False
