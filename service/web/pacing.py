"""Long work on the event loop, cut into slices so that other requests are served in between."""

from __future__ import annotations

import asyncio

SLICE = 0.005  # seconds of work before the loop may do something else


class Pace:
    """Measures how long a piece of work has held the event loop."""

    __slots__ = ("_loop", "_since")

    def __init__(self) -> None:
        """Begin the first slice now."""
        self._loop = asyncio.get_running_loop()
        self._since = self._loop.time()

    async def keep(self) -> None:
        """Yield to the event loop if the current slice is over. Call it at least every few milliseconds of work."""
        if self._loop.time() - self._since > SLICE:
            await self.rest()

    async def rest(self) -> None:
        """Yield to the event loop now."""
        await asyncio.sleep(0)
        self._since = self._loop.time()
