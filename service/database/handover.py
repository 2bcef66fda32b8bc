"""Connections kept at hand, and handed from one request to the next in turn, so that no user delays the others.

asyncpg's pool opens, mends and closes connections well, but lending one from it takes a task, a queue and a proxy each
time, and its queue lets a newcomer overtake a waiter that was just woken. So connections are taken from it once and
kept here: a request takes one in a function call, and passes it straight to the next waiter. A connection whose
statement was cancelled or failed goes back to asyncpg, which alone knows how to make it whole again.

Three rules keep the pool fair. One owner holds at most half of the connections. Waiters are served round robin: each
owner in turn, and the requests of one owner in the order of asking. So however many requests one user has waiting,
another user's request waits for a statement or so of each of the others, not for the whole line. And in a cluster all
users of one node together hold at most half: if it hangs, those of the other nodes are served from the rest.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import asyncpg

from service.database import reachability
from service.database.failures import is_lost
from service.database.fair_queue import FairQueue, Owner
from service.database.placement import nodes
from service.errors import UnavailableError
from service.telemetry import figures

KEPT = 240.0  # seconds; less than the five minutes after which a serverless database falls asleep if it is let

Connection = Any  # asyncpg's PoolConnectionProxy, which has no types


class Handover:
    """At most `size` connections of `pool`, lent to one request at a time."""

    def __init__(self, pool: asyncpg.Pool, size: int, wait: float) -> None:
        """Lend connections of `pool`, whose maximum is not below `size`; a request waits for `wait` seconds at most."""
        self._pool = pool
        self._size = size
        self._wait = wait
        self._loop = asyncio.get_running_loop()
        self._idle: list[tuple[float, Connection]] = []  # since when; the most recently used is the last
        # For a connection, or for None: a place to open one in. An owner holds half of them at most, as does a node.
        half = max(1, size // 2)
        self._queue: FairQueue[Connection | None] = FairQueue(half, wait, half, nodes.of)
        # The queue's own, at hand for the way of every request: calls of its methods cost 1 µs.
        self._held, self._share = self._queue.held, self._queue.share
        self._places = 0  # connections that are held, idle or being opened
        self._sweeper: asyncio.TimerHandle | None = None
        self._returning: set[asyncio.Task[None]] = set()

    @property
    def lent(self) -> int:
        """Return how many connections are in use, being opened for a request, or being made whole."""
        return self._places - len(self._idle)

    @property
    def waiting(self) -> int:
        """Return how many requests wait for one."""
        return len(self._queue)

    def take_now(self, owner: Owner) -> Connection | None:
        """Take an idle connection; None when `owner` holds its share, or one must be waited for or opened."""
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
        """Take a connection as soon as it is the caller's turn.

        Raises UnavailableError when the turn does not come in time, and the errors of asyncpg when it cannot connect.
        """
        if connection := self.take_now(owner):
            return connection
        with figures.acquiring():
            while self._places >= self._size or not self._queue.may_hold(owner):
                left = await self._wait_for_turn(owner)
                if left is None:
                    return await self._open(owner)
                if _is_usable(left):
                    return left
                self.give_up(left, owner)  # the server closed it while it was being handed over
            self._places += 1
            self._queue.hold(owner)
            return await self._open(owner)

    def give_back(self, connection: Connection, owner: Owner) -> None:
        """Hand a connection to the next waiter, or keep it at hand; it is looked at when it is taken."""
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
        """Part with a connection after a failure or a cancellation, in the background.

        asyncpg may have to wait until a cancelled statement has ended. Until then the owner holds the connection's
        place; then it goes to the next waiter.
        """
        self._return(connection).add_done_callback(partial(self._given_up, owner))

    async def close(self) -> None:
        """Let go of the idle connections, and wait until asyncpg has back those that it was to mend."""
        self._queue.close()
        if self._sweeper is not None:
            self._sweeper.cancel()
        while self._idle:
            self._return(self._idle.pop()[1])
        while self._returning:
            await asyncio.wait(self._returning)

    async def _open(self, owner: Owner) -> Connection:
        """Open a connection in a place that `owner` holds; once more when that fails, as nothing was sent yet."""
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
            # No statement of ours is the reason: Neon's proxy says so when the database behind it does not wake.
            raise UnavailableError("connection") from error
        reachability.connection_opened()
        return connection

    async def _wait_for_turn(self, owner: Owner) -> Connection | None:
        """Wait for a connection, or for None: a place to open one in. `owner` holds either already."""
        try:
            return await self._queue.wait(owner, self._pass_on)
        except TimeoutError:
            raise UnavailableError("pool") from None

    def _pass_on(self, left: Connection | None, owner: Owner) -> None:
        if left is None:
            self._free_place(owner)
        else:
            self.give_back(left, owner)

    def _serve(self) -> None:
        """Give the idle connections and free places to waiters, for as long as there are both."""
        while (self._idle or self._places < self._size) and (turn := self._queue.next()):
            if self._idle:
                turn.set_result(self._idle.pop()[1])
            else:
                self._places += 1
                turn.set_result(None)

    def _free_place(self, owner: Owner) -> None:
        """Free a place that `owner` holds and that has no connection any more."""
        self._queue.let_go(owner)
        self._places -= 1
        self._serve()

    def _return(self, connection: Connection) -> asyncio.Task[None]:
        """Give a connection back to asyncpg, in the background. Its place is free once that is done."""
        task = self._loop.create_task(self._pool.release(connection))
        self._returning.add(task)
        task.add_done_callback(self._returned)
        return task

    def _returned(self, task: asyncio.Task[None]) -> None:
        self._returning.discard(task)
        self._places -= 1
        if not task.cancelled():
            task.exception()  # asyncpg has let go of a connection that cannot be given back
        self._serve()

    def _given_up(self, owner: Owner, _task: asyncio.Task[None]) -> None:
        self._queue.let_go(owner)
        self._serve()

    def _sweep(self) -> None:
        """Let go of connections that were idle for KEPT seconds."""
        self._sweeper = None
        now = self._loop.time()
        while self._idle and now - self._idle[0][0] >= KEPT:
            self._return(self._idle.pop(0)[1])
        if self._idle:
            self._sweeper = self._loop.call_later(self._idle[0][0] + KEPT - now, self._sweep)


def _is_usable(connection: Connection) -> bool:
    try:
        return not connection.is_closed()
    except asyncpg.InterfaceError:  # the server closed it, and asyncpg has taken it out of our hands
        return False
