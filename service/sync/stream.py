"""The event stream of one client: send a change feed as events whenever there may be new changes."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import re
import time
from collections.abc import Iterator
from typing import cast

from sanic import HTTPResponse
from sanic.exceptions import ServiceUnavailable

from service.errors import SyncPositionGoneError, UnavailableError
from service.sync.changes import ChangePage, Feed
from service.sync.hub import Hub, Subscription
from service.tasks.caller import tasks_of
from service.tasks.writes import UserTasks
from service.users.queryset import SyncPosition
from service.web import middleware
from service.web.protocol import DeadlineProtocol
from service.web.request import ApiRequest

logger = logging.getLogger("doable.live")

HEARTBEAT = 20.0  # seconds from the last write to a comment; less than proxies and RESPONSE_TIMEOUT allow
PATIENCE = 10.0  # seconds that a client may take to receive one piece
PAGE = 100  # changes in memory for one stream
PIECE = 32 * 1024  # characters in one write
RETRY = (1_000, 4_000)  # milliseconds; a range, so that the clients of a lost worker do not reconnect all at once
EVENT_STREAM = "text/event-stream; charset=utf-8"
HEADERS = {"X-Accel-Buffering": "no"}  # otherwise nginx buffers events
# Some clients split a stream at all Unicode line ends, as Python's `splitlines` does. They would split JSON at these.
LINE_END = re.compile("[\x85\u2028\u2029]")


class TooSlowError(Exception):
    """The client does not receive a piece within PATIENCE."""


class EventStream:
    """The event stream of one client."""

    def __init__(self, request: ApiRequest, hub: Hub, subscription: Subscription, feed: Feed) -> None:
        """Prepare the response to `request` with the changes in `feed`. The caller is subscribed to `hub`."""
        assert request.identity is not None  # noqa: S101 - the middleware accepts only verified callers
        assert request.stream is not None  # noqa: S101 - Sanic removes it only after the handler has ended
        self._request = request
        self._protocol = cast("DeadlineProtocol", request.stream.protocol)
        self._hub = hub
        self._subscription = subscription
        self._feed = feed
        self._tasks: UserTasks = tasks_of(request)
        # The time at which the service begins to reject the token.
        self._ends_at = request.identity.expires_at + request.settings.jwt_leeway
        self._response = HTTPResponse()
        self._loop = asyncio.get_running_loop()
        self._silent_until = 0.0  # on the clock of the loop
        self._ended = "client closed the connection"

    async def run(self, since: SyncPosition | None) -> None:
        """Send the changes after `since`, or only new ones if it is None, until the stream must end.

        Raises UnavailableError, but only before the first byte is sent.
        """
        newest = await self._tasks.owner.position()
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
                transport.abort()  # `close` would first send the buffered data
        except asyncio.CancelledError:
            self._ended = self._cancelled()
            raise
        except Exception:  # Sanic logs no error after the head of a response
            self._ended = "internal error"
            logger.exception("an event stream failed", extra={"fields": {"request_id": self._request.request_id}})
            raise
        finally:
            middleware.conclude(self._request, 200, ended=self._ended)

    async def _follow(self) -> None:
        moved = self._subscription.moved
        while not (ended := self._must_end()):
            await self._beat()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(self._silence_left, self._ends_at - time.time())):
                    await moved.wait()
            if moved.is_set():
                moved.clear()
                with contextlib.suppress(UnavailableError):  # the hub polls until it succeeds, and wakes this stream
                    await self._catch_up()
        self._ended = ended

    def _cancelled(self) -> str:
        """Return the reason why the stream was cancelled, for the log."""
        if isinstance(self._request.http.exception, ServiceUnavailable):
            return "response timeout"
        is_lost = self._protocol.conn_info is None or self._protocol.conn_info.lost
        return "service stops" if self._hub.draining and not is_lost else "client closed the connection"

    def _must_end(self) -> str:
        """Return the reason why the stream must end now; empty if it may continue."""
        if self._hub.draining:
            return "service stops"
        return "token expired" if time.time() >= self._ends_at else ""

    async def _catch_up(self) -> None:
        """Send all changes after the position of the stream. Raises UnavailableError."""
        more = True
        while more and not self._must_end():
            try:
                page = await self._read()
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
                await self._write(f"id: {page.next}\n\n")  # the last writes changed no item that still exists
            self._subscription.position, more = page.next, page.has_more

    async def _read(self) -> ChangePage:
        """Return the next changes. Send heartbeats while the database does not answer.

        Raises SyncPositionGoneError and UnavailableError.
        """
        reading = self._hub.read(self._tasks, self._subscription.position, PAGE, self._feed)
        while not reading.done():
            await self._beat()
            await asyncio.wait([reading], timeout=self._silence_left)
        return reading.result()

    @property
    def _silence_left(self) -> float:
        """Seconds until a heartbeat is due."""
        return max(0.0, self._silent_until - self._loop.time())

    async def _beat(self) -> None:
        """Send a comment if one is due, even if there were wake-ups and reads since the last write."""
        if not self._silence_left:
            await self._write(": \n\n")

    async def _write(self, text: str) -> None:
        """Send `text`; wait until the transport has room again. Raises TooSlowError after PATIENCE."""
        self._silent_until = self._loop.time() + HEARTBEAT  # from before the wait for room, as RESPONSE_TIMEOUT counts
        try:
            async with asyncio.timeout(PATIENCE):
                await self._response.send(text)
                await self._protocol.drained()
        except TimeoutError:
            raise TooSlowError from None


def pieces(page: ChangePage) -> Iterator[str]:
    """Convert the changes of `page` to events. Yields them in pieces of about PIECE characters."""
    piece: list[str] = []
    size = 0
    for change in page.changes:
        piece.append(f"event: {change.noun}\nid: {page.position(change)}\ndata: {_one_line(change.document)}\n\n")
        size += len(piece[-1])
        if size >= PIECE:
            yield "".join(piece)
            piece, size = [], 0
    if piece:
        yield "".join(piece)


def _one_line(document: str) -> str:
    """Escape all Unicode line ends in the JSON `document`. JSON itself requires escapes only below U+0020."""
    return document if document.isascii() else LINE_END.sub(lambda end: f"\\u{ord(end[0]):04x}", document)
