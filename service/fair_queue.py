"""Fair queueing: waiters of many owners, served round robin, each owner within its share.

What is waited for (connections of a pool, places among the heavy requests) belongs to the caller; this module decides
whose turn it is. One owner holds at most its share at once. Among the others' waiters the owners take turns, and the
waiters of one owner are served in the order of asking. So however many of one owner wait, another owner's waiter is
delayed by about one turn of each of the others, not by the whole line.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")
# The user whom a request's statements name; None for the service's own work, such as probes and purges, which waits
# for its turn like a user's, but has no share that bounds it.
Owner = str | None


class Turn(asyncio.Future[T]):
    """A waiter's future, which gets what it waits for."""

    owner: Owner
    ends: float  # the loop's time at which the wait ends


class FairQueue(Generic[T]):
    """The waiters for something, and how much of it each owner holds."""

    def __init__(self, share: int, wait: float) -> None:
        """Let each owner hold `share` at once, and each waiter wait for at most `wait` seconds."""
        self.share = share
        self._wait = wait
        self.held: dict[Owner, int] = {}  # how much by owner; no owner has 0
        self.waiting: dict[Owner, deque[Turn[T]]] = {}  # in the order in which the owners are served; none is empty
        self._turns: deque[Turn[T]] = deque()  # in the order in which they time out; done ones may linger
        self._alarm: asyncio.TimerHandle | None = None  # for the first of them

    def __len__(self) -> int:
        """Return the number of waiters."""
        return sum(map(len, self.waiting.values()))

    def __bool__(self) -> bool:
        """Return whether there are waiters."""
        return bool(self.waiting)

    def has_share(self, owner: Owner) -> bool:
        """Return whether `owner` holds as much as it may."""
        return self.held.get(owner, 0) >= self.share and owner is not None

    def hold(self, owner: Owner) -> None:
        """Note that `owner` holds one more."""
        self.held[owner] = self.held.get(owner, 0) + 1

    def let_go(self, owner: Owner) -> None:
        """Note that `owner` holds one less."""
        held = self.held[owner]
        if held > 1:
            self.held[owner] = held - 1
        else:
            del self.held[owner]

    async def wait(self, owner: Owner, pass_on: Callable[[T, Owner], None]) -> T:
        """Wait for the turn of `owner`, which then holds what this returns. Raises TimeoutError after `wait` seconds.

        If the caller is cancelled at the moment of its turn, `pass_on` gets what it would have got.
        """
        loop = asyncio.get_running_loop()
        turn: Turn[T] = Turn(loop=loop)
        turn.owner = owner
        turn.ends = loop.time() + self._wait
        self.waiting.setdefault(owner, deque()).append(turn)
        self._turns.append(turn)
        if self._alarm is None:
            self._alarm = loop.call_at(turn.ends, self._time_out, loop)
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                self._remove(turn)
            elif turn.exception() is None:
                pass_on(turn.result(), owner)
            raise

    def next(self) -> Turn[T] | None:
        """Take out the waiter whose turn it is, if any may be served; its owner holds one more from now on.

        The search is short: the owners that hold their whole share are few.
        """
        while self._turns and self._turns[0].done():
            self._turns.popleft()
        while queue := next((queue for owner, queue in self.waiting.items() if not self.has_share(owner)), None):
            turn = queue.popleft()
            del self.waiting[turn.owner]
            if queue:
                self.waiting[turn.owner] = queue  # behind the others
            if not turn.done():  # else it was cancelled, and its task has not run yet
                self.hold(turn.owner)
                return turn
        return None

    def close(self) -> None:
        """Stop the timer."""
        if self._alarm is not None:
            self._alarm.cancel()

    def _time_out(self, loop: asyncio.AbstractEventLoop) -> None:
        """Fail the waiters whose deadline has passed.

        All wait equally long, so one timer for the first of them is enough; one for each waiter cost 10 µs.
        """
        self._alarm = None
        now = loop.time()
        while self._turns:
            turn = self._turns[0]
            if not turn.done():
                if turn.ends > now:
                    self._alarm = loop.call_at(turn.ends, self._time_out, loop)
                    return
                self._remove(turn)
                turn.set_exception(TimeoutError())
            self._turns.popleft()

    def _remove(self, turn: Turn[T]) -> None:
        """Take out a turn that failed or was cancelled, unless `next` has done so."""
        queue = self.waiting.get(turn.owner, deque())
        with contextlib.suppress(ValueError):
            queue.remove(turn)
            if not queue:
                del self.waiting[turn.owner]
