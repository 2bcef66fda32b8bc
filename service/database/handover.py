"""Lend the connections of asyncpg's pool to requests, in turn, so that no user delays the others.

asyncpg's pool opens, resets and closes connections reliably. But each loan from it needs a task, a queue and a proxy,
and its queue lets a new request overtake a waiter that was just woken. Therefore this module takes connections from
the pool once and keeps them. A request takes one with a function call, and passes it directly to the next waiter. A
connection whose statement failed or was cancelled goes back to asyncpg, which resets or closes it.

Three rules make the pool fair. One owner holds at most half of the connections. Waiters are served round robin: the
owners take turns, and the requests of one owner are served in the order of their arrival. Therefore, however many
requests of one user wait, another user's request waits only for about one statement of each other user. In a cluster,
all users of one node together hold at most half of the connections. If that node hangs, the users of the other nodes
still have the other half.
"""

from __future__ import annotations

import asyncio
from functools import partial
from time import perf_counter
from typing import Any

import asyncpg

from service.database import reachability
from service.database.failures import is_lost
from service.database.fair_queue import FairQueue, Owner
from service.database.placement import nodes
from service.errors import UnavailableError
from service.telemetry import figures

KEPT = 240.0  # seconds; less than the five idle minutes after which a serverless database suspends

Connection = Any  # asyncpg's PoolConnectionProxy, which has no types


