"""Fair queueing: waiters of many owners, served round robin, each owner within its share.

What is waited for (connections of a pool, places among the heavy requests) belongs to the caller; this module decides
whose turn it is. One owner holds at most its share at once. Among the others' waiters the owners take turns, and the
waiters of one owner are served in the order of asking. So however many of one owner wait, another owner's waiter is
delayed by about one turn of each of the others, not by the whole line.

Owners may belong to groups, such as those whose rows lie on one node of a cluster. Then the groups take turns, and the
owners within each, and all of one group together hold at most the group's share.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter, deque
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")
# The user whom a request's statements name; None for the service's own work, such as probes and purges, which waits
# for its turn like a user's, but has no share that bounds it.
Owner = str | None


Group = int | None


class Turn(asyncio.Future[T]):
    """A waiter's future, which gets what it waits for."""

    owner: Owner
    group: Group
    ends: float  # the loop's time at which the wait ends


class FairQueue(Generic[T]):
    """The waiters for something, and how much of it each owner holds."""

    def __init__(
        self, share: int, wait: float, group_share: int = 0, group_of: Callable[[Owner], Group] = lambda _owner: None
    ) -> None:
        """Let each owner hold `share` at once, each group `group_share`, and each waiter wait for `wait` seconds.

        `group_of` gives the group of an owner; None is no group, and has no bound.
        """
        self.share = share
        self._wait = wait
        self._group_share = group_share
        self._group_of = group_of
        self.held: dict[Owner, int] = {}  # how much by owner; no owner has 0
        self._groups: dict[Owner, int] = {}  # of the owners that hold something and have one, as it was when they began
        self._held_by_group: Counter[int] = Counter()
        # The waiters, in the order in which their groups, and the owners in these, are served; none is empty.
        self.waiting: dict[Group, dict[Owner, deque[Turn[T]]]] = {}
        self._turns: deque[Turn[T]] = deque()  # in the order in which they time out; done ones may linger
        self._alarm: asyncio.TimerHandle | None = None  # for the first of them

    def __len__(self) -> int:
        """Return the number of waiters."""
        return sum(len(queue) for owners in self.waiting.values() for queue in owners.values())

    def __bool__(self) -> bool:
        """Return whether there are waiters."""
        return bool(self.waiting)

    def has_share(self, owner: Owner) -> bool:
        """Return whether `owner` holds as much as it may."""
        return self.held.get(owner, 0) >= self.share and owner is not None

    def may_hold(self, owner: Owner) -> bool:
        """Return whether `owner` may hold one more, as far as its own share and its group's go."""
        return not self.has_share(owner) and not self._is_full(self._group_of(owner))

    def hold(self, owner: Owner) -> None:
        """Note that `owner` holds one more."""
        held = self.held[owner] = self.held.get(owner, 0) + 1
        if held == 1 and (group := self._group_of(owner)) is not None:
            self._groups[owner] = group
        if owner in self._groups:
            self._held_by_group[self._groups[owner]] += 1

    def let_go(self, owner: Owner) -> None:
        """Note that `owner` holds one less."""
        if owner in self._groups:
            self._held_by_group[self._groups[owner]] -= 1
        held = self.held[owner]
        if held > 1:
            self.held[owner] = held - 1
        else:
            del self.held[owner]
            self._groups.pop(owner, None)

    async def wait(self, owner: Owner, pass_on: Callable[[T, Owner], None]) -> T:
        """Wait for the turn of `owner`, which then holds what this returns. Raises TimeoutError after `wait` seconds.

        If the caller is cancelled at the moment of its turn, `pass_on` gets what it would have got.
        """
        loop = asyncio.get_running_loop()
        turn: Turn[T] = Turn(loop=loop)
        turn.owner = owner
        turn.group = self._group_of(owner)
        turn.ends = loop.time() + self._wait
        self.waiting.setdefault(turn.group, {}).setdefault(owner, deque()).append(turn)
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

        The search is short: the groups are few, and so are the owners that hold their whole share.
        """
        while self._turns and self._turns[0].done():
            self._turns.popleft()
        while queue := self._next_queue():
            turn = queue.popleft()
            # Group and owner go behind the others.
            owners = self.waiting.pop(turn.group)
            del owners[turn.owner]
            if queue:
                owners[turn.owner] = queue
            if owners:
                self.waiting[turn.group] = owners
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

    def _next_queue(self) -> deque[Turn[T]] | None:
        """Find the waiters of the owner whose turn it is."""
        for group, owners in self.waiting.items():
            if not self._is_full(group):
                for owner, queue in owners.items():
                    if not self.has_share(owner):
                        return queue
        return None

    def _is_full(self, group: Group) -> bool:
        return group is not None and self._held_by_group[group] >= self._group_share

    def _remove(self, turn: Turn[T]) -> None:
        """Take out a turn that failed or was cancelled, unless `next` has done so."""
        owners = self.waiting.get(turn.group, {})
        queue = owners.get(turn.owner, deque())
        with contextlib.suppress(ValueError):
            queue.remove(turn)
            if not queue:
                del owners[turn.owner]
            if not owners:
                del self.waiting[turn.group]
