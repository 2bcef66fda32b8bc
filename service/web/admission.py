"""Admission of heavy requests: a bulkhead, so that one user's heavy requests leave room for everyone else's.

Heavy is a request whose work grows with the number of the user's tasks: a list without `limit`, a count, a search, a
summary, an export, an import. Each worker does a few of them at once, and fewer of one user. The others wait, served
round robin by user. After WAIT seconds a request that its own user holds up gets 429, any other 503, both with
Retry-After.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator

from service.database.fair_queue import FairQueue
from service.database.placement import nodes
from service.errors import TooManyHeavyRequestsError, UnavailableError

WAIT = 10.0  # seconds
STREAMS = 100  # exports that a worker has under way at once; each may hold 3 MB
STREAMS_PER_USER = 2


class Bulkhead:
    """At most `size` requests at once, and at most `share` of one user."""

    def __init__(self, size: int, share: int, wait: float) -> None:
        """Begin with all places free; a request waits for `wait` seconds at most.

        All users of one node of a cluster hold half of the places at most, as they do of the connections.
        """
        self._free = size
        self._queue: FairQueue[None] = FairQueue(share, wait, max(1, size // 2), nodes.of)

    def place(self, user_id: str) -> Place:
        """Hold a place for the length of an `async with`.

        Raises TooManyHeavyRequestsError when the user's own requests hold it up for too long, UnavailableError when
        those of others do.
        """
        return Place(self, user_id)

    async def enter(self, user_id: str) -> None:
        """Take a place. Raises as `place` does."""
        if self._free and self._queue.may_hold(user_id):
            self._free -= 1
            self._queue.hold(user_id)
        else:
            await self._wait(user_id)

    def leave(self, user_id: str) -> None:
        """Free a place of the user."""
        self._leave(None, user_id)

    async def _wait(self, user_id: str) -> None:
        try:
            await self._queue.wait(user_id, self._leave)
        except TimeoutError:
            if self._queue.has_share(user_id):
                raise TooManyHeavyRequestsError(random.randint(2, 6)) from None  # noqa: S311 - spreads retries
            raise UnavailableError("admission") from None

    def _leave(self, _place: None, user_id: str | None) -> None:
        """Free a place of the user, and give it to the next waiter."""
        self._queue.let_go(user_id)
        self._free += 1
        while self._free and self._queue.waiting and (turn := self._queue.next()):
            self._free -= 1
            turn.set_result(None)


class Place:
    """A place among the heavy requests, held for the length of an `async with`."""

    __slots__ = ("_bulkhead", "_user_id")

    def __init__(self, bulkhead: Bulkhead, user_id: str) -> None:
        """Hold a place of `bulkhead` for the user."""
        self._bulkhead = bulkhead
        self._user_id = user_id

    async def __aenter__(self) -> None:
        """Wait for the place. Raises as `Bulkhead.place` does."""
        await self._bulkhead.enter(self._user_id)

    async def __aexit__(self, *_error: object) -> None:
        """Free the place."""
        self._bulkhead.leave(self._user_id)


class Admission:
    """The bulkheads of one worker."""

    def __init__(self, pool_size: int, wait: float = WAIT) -> None:
        """Let heavy requests hold half of a pool of `pool_size` connections, and one user a quarter of that.

        Most deployments thus do one heavy request of a user at a time: each may keep a core of the database busy.
        """
        places = max(2, pool_size // 2)
        self._work = Bulkhead(places, max(1, places // 4), wait)
        self._streams = Bulkhead(STREAMS, STREAMS_PER_USER, wait)

    def heavy(self, user_id: str) -> Place:
        """Hold a place for heavy work: `async with admission.heavy(user_id)`.

        Raises TooManyHeavyRequestsError (429) and UnavailableError (503).
        """
        return self._work.place(user_id)

    async def paced(self, user_id: str, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """Pass on `pieces`, holding a place for heavy work while each of them is made, and none while it is sent.

        A client that reads slowly thus holds up its own user's exports alone. Raises as `heavy` does.
        """
        async with self._streams.place(user_id):
            while True:
                async with self.heavy(user_id):
                    piece = await anext(pieces, None)
                if piece is None:
                    return
                yield piece
