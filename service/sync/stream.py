"""One client's event stream: the change feed, read again whenever there may be something new, and sent as events."""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
import time
from collections.abc import Iterator
from typing import cast

from sanic import HTTPResponse

from service.errors import SyncPositionGoneError, UnavailableError
from service.sync.changes import ChangePage, SyncPosition
from service.sync.hub import Hub, Subscription
from service.tasks.writes import UserTasks
from service.web import middleware
from service.web.protocol import DeadlineProtocol
from service.web.request import ApiRequest

HEARTBEAT = 20.0  # seconds of silence before a comment; less than proxies and RESPONSE_TIMEOUT allow
PATIENCE = 10.0  # seconds that a client may take for one piece
PAGE = 100  # changes that are held for a stream at a time
PIECE = 32 * 1024  # characters that are written at once
RETRY = (1_000, 4_000)  # milliseconds; spread, so that those who lose a worker do not come back in the same moment
EVENT_STREAM = "text/event-stream; charset=utf-8"
HEADERS = {"X-Accel-Buffering": "no"}  # nginx would hold events back
# Clients that split a stream at every line end of Unicode, as Python's `splitlines` does, would cut JSON at these.
LINE_END = re.compile("[\x85\u2028\u2029]")


class TooSlowError(Exception):
    """The client does not take what it is sent."""


class EventStream:
    """One client's stream, from its first byte to its end."""

    def __init__(self, request: ApiRequest, hub: Hub, subscription: Subscription) -> None:
        """Prepare to answer `request`, whose caller has a place in `hub`."""
        assert request.identity is not None  # noqa: S101 - the middleware let only a verified caller through
        assert request.stream is not None  # noqa: S101 - Sanic takes it away once the handler has ended
        self._request = request
        self._protocol = cast("DeadlineProtocol", request.stream.protocol)
        self._hub = hub
        self._subscription = subscription
        self._tasks: UserTasks = request.tasks
        # The same moment from which on the token is refused.
        self._ends_at = request.identity.expires_at + request.settings.jwt_leeway
        self._response = HTTPResponse()
        self._ended = "client closed the connection"

    async def run(self, since: SyncPosition | None) -> None:
        """Answer: what came after `since` (None: nothing), then what comes, until the stream must end.

        Raises UnavailableError as long as nothing was sent.
        """
        newest = await self._tasks.position()
        self._subscription.position = newest if since is None else since
        self._request.streams = True
        try:
            self._response = await self._request.respond(headers={**HEADERS}, content_type=EVENT_STREAM)
            await self._write(f"retry: {random.randint(*RETRY)}\nid: {self._subscription.position}\n\n")  # noqa: S311 - no secret
            self._subscription.moved.set()
            await self._follow()
        except TooSlowError:
            self._ended = "client too slow"
            if transport := self._protocol.transport:
                transport.abort()  # to close it would first send what it holds
        finally:
            middleware.conclude(self._request, 200, ended=self._ended)

    async def _follow(self) -> None:
        moved = self._subscription.moved
        while not (ended := self._must_end()):
            try:
                async with asyncio.timeout(min(HEARTBEAT, self._ends_at - time.time())):
                    await moved.wait()
            except TimeoutError:
                await self._write(": \n\n")
                continue
            moved.clear()
            with contextlib.suppress(UnavailableError):  # the hub looks again until it can, and wakes who is behind
                await self._catch_up()
        self._ended = ended

    def _must_end(self) -> str:
        """Why the stream must end now; empty while it need not."""
        if self._hub.draining:
            return "service stops"
        return "token expired" if time.time() >= self._ends_at else ""

    async def _catch_up(self) -> None:
        """Send all changes there are after the position. Raises UnavailableError."""
        more = True
        while more and not self._must_end():
            try:
                page = await self._hub.changes(self._tasks, self._subscription.position, PAGE)
            except SyncPositionGoneError as gone:
                newest = self._subscription.position = SyncPosition(*gone.newest)
                await self._write(f'event: reset\nid: {newest}\ndata: {{"next":"{newest}"}}\n\n')
                return
            reached = self._subscription.position
            for piece in pieces(page):
                await self._write(piece)
            if page.changes:
                reached = page.position(page.changes[-1])
            if page.next != reached:
                await self._write(f"id: {page.next}\n\n")  # the last writes left no task behind, but count
            self._subscription.position, more = page.next, page.has_more

    async def _write(self, text: str) -> None:
        """Send `text` and wait until it is on its way. Raises TooSlowError past PATIENCE."""
        try:
            async with asyncio.timeout(PATIENCE):
                await self._response.send(text)
                await self._protocol.drained()
        except TimeoutError:
            raise TooSlowError from None


def pieces(page: ChangePage) -> Iterator[str]:
    """The changes of `page` as events, as many together as make a piece of about PIECE characters."""
    piece: list[str] = []
    size = 0
    for change in page.changes:
        piece.append(f"event: task\nid: {page.position(change)}\ndata: {_one_line(change.document)}\n\n")
        size += len(piece[-1])
        if size >= PIECE:
            yield "".join(piece)
            piece, size = [], 0
    if piece:
        yield "".join(piece)


def _one_line(document: str) -> str:
    """Return the JSON `document` with the line ends in its texts escaped; JSON itself asks for it below U+0020 only."""
    return document if document.isascii() else LINE_END.sub(lambda end: f"\\u{ord(end[0]):04x}", document)
