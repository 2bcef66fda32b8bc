"""Divide long work on the event loop into slices, so that other requests can run in between."""

from __future__ import annotations

import asyncio

SLICE = 0.005  # seconds of work before other tasks may run


class Pace:
    """Measures how long the current task has run without yielding to the event loop."""

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
