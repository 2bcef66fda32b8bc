"""Limits for large request bodies of one worker: how many arrive, how much memory they use, how many are read."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from service.errors import UnavailableError
from service.web.admission import WAIT, Bulkhead

MAXIMUM_HELD = 128 * 1024 * 1024  # bytes of all bodies of a worker
ARRIVING = 100  # bodies that a worker receives at the same time
AT_ONCE = 2  # bodies that a worker reads and writes to the database at the same time


class Room:
    """The memory that one body reserves."""

    __slots__ = ("_uploads", "held")

    def __init__(self, uploads: Uploads) -> None:
        """Start without reserved memory."""
        self._uploads = uploads
        self.held = 0  # bytes

    async def take(self, size: int) -> None:
        """Reserve `size` more bytes; wait until they are free. Raises UnavailableError after the timeout."""
        await self._uploads.hold(size)
        self.held += size


class Uploads:
    """The large request bodies of this worker.

    A user uploads one body at a time. A body occupies one of the AT_ONCE places only after it has arrived completely,
    so a slow client does not delay other users.
    """

    def __init__(self, wait: float = WAIT) -> None:
        """Set the timeout of each wait: for the user's other upload, for memory and for a place to be read.

        `wait` is in seconds.
        """
        self.held = 0  # bytes
        self._wait = wait
        self._arriving = Bulkhead(ARRIVING, 1, wait)
        self._reading = Bulkhead(AT_ONCE, 1, wait)
        self._freed = asyncio.Event()

    @contextlib.asynccontextmanager
    async def receive(self, user_id: str) -> AsyncIterator[Room]:
        """Receive the only upload of the user within a `with` block; free its memory at the end.

        Raises TooManyHeavyRequestsError (429) if another upload of the user is still running after the timeout, and
        UnavailableError (503) if the worker has no free place by then.
        """
        room = Room(self)
        async with self._arriving.place(user_id):
            try:
                yield room
            finally:
                self.held -= room.held
                self._freed.set()

    def turn(self, user_id: str) -> contextlib.AbstractAsyncContextManager[None]:
        """Take one of the AT_ONCE places to read a body. Raises UnavailableError after the timeout."""
        return self._reading.place(user_id)

    async def hold(self, size: int) -> None:
        """Reserve `size` more bytes; wait until they are free. Raises UnavailableError after the timeout."""
        if self.held + size > MAXIMUM_HELD:
            try:
                async with asyncio.timeout(self._wait):
                    while self.held + size > MAXIMUM_HELD:
                        self._freed.clear()
                        await self._freed.wait()
            except TimeoutError:
                raise UnavailableError("imports") from None
        self.held += size
