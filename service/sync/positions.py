"""Read the positions of all users with a stream, even while a node of the database is unavailable.

One statement reads all positions. On a cluster, the whole statement fails if one node is down or hangs. Each user is
then read alone. A user whose node does not respond is set apart, so that the next statement for the others succeeds.
"""

from __future__ import annotations

import asyncio
from collections import deque

from service.database.scoping import Connection
from service.errors import UnavailableError
from service.sync.changes import positions_of_several_users
from service.users.models import User
from service.users.queryset import SyncPosition

PATIENCE = 2.0  # seconds; the timeout of the statement that reads all users
PATIENCE_ALONE = 1.0  # seconds; the timeout of a statement that reads one user
AT_ONCE = 2  # users that are read alone at the same time; limits the connections that a hanging node can occupy


class Positions:
    """A reader of positions, which remembers the users whose node did not respond."""

    def __init__(self, connection: Connection) -> None:
        """Read over `connection`, a pool. No user is set apart yet."""
        self._connection = connection
        self._apart: deque[str] = deque()  # in the order of the next attempts

    async def of(self, user_ids: list[str]) -> dict[str, SyncPosition]:
        """Return the position of each of `user_ids` whose node responds.

        Raises UnavailableError if the whole database does not respond.
        """
        self._apart = deque(user for user in self._apart if user in set(user_ids))
        found = await self._try_again()
        together = [user for user in user_ids if user not in found and user not in self._apart]
        try:
            async with asyncio.timeout(PATIENCE):
                return found | (await positions_of_several_users(self._connection, together) if together else {})
        except (UnavailableError, TimeoutError):
            await self._require_answer()
        return found | await self._each(together)

    async def _try_again(self) -> dict[str, SyncPosition]:
        """Read the users that were set apart until one read fails, so that failures cost at most one timeout a call."""
        found: dict[str, SyncPosition] = {}
        for user in tuple(self._apart):
            self._apart.popleft()
            if not await self._ask(user, found):
                break
        return found

    async def _each(self, user_ids: list[str]) -> dict[str, SyncPosition]:
        found: dict[str, SyncPosition] = {}
        left = iter(user_ids)

        async def ask() -> None:
            for user in left:
                await self._ask(user, found)

        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(ask())
        return found

    async def _ask(self, user: str, found: dict[str, SyncPosition]) -> bool:
        """Put the position of `user` into `found`, or set the user apart. Returns whether the read succeeded."""
        try:
            async with asyncio.timeout(PATIENCE_ALONE):
                found[user] = await User.objects.for_user(user, using=self._connection).position()
        except (UnavailableError, TimeoutError):
            self._apart.append(user)
            return False
        return True

    async def _require_answer(self) -> None:
        """Raise UnavailableError if the whole database does not respond, so that no user is set apart."""
        try:
            async with asyncio.timeout(PATIENCE_ALONE):
                await self._connection.fetch_one("SELECT 1")
        except TimeoutError as error:
            raise UnavailableError("timeout") from error