class Handover:
    """Lends at most `size` connections of `pool`, each to one request at a time."""

    def __init__(self, pool: asyncpg.Pool, size: int, wait: float) -> None:
        """Lend connections of `pool`, whose maximum is at least `size`. A request waits for at most `wait` seconds."""
        self._pool = pool
        self._size = size
        self._wait = wait
        self._loop = asyncio.get_running_loop()
        self._idle: list[tuple[float, Connection]] = []  # with the time of their last use, the most recent one last
        # A waiter gets a connection, or None, which means a free place in which it opens a connection. One owner, and
        # all owners of one node together, hold at most half of the places.
        half = max(1, size // 2)
        self._queue: FairQueue[Connection | None] = FairQueue(half, wait, half, nodes.of)
        # Attributes of the queue, copied because every request uses them and calling its methods costs 1 µs.
        self._held, self._share = self._queue.held, self._queue.share
        self._places = 0  # connections that are lent, idle or being opened
        self._sweeper: asyncio.TimerHandle | None = None
        self._returning: set[asyncio.Task[None]] = set()

    @property
    def lent(self) -> int:
        """The number of connections that are in use, being opened for a request, or being reset."""
        return self._places - len(self._idle)

    @property
    def waiting(self) -> int:
        """The number of requests that wait for a connection."""
        return len(self._queue)

    def take_now(self, owner: Owner) -> Connection | None:
        """Return an idle connection, or None if there is none or if `owner` holds its share."""
        held = self._held.get(owner, 0)
        if held >= self._share and owner is not None:
            return None
        if nodes.are_known and not self._queue.may_hold(owner):
            return None
        while self._idle:
            _, connection = self._idle.pop()
            if _is_usable(connection):
                if nodes.are_known:
                    self._queue.hold(owner)
                else:
                    self._held[owner] = held + 1
                figures.acquired_at_once += 1
                return connection
            self._return(connection)
        return None

    async def take(self, owner: Owner) -> Connection:
        """Wait for the owner's turn, and return a connection. Call this if `take_now` has returned None.

        Raises UnavailableError if the wait exceeds its limit, and asyncpg's errors if it cannot connect.
        """
        began = perf_counter()
        try:
            while self._places >= self._size or not self._queue.may_hold(owner):
                try:
                    left = await self._queue.wait(owner, self._pass_on)
                except TimeoutError:
                    raise UnavailableError("pool") from None
                if left is None:  # a free place, which `owner` holds now
                    return await self._open(owner)
                if _is_usable(left):
                    return left
                self.give_up(left, owner)  # the server closed it while it was being handed over
            self._places += 1
            self._queue.hold(owner)
            return await self._open(owner)
        except UnavailableError as error:
            figures.database_failed(error.kind)
            raise
        finally:
            figures.acquired(perf_counter() - began)

    def give_back(self, connection: Connection, owner: Owner) -> None:
        """Pass a connection to the next waiter, or keep it idle. It is checked when it is taken again."""
        if nodes.are_known:
            self._queue.let_go(owner)
        elif held := self._held.pop(owner) - 1:
            self._held[owner] = held
        self._idle.append((self._loop.time(), connection))
        if self._queue.waiting:
            self._serve()
        if self._sweeper is None and self._idle:
            self._sweeper = self._loop.call_later(KEPT, self._sweep)

    def give_up(self, connection: Connection, owner: Owner) -> None:
        """Return a connection to asyncpg after a failure or a cancellation, in the background.

        asyncpg may have to wait until a cancelled statement has ended. Until then the owner holds the connection's
        place. Then the next waiter gets the place.
        """
        self._return(connection).add_done_callback(partial(self._given_up, owner))

    async def close(self) -> None:
        """Return the idle connections to asyncpg, and wait until it has taken all connections back."""
        self._queue.close()
        if self._sweeper is not None:
            self._sweeper.cancel()
        while self._idle:
            self._return(self._idle.pop()[1])
        while self._returning:
            await asyncio.wait(self._returning)

    async def _open(self, owner: Owner) -> Connection:
        """Open a connection in a place that `owner` holds. Retry once, which is safe because nothing was sent yet."""
        try:
            try:
                return await self._connect()
            except Exception as error:
                if not is_lost(error):
                    raise
            figures.database_retries += 1
            async with asyncio.timeout(self._wait):
                return await self._connect()
        except BaseException as error:
            self._free_place(owner)
            if isinstance(error, Exception):
                reachability.connection_failed(error)
            raise

    async def _connect(self) -> Connection:
        try:
            connection = await self._pool.acquire()
        except asyncpg.InternalServerError as error:
            # No statement was sent, so this is no bug: Neon's proxy sends this error if the database does not wake up.
            raise UnavailableError("connection") from error
        reachability.connection_opened()
        return connection

    def _pass_on(self, left: Connection | None, owner: Owner) -> None:
        if left is None:
            self._free_place(owner)
        else:
            self.give_back(left, owner)

    def _serve(self) -> None:
        """Give idle connections and free places to waiters, until either runs out."""
        while (self._idle or self._places < self._size) and (turn := self._queue.next()):
            if self._idle:
                turn.set_result(self._idle.pop()[1])
            else:
                self._places += 1
                turn.set_result(None)

    def _free_place(self, owner: Owner) -> None:
        """Free a place of `owner` that no longer has a connection."""
        self._queue.let_go(owner)
        self._places -= 1
        self._serve()

    def _return(self, connection: Connection) -> asyncio.Task[None]:
        """Return a connection to asyncpg in the background. Its place becomes free when that has ended."""
        task = self._loop.create_task(self._pool.release(connection))
        self._returning.add(task)
        task.add_done_callback(self._returned)
        return task

    def _returned(self, task: asyncio.Task[None]) -> None:
        self._returning.discard(task)
        self._places -= 1
        if not task.cancelled():
            task.exception()  # retrieved so that asyncio does not log it; asyncpg has closed the connection
        self._serve()

    def _given_up(self, owner: Owner, _task: asyncio.Task[None]) -> None:
        self._queue.let_go(owner)
        self._serve()

    def _sweep(self) -> None:
        """Return connections to asyncpg that were idle for KEPT seconds."""
        self._sweeper = None
        now = self._loop.time()
        while self._idle and now - self._idle[0][0] >= KEPT:
            self._return(self._idle.pop(0)[1])
        if self._idle:
            self._sweeper = self._loop.call_later(self._idle[0][0] + KEPT - now, self._sweep)


def _is_usable(connection: Connection) -> bool:
    try:
        return not connection.is_closed()
    except asyncpg.InterfaceError:  # the server closed it, and asyncpg has already released it
        return False
