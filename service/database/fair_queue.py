"""A fair queue: it serves the waiters of many owners round robin, and limits each owner to a share.

The caller manages the resource, such as the connections of a pool or the places for heavy requests. This module decides
the order of the waiters. Each owner holds at most its share at the same time. The owners take turns, and the waiters of
one owner are served in the order of their arrival. Therefore, however many waiters one owner has, another owner's
waiter waits only for about one turn of each other owner, not for the whole queue.

Owners may belong to groups, such as the users whose rows are on one node of a cluster. Then the groups take turns, and
the owners within each group. All owners of a group together hold at most the group's share.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter, deque
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")
# The id of the user of a request. None stands for the service's own work, such as probes and purges. It waits for its
# turn like a user, but no share limits it.
Owner = str | None


Group = int | None


class Turn(asyncio.Future[T]):
    """A waiter's future. Its result is the resource."""

    owner: Owner
    group: Group
    ends: float  # the waiter's deadline, in the loop's time


class FairQueue(Generic[T]):
    """The waiters for a resource, and the number of units that each owner holds."""

    def __init__(
        self, share: int, wait: float, group_share: int = 0, group_of: Callable[[Owner], Group] = lambda _owner: None
    ) -> None:
        """Limit each owner to `share` units and each group to `group_share` units, and waiters to `wait` seconds.

        `group_of` returns the group of an owner, or None for no group, which has no limit.
        """
        self.share = share
        self._wait = wait
        self._group_share = group_share
        self._group_of = group_of
        self.held: dict[Owner, int] = {}  # units by owner; owners with 0 are removed
        self._groups: dict[Owner, int] = {}  # the group of each owner that holds a unit, as of its first unit
        self._held_by_group: Counter[int] = Counter()
        # The waiters by group and owner. The order is the order of service. No entry is empty.
        self.waiting: dict[Group, dict[Owner, deque[Turn[T]]]] = {}
        self._turns: deque[Turn[T]] = deque()  # in the order of their deadlines; finished ones are removed later
        self._alarm: asyncio.TimerHandle | None = None  # for the first deadline

    def __len__(self) -> int:
        """Return the number of waiters."""
        return sum(len(queue) for owners in self.waiting.values() for queue in owners.values())

    def __bool__(self) -> bool:
        """Return whether there are waiters."""
        return bool(self.waiting)

    def has_share(self, owner: Owner) -> bool:
        """Return whether `owner` holds its whole share."""
        return self.held.get(owner, 0) >= self.share and owner is not None

    def may_hold(self, owner: Owner) -> bool:
        """Return whether the shares of `owner` and its group allow one more unit."""
        return not self.has_share(owner) and not self._is_full(self._group_of(owner))

    def try_hold(self, owner: Owner) -> bool:
        """Record that `owner` holds one more unit if `may_hold` allows it. Return whether it does."""
        held = self.held.get(owner, 0)
        if held >= self.share and owner is not None:
            return False
        group = self._group_of(owner)
        if group is None and not self._groups:  # the usual case, without four more calls
            self.held[owner] = held + 1
            return True
        if self._is_full(group):
            return False
        self.hold(owner)
        return True

    def hold(self, owner: Owner) -> None:
        """Record that `owner` holds one more unit."""
        held = self.held[owner] = self.held.get(owner, 0) + 1
        if held == 1 and (group := self._group_of(owner)) is not None:
            self._groups[owner] = group
        if owner in self._groups:
            self._held_by_group[self._groups[owner]] += 1

    def let_go(self, owner: Owner) -> None:
        """Record that `owner` holds one unit less."""
        if owner in self._groups:
            self._held_by_group[self._groups[owner]] -= 1
        held = self.held[owner]
        if held > 1:
            self.held[owner] = held - 1
        else:
            del self.held[owner]
            self._groups.pop(owner, None)

    async def wait(self, owner: Owner, pass_on: Callable[[T, Owner], None]) -> T:
        """Wait for the owner's turn, and return the resource, which `owner` then holds.

        If the caller is cancelled after the resource was assigned to it, `pass_on` gets the resource instead. Raises
        TimeoutError after the time limit of this queue.
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
        """Remove and return the next waiter whose owner and group have a share left; None if there is none.

        Its owner holds one more unit from then on. The search is short, because there are few groups, and few owners
        hold their whole share.
        """
        while self._turns and self._turns[0].done():
            self._turns.popleft()
        while queue := self._next_queue():
            turn = queue.popleft()
            # The group and the owner move to the end of the order.
            owners = self.waiting.pop(turn.group)
            del owners[turn.owner]
            if queue:
                owners[turn.owner] = queue
            if owners:
                self.waiting[turn.group] = owners
            if not turn.done():  # otherwise it was cancelled, and its task has not run yet
                self.hold(turn.owner)
                return turn
        return None

    def close(self) -> None:
        """Stop the timer."""
        if self._alarm is not None:
            self._alarm.cancel()

    def _time_out(self, loop: asyncio.AbstractEventLoop) -> None:
        """Fail the waiters whose deadline has passed.

        All waiters have the same time limit, so one timer for the first deadline is enough. A timer for each waiter
        costs 10 µs.
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
        """Return the waiters of the next owner that may hold a unit; None if there is none."""
        for group, owners in self.waiting.items():
            if not self._is_full(group):
                for owner, queue in owners.items():
                    if not self.has_share(owner):
                        return queue
        return None

    def _is_full(self, group: Group) -> bool:
        return group is not None and self._held_by_group[group] >= self._group_share

    def _remove(self, turn: Turn[T]) -> None:
        """Remove a waiter that failed or was cancelled, unless `next` has already removed it."""
        owners = self.waiting.get(turn.group, {})
        queue = owners.get(turn.owner, deque())
        with contextlib.suppress(ValueError):
            queue.remove(turn)
            if not queue:
                del owners[turn.owner]
            if not owners:
                del self.waiting[turn.group]
