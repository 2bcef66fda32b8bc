"""A client of the event streams, for the tests."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import NamedTuple

import httpx


class Event(NamedTuple):
    """One block of a stream. A comment has neither name nor id. The id is the revision of the position."""

    name: str
    id: int | None
    data: dict | None
    comment: bool = False


class Listener:
    """A client that reads a stream as browsers do."""

    def __init__(self, response: httpx.Response):
        self.response = response
        self.retry: int | None = None
        self.last_id: int | None = None
        self.position = ""  # the whole id, with the user's beginning
        self._lines = response.aiter_lines()

    async def next(self, seconds: float = 30) -> Event | None:
        """Return the next block, including heartbeats; None at the end of the stream."""
        name, number, data, comment, empty = "", None, None, False, True
        async with asyncio.timeout(seconds):
            async for line in self._lines:
                if not line:
                    if not empty:
                        return Event(name, number, data, comment)
                    continue
                empty = False
                field, _, value = line.partition(":")
                value = value.removeprefix(" ")
                if field == "":
                    comment = True
                elif field == "event":
                    name = value
                elif field == "id":
                    self.position = value
                    number = self.last_id = int((value.split("-")[1:2] or [value])[0])
                elif field == "data":
                    data = json.loads(value)
                elif field == "retry":
                    self.retry = int(value)
        return None

    async def task(self, seconds: float = 30) -> Event:
        """Return the next event that is dispatched."""
        while True:
            found = await self.next(seconds)
            assert found is not None, "the stream has ended"
            if found.name:
                return found


@contextlib.asynccontextmanager
async def listen(caller, query: str = "", *, path: str = "tasks/events", **headers: str) -> AsyncIterator[Listener]:
    """Open a stream, and read its first position."""
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    async with caller.stream("GET", f"/api/me/{path}?{query}", headers=names) as response:
        assert response.status_code == 200, await response.aread()
        listener = Listener(response)
        assert await listener.next() == Event("", listener.last_id, None)  # retry and id come first
        yield listener
