"""Limit the bytes of unsent responses, so that slow readers cannot exhaust the memory.

A response of more than SMALL bytes counts from its creation until the client has read it. If it does not fit into the
budget of its user or of the process, the request gets 503. A list without a limit waits for free space before it
queries the database. A slow reader keeps its space for at least GRACE seconds. After that, its response is aborted if
another response needs the space.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from sanic import HTTPResponse

from service.errors import UnavailableError
from service.web.protocol import DeadlineProtocol
from service.web.request import ApiRequest

SMALL = 64 * 1024  # bytes
PER_USER = 64 * 1024 * 1024  # bytes
IN_ALL = 256 * 1024 * 1024  # bytes, in each worker
GRACE = 30.0  # seconds
WAIT = 2.0  # seconds
INTERVAL = 0.05  # seconds between two checks for free space


@dataclass(eq=False, slots=True)
class Unsent:
    """A response that is being sent: its user, its size in bytes, and the function that aborts it."""

    user_id: str
    size: int
    abort: Callable[[], None]
    since: float = field(default_factory=time.monotonic)


class Budget:
    """The unsent responses of a process, with limits per user and in total."""

    def __init__(self, per_user: int = PER_USER, in_all: int = IN_ALL) -> None:
        """Set the limits in bytes. The largest response of each user does not count, because lists have no limit.

        A single response larger than `in_all` exceeds the limit of the process while it is being sent.
        """
        self._per_user = per_user
        self._in_all = in_all
        self._held: dict[Unsent, None] = {}  # oldest first

    @property
    def size(self) -> int:
        """The number of unsent bytes."""
        return sum(unsent.size for unsent in self._held)

    async def wait(self, user_id: str) -> None:
        """Wait until there is space for another response of the user. Raises UnavailableError after WAIT seconds."""
        if not self._held:
            return
        ends = time.monotonic() + WAIT
        while not self._has_room(user_id, 1):
            if time.monotonic() > ends:
                raise UnavailableError("unsent")
            await asyncio.sleep(INTERVAL)

    def take(self, unsent: Unsent) -> None:
        """Count a response. Raises UnavailableError if it does not fit."""
        if not self._has_room(unsent.user_id, unsent.size):
            raise UnavailableError("unsent")
        self._held[unsent] = None

    def release(self, unsent: Unsent) -> None:
        """Stop counting a response."""
        self._held.pop(unsent, None)

    def _has_room(self, user_id: str, size: int) -> bool:
        """Return whether a response fits. Abort old responses of slow readers if that is necessary."""
        own = [unsent for unsent in self._held if unsent.user_id == user_id]
        largest = max((unsent.size for unsent in own), default=0)
        return self._fits(own, size, self._per_user + largest) and self._fits([*self._held], size, self._in_all)

    def _fits(self, held: list[Unsent], size: int, limit: int) -> bool:
        """Return whether `size` more bytes fit into `limit`. Abort the oldest ones of `held` if that is necessary."""
        total = size + sum(unsent.size for unsent in held)
        for oldest in held:
            if total <= limit:
                break
            if time.monotonic() - oldest.since < GRACE:
                return False
            total -= oldest.size
            self.release(oldest)
            oldest.abort()
        return True


def room(request: ApiRequest) -> Awaitable[None]:
    """Wait for space for the caller's response. Raises UnavailableError."""
    budget: Budget = request.app.ctx.unsent
    return budget.wait(request.caller.user_id)


def hold(request: ApiRequest, response: HTTPResponse) -> HTTPResponse:
    """Count the body of `response` until it is sent or the connection is closed. Raises UnavailableError."""
    size = len(response.body or b"")
    if size <= SMALL or request.method == "HEAD":
        return response
    protocol = request.http.protocol
    if isinstance(protocol, DeadlineProtocol) and protocol.transport:
        budget: Budget = request.app.ctx.unsent
        unsent = Unsent(request.caller.user_id, size, protocol.transport.abort)
        budget.take(unsent)
        protocol.on_sent = lambda: budget.release(unsent)
    return response
