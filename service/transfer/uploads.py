"""Large bodies on their way in: how many there are at once, how much memory they hold, whose turn it is."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from service.errors import UnavailableError
from service.web.admission import WAIT, Bulkhead

MAXIMUM_HELD = 128 * 1024 * 1024  # bytes of all bodies in each worker
ARRIVING = 100  # bodies in each worker that are received at once
AT_ONCE = 2  # bodies in each worker that are read and written to the database at once


class Room:
    """The memory that one body holds of the worker's share."""

    __slots__ = ("_uploads", "held")

    def __init__(self, uploads: Uploads) -> None:
        """Hold nothing yet."""
        self._uploads = uploads
        self.held = 0  # bytes

    async def take(self, size: int) -> None:
        """Hold `size` bytes more, once there is room. Raises UnavailableError after the wait."""
        await self._uploads.hold(size)
        self.held += size


class Uploads:
    """The large bodies of this worker.

    A user sends one at a time, and only a body that has arrived takes a turn: a slow client delays no one else.
    """

    def __init__(self, wait: float = WAIT) -> None:
        """Let an upload wait for `wait` seconds for each of: another one of its user, room in memory, its turn."""
        self.held = 0  # bytes
        self._wait = wait
        self._arriving = Bulkhead(ARRIVING, 1, wait)
        self._reading = Bulkhead(AT_ONCE, 1, wait)
        self._freed = asyncio.Event()

    @contextlib.asynccontextmanager
    async def receive(self, user_id: str) -> AsyncIterator[Room]:
        """Be the only upload of the user; it frees its memory at the end.

        Raises TooManyHeavyRequestsError (429) and UnavailableError (503).
        """
        room = Room(self)
        async with self._arriving.place(user_id):
            try:
                yield room
            finally:
                self.held -= room.held
                self._freed.set()

    def turn(self, user_id: str) -> contextlib.AbstractAsyncContextManager[None]:
        """Be one of AT_ONCE that are read. Raises UnavailableError."""
        return self._reading.place(user_id)

    async def hold(self, size: int) -> None:
        """Hold `size` bytes more, once there is room. Raises UnavailableError after the wait."""
        if self.held + size > MAXIMUM_HELD:
            try:
                async with asyncio.timeout(self._wait):
                    while self.held + size > MAXIMUM_HELD:
                        self._freed.clear()
                        await self._freed.wait()
            except TimeoutError:
                raise UnavailableError("imports") from None
        self.held += size
