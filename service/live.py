"""Who waits for whose changes in this process, and the one query a second that finds what other processes wrote.

There is no LISTEN: a pooler in transaction mode does not carry it, and a notification that gets lost would be missed
for good. A revision that is looked at is never missed.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
import random
from collections.abc import Iterator
from contextlib import contextmanager

from service.errors import TooManyStreamsError, UnavailableError
from service.models import revisions_of_several_users

logger = logging.getLogger("doable.live")

INTERVAL = 1.0  # seconds between two looks at the revisions of all who are connected
LONGEST_INTERVAL = 5.0  # seconds, while the database is away


class Subscription:
    """One stream's place: the revision that it has reached, and the event that tells it to look for more."""

    __slots__ = ("moved", "position")

    def __init__(self) -> None:
        """Begin before the first revision."""
        self.position = 0
        self.moved = asyncio.Event()


class Hub:
    """All streams of this process, by user."""

    def __init__(self, *, per_user: int, in_all: int) -> None:
        """Hold at most `per_user` streams of each user, and `in_all` together."""
        self._per_user = per_user
        self._in_all = in_all
        self._waiting: dict[str, set[Subscription]] = {}
        self._anybody = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.open = 0
        self.draining = False

    @contextmanager
    def subscribe(self, user_id: str) -> Iterator[Subscription]:
        """Take part for the length of a `with`. Raises TooManyStreamsError, and UnavailableError when draining."""
        if self.draining:
            raise UnavailableError("draining")
        mine = self._waiting.get(user_id, ())
        if len(mine) >= self._per_user or self.open >= self._in_all:
            raise TooManyStreamsError(random.randint(5, 15))  # noqa: S311 - spreads who comes back, hides nothing
        subscription = Subscription()
        self._waiting.setdefault(user_id, set()).add(subscription)
        self.open += 1
        self._anybody.set()
        try:
            yield subscription
        finally:
            self.open -= 1
            self._waiting[user_id].discard(subscription)
            if not self._waiting[user_id]:
                del self._waiting[user_id]

    def wake(self, user_id: str) -> None:
        """Let the streams of `user_id` look at once: this process has just written something of theirs."""
        for subscription in self._waiting.get(user_id, ()):
            subscription.moved.set()

    def drain(self) -> None:
        """Let every stream end, and begin no more: the process is about to stop."""
        self.draining = True
        for user_id in self._waiting:
            self.wake(user_id)

    def start(self) -> None:
        """Begin to look at what other processes write, while anybody is connected."""
        # In a context of its own: it must not keep alive the request during which it might have been started.
        self._task = asyncio.create_task(self._watch(), context=contextvars.Context())

    async def stop(self) -> None:
        """Look no more."""
        if self._task:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _watch(self) -> None:
        interval = INTERVAL
        while True:
            if not self._waiting:
                self._anybody.clear()
                await self._anybody.wait()
            await asyncio.sleep(interval)
            try:
                await self._look()
            except UnavailableError:
                interval = min(2 * interval, LONGEST_INTERVAL)
            except Exception:
                logger.exception("looking for changes failed")  # a bug of ours, which must not silence every stream
            else:
                interval = INTERVAL

    async def _look(self) -> None:
        """Wake every stream that is not where its user's revision is."""
        if not self._waiting:
            return
        connected = [*self._waiting]
        revisions = await revisions_of_several_users(connected)
        for user_id in connected:
            for subscription in self._waiting.get(user_id, ()):
                if subscription.position != revisions.get(user_id, 0):
                    subscription.moved.set()
