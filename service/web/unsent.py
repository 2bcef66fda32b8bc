"""A budget of bytes that were made and not sent yet, so that slow readers cannot fill the memory.

An answer of more than SMALL bytes is counted from the moment it is made until the client has taken it. One that does
not fit into the budget of its user or of the process is dropped, and 503; a whole list waits for room before the
database is asked. A slow reader holds its share for GRACE seconds at least: after that its answer is cut when another
one needs the room.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
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
INTERVAL = 0.05  # seconds between two looks for room


@dataclass(eq=False, slots=True)
class Unsent:
    """An answer that is being sent: whose it is, its size in bytes, and how to cut it."""

    user_id: str
    size: int
    abort: Callable[[], None]
    since: float = field(default_factory=time.monotonic)


class Budget:
    """What a process holds unsent, of each user and in all."""

    def __init__(self, per_user: int = PER_USER, in_all: int = IN_ALL) -> None:
        """Allow so many bytes, of each user beside the largest answer: a list has no limit.

        What a process holds may be more for the length of one answer that is larger than all of `in_all`.
        """
        self._per_user = per_user
        self._in_all = in_all
        self._held: dict[Unsent, None] = {}  # oldest first

    @property
    def size(self) -> int:
        """How many bytes are unsent."""
        return sum(unsent.size for unsent in self._held)

    async def wait(self, user_id: str) -> None:
        """Wait until the user may have one more answer made. Raises UnavailableError after WAIT seconds."""
        if not self._held:
            return
        ends = time.monotonic() + WAIT
        while not self._has_room(user_id, 1):
            if time.monotonic() > ends:
                raise UnavailableError("unsent")
            await asyncio.sleep(INTERVAL)

    def take(self, unsent: Unsent) -> None:
        """Count an answer. Raises UnavailableError where it does not fit."""
        if not self._has_room(unsent.user_id, unsent.size):
            raise UnavailableError("unsent")
        self._held[unsent] = None

    def release(self, unsent: Unsent) -> None:
        """Count an answer no more."""
        self._held.pop(unsent, None)

    def _has_room(self, user_id: str, size: int) -> bool:
        """Whether an answer fits, after others had to make room for it."""
        own = [unsent for unsent in self._held if unsent.user_id == user_id]
        largest = max((unsent.size for unsent in own), default=0)
        return self._fits(own, size, self._per_user + largest) and self._fits([*self._held], size, self._in_all)

    def _fits(self, held: list[Unsent], size: int, limit: int) -> bool:
        """Whether `size` bytes more than those `held` stay within `limit`; cut the oldest ones until they do."""
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


async def room(request: ApiRequest) -> None:
    """Wait for room for the caller's answer. Raises UnavailableError."""
    budget: Budget = request.app.ctx.unsent
    await budget.wait(request.caller.user_id)


def hold(request: ApiRequest, response: HTTPResponse) -> HTTPResponse:
    """Count the body of `response` until it is sent, or the connection is gone. Raises UnavailableError."""
    size, protocol = len(response.body or b""), request.http.protocol
    if size > SMALL and isinstance(protocol, DeadlineProtocol) and protocol.transport and request.method != "HEAD":
        budget: Budget = request.app.ctx.unsent
        unsent = Unsent(request.caller.user_id, size, protocol.transport.abort)
        budget.take(unsent)
        protocol.on_sent = lambda: budget.release(unsent)
    return response
