"""Limit heavy requests with a bulkhead, so that the heavy requests of one user cannot delay those of other users.

A request is heavy if its work grows with the number of the user's tasks: a list without `limit`, a count, a search, a
summary, an export, an import. Each worker runs a few of them at the same time, and fewer of one user. The others wait,
and are served round robin by user. After WAIT seconds, a request that waits for its own user's requests gets 429, and
any other gets 503. Both have Retry-After.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator

from service.database.fair_queue import FairQueue
from service.database.placement import nodes
from service.errors import TooManyHeavyRequestsError, UnavailableError

WAIT = 10.0  # seconds
STREAMS = 100  # exports that a worker may run at the same time; each may need 3 MB
STREAMS_PER_USER = 2


class Bulkhead:
    """Allows at most `size` requests at the same time, and at most `share` of one user."""

    def __init__(self, size: int, share: int, wait: float) -> None:
        """Begin with all places free. A request waits for at most `wait` seconds.

        All users of one node of a cluster together hold at most half of the places, as with connections.
        """
        self._free = size
        self._queue: FairQueue[None] = FairQueue(share, wait, max(1, size // 2), nodes.of)

    def place(self, user_id: str) -> Place:
        """Return a context manager (`async with`) that holds a place.

        Its entry raises TooManyHeavyRequestsError if the wait for the user's own requests exceeds the limit, and
        UnavailableError if the wait for those of other users does.
        """
        return Place(self, user_id)

    def enter_now(self, user_id: str) -> bool:
        """Take a place if the user may have one now. Return whether the user has it."""
        if self._free and self._queue.try_hold(user_id):
            self._free -= 1
            return True
        return False

    async def wait(self, user_id: str) -> None:
        """Wait for a place. Raises the errors of `place`."""
        try:
            await self._queue.wait(user_id, self._pass_on)
        except TimeoutError:
            if self._queue.has_share(user_id):
                raise TooManyHeavyRequestsError(random.randint(2, 6)) from None  # noqa: S311 - spreads retries over time; needs no secret
            raise UnavailableError("admission") from None

    def _pass_on(self, _place: None, user_id: str | None) -> None:
        self.leave(user_id)

    def leave(self, user_id: str | None) -> None:
        """Free a place of the user, and pass it to the next waiter."""
        self._queue.let_go(user_id)
        self._free += 1
        while self._free and self._queue.waiting and (turn := self._queue.next()):
            self._free -= 1
            turn.set_result(None)


class Place:
    """A place of a bulkhead, as a context manager."""

    __slots__ = ("_bulkhead", "_user_id")

    def __init__(self, bulkhead: Bulkhead, user_id: str) -> None:
        """Prepare to hold a place of `bulkhead` for the user."""
        self._bulkhead = bulkhead
        self._user_id = user_id

    async def __aenter__(self) -> None:
        """Wait for the place. Raises the errors of `Bulkhead.place`."""
        if not self._bulkhead.enter_now(self._user_id):
            await self._bulkhead.wait(self._user_id)

    async def __aexit__(self, *_error: object) -> None:
        """Free the place."""
        self._bulkhead.leave(self._user_id)


class Admission:
    """The bulkheads of one worker."""

    def __init__(self, pool_size: int, wait: float = WAIT) -> None:
        """Create half as many places as the pool has connections (`pool_size`). One user may hold a quarter of them.

        Most deployments thus run one heavy request of a user at a time. Each may use a whole core of the database.
        """
        places = max(2, pool_size // 2)
        self._work = Bulkhead(places, max(1, places // 4), wait)
        self._streams = Bulkhead(STREAMS, STREAMS_PER_USER, wait)

    def heavy(self, user_id: str) -> Place:
        """Return a context manager that holds a place for heavy work: `async with admission.heavy(user_id)`.

        Its entry raises TooManyHeavyRequestsError (429) and UnavailableError (503).
        """
        return Place(self._work, user_id)

    async def paced(self, user_id: str, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """Yield `pieces`. Hold a place for heavy work while a piece is computed, but not while it is sent.

        A client that reads slowly thus delays only exports of its own user. Raises the errors of `heavy`.
        """
        async with self._streams.place(user_id):
            while True:
                async with self.heavy(user_id):
                    piece = await anext(pieces, None)
                if piece is None:
                    return
                yield piece
