"""The event streams of this process, by user, and the query that polls for writes of other processes once a second.

LISTEN is not used: a pooler in transaction mode does not support it, and a lost notification would mean a lost change.
A poll of the revision finds every change.
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
from service.sync.changes import ChangePage, Feed, changes_since
from service.sync.positions import Positions
from service.tasks.writes import UserTasks
from service.users.queryset import START, SyncPosition

logger = logging.getLogger("doable.live")

INTERVAL = 1.0  # seconds between two polls of the revisions of all connected users
LONGEST_INTERVAL = 5.0  # seconds between two polls while the database is unavailable


class Subscription:
    """The state of one stream: the position that it has reached, and the event that signals new changes."""

    __slots__ = ("moved", "position")

    def __init__(self) -> None:
        """Start at the position before the first write."""
        self.position = START
        self.moved = asyncio.Event()


class Listeners:
    """All streams of one user in this process, and their shared reads of the change feeds."""

    __slots__ = ("_reads", "streams")

    def __init__(self) -> None:
        """Start without streams."""
        self.streams: set[Subscription] = set()
        self._reads: dict[tuple[SyncPosition, int, Feed], asyncio.Task[ChangePage]] = {}  # those in progress

    def wake(self, beyond: SyncPosition | None = None) -> None:
        """Signal new changes to all streams, or only to those that are not at the position `beyond`."""
        self._reads = {}  # a read in progress may have started before the new changes
        for stream in self.streams:
            if stream.position != beyond:
                stream.moved.set()

    def read(self, tasks: UserTasks, position: SyncPosition, limit: int, feed: Feed) -> asyncio.Task[ChangePage]:
        """Return a task that calls `changes_since`. Streams at the same position share it, so none may cancel it."""
        reads, key = self._reads, (position, limit, feed)

        def ended(read: asyncio.Task[ChangePage]) -> None:
            del reads[key]
            if not read.cancelled():
                read.exception()  # asyncio logs an exception that is never retrieved, and all streams may have ended

        if key not in reads:
            # The read has its own context, because it outlives the stream that started it if other streams wait for it.
            reads[key] = asyncio.create_task(changes_since(tasks, *key), context=contextvars.Context())
            reads[key].add_done_callback(ended)
        return reads[key]


class Hub:
    """All streams of this process, by user."""

    def __init__(self, *, per_user: int, in_all: int) -> None:
        """Allow at most `per_user` streams of each user, and `in_all` streams in total."""
        self._per_user = per_user
        self._in_all = in_all
        self._waiting: dict[str, Listeners] = {}
        self._anybody = asyncio.Event()
        self.open = 0
        self.draining = False  # true after the first stop signal

    @contextmanager
    def subscribe(self, user_id: str) -> Iterator[Subscription]:
        """Register a stream of `user_id` within a `with` block.

        Raises TooManyStreamsError if the user or the process has too many streams, and UnavailableError during a drain.
        """
        if self.draining:
            raise UnavailableError("draining")
        mine = self._waiting.get(user_id) or Listeners()
        if len(mine.streams) >= self._per_user or self.open >= self._in_all:
            raise TooManyStreamsError(random.randint(5, 15))  # noqa: S311 - spreads retries, not a secret
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

    def read(self, tasks: UserTasks, position: SyncPosition, limit: int, feed: Feed) -> asyncio.Task[ChangePage]:
        """Return a task that reads at most `limit` changes after `position`. Do not cancel it.

        Streams of one feed at the same position share it. The user of `tasks` must be subscribed. The task raises
        SyncPositionGoneError and UnavailableError.
        """
        return self._waiting[tasks.user_id].read(tasks, position, limit, feed)

    def wake(self, user_id: str) -> None:
        """Signal the streams of `user_id` at once, after this process has written a change of that user."""
        if listeners := self._waiting.get(user_id):
            listeners.wake()

    def drain(self) -> None:
        """End all streams and refuse new ones, because the process is about to stop."""
        self.draining = True
        for user_id in self._waiting:
            self.wake(user_id)

    async def watch(self, connection: Connection) -> NoReturn:
        """Poll over `connection` for writes of other processes while a client is connected. Runs until cancelled."""
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
                logger.exception("looking for changes failed")  # a bug must not stop the notification of all streams
            else:
                interval = INTERVAL

    async def _look(self, positions: Positions) -> None:
        """Wake each stream that is not at the position of its user, if that position can be read."""
        if not self._waiting:
            return
        for user_id, position in (await positions.of([*self._waiting])).items():
            if listeners := self._waiting.get(user_id):
                listeners.wake(beyond=position)
