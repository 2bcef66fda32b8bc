"""Who waits for whose changes in this process, and the one query a second that finds what other processes wrote.

There is no LISTEN: a pooler in transaction mode does not carry it, and a notification that gets lost would be missed
for good. A revision that is looked at is never missed.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

from service.database.scoping import Connection
from service.errors import TooManyStreamsError, UnavailableError
from service.sync.changes import START, ChangePage, SyncPosition
from service.sync.positions import Positions
from service.tasks.writes import UserTasks

logger = logging.getLogger("doable.live")

INTERVAL = 1.0  # seconds between two looks at the revisions of all who are connected
LONGEST_INTERVAL = 5.0  # seconds, while the database is away


class Subscription:
    """One stream's place: the position that it has reached, and the event that tells it to look for more."""

    __slots__ = ("moved", "position")

    def __init__(self) -> None:
        """Begin before the first write."""
        self.position = START
        self.moved = asyncio.Event()


class Listeners:
    """All streams of one user in this process, and what is being read for them."""

    __slots__ = ("_reads", "streams")

    def __init__(self) -> None:
        """Begin with none."""
        self.streams: set[Subscription] = set()
        self._reads: dict[tuple[SyncPosition, int], asyncio.Task[ChangePage]] = {}  # under way, by position and limit

    def wake(self, beyond: SyncPosition | None = None) -> None:
        """Let the streams look for more: all of them, or those that are not at the position `beyond`."""
        self._reads = {}  # what is under way may have begun before there was more
        for stream in self.streams:
            if stream.position != beyond:
                stream.moved.set()

    async def changes(self, tasks: UserTasks, position: SyncPosition, limit: int) -> ChangePage:
        """What `tasks.changes` gives and raises, read once for all streams that ask while it is under way."""
        reads, key = self._reads, (position, limit)
        if key not in reads:
            # In a context of its own: it outlives the stream that began it, if others wait for it too.
            reads[key] = asyncio.create_task(tasks.changes(position, limit), context=contextvars.Context())
            reads[key].add_done_callback(lambda _: reads.pop(key))
        return await asyncio.shield(reads[key])


class Hub:
    """All streams of this process, by user."""

    def __init__(self, *, per_user: int, in_all: int) -> None:
        """Hold at most `per_user` streams of each user, and `in_all` together."""
        self._per_user = per_user
        self._in_all = in_all
        self._waiting: dict[str, Listeners] = {}
        self._anybody = asyncio.Event()
        self.open = 0
        self.draining = False  # true from the first signal to stop on

    @contextmanager
    def subscribe(self, user_id: str) -> Iterator[Subscription]:
        """Take part for the length of a `with`. Raises TooManyStreamsError, and UnavailableError when draining."""
        if self.draining:
            raise UnavailableError("draining")
        mine = self._waiting.get(user_id) or Listeners()
        if len(mine.streams) >= self._per_user or self.open >= self._in_all:
            raise TooManyStreamsError(random.randint(5, 15))  # noqa: S311 - spreads who comes back, hides nothing
        subscription = Subscription()
        self._waiting[user_id] = mine
        mine.streams.add(subscription)
        self.open += 1
        self._anybody.set()
        try:
            yield subscription
        finally:
            self.open -= 1
            mine.streams.discard(subscription)
            if not mine.streams:
                del self._waiting[user_id]

    async def changes(self, tasks: UserTasks, position: SyncPosition, limit: int) -> ChangePage:
        """What changed of the user of `tasks`, who is subscribed; read once for all streams that are at `position`.

        Raises SyncPositionGoneError and UnavailableError.
        """
        return await self._waiting[tasks.user_id].changes(tasks, position, limit)

    def wake(self, user_id: str) -> None:
        """Let the streams of `user_id` look at once: this process has just written something of theirs."""
        if listeners := self._waiting.get(user_id):
            listeners.wake()

    def drain(self) -> None:
        """Let every stream end, and begin no more: the process is about to stop."""
        self.draining = True
        for user_id in self._waiting:
            self.wake(user_id)

    async def watch(self, connection: Connection) -> NoReturn:
        """Look over `connection` at what other processes write, while any client is connected, until cancelled."""
        positions = Positions(connection)
        interval = INTERVAL
        while True:
            if not self._waiting:
                self._anybody.clear()
                await self._anybody.wait()
            await asyncio.sleep(interval)
            try:
                await self._look(positions)
            except UnavailableError:
                interval = min(2 * interval, LONGEST_INTERVAL)
            except Exception:
                logger.exception("looking for changes failed")  # a bug of ours, which must not silence every stream
            else:
                interval = INTERVAL

    async def _look(self, positions: Positions) -> None:
        """Wake every stream that is not at its user's position, as far as that can be found."""
        if not self._waiting:
            return
        for user_id, position in (await positions.of([*self._waiting])).items():
            if listeners := self._waiting.get(user_id):
                listeners.wake(beyond=position)
