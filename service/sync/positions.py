"""Where the users of all streams are, also while a part of the database does not answer.

One statement asks for all of them. On several machines it fails as a whole when one of those is away or hangs. Then
each user is asked for alone, and those whose machine does not answer are kept apart, so that the others are again found
with one statement.
"""

from __future__ import annotations

import asyncio
from collections import deque

from service.database.scoping import Connection
from service.errors import UnavailableError
from service.sync.changes import SyncPosition, positions_of_several_users, read_position

PATIENCE = 2.0  # seconds for the statement that asks for all
PATIENCE_ALONE = 1.0  # seconds for one user
AT_ONCE = 2  # users asked for alone at a time: connections that a machine that hangs can hold


class Positions:
    """Asks for positions, and remembers the users whose machine did not answer."""

    def __init__(self, connection: Connection) -> None:
        """Ask over `connection`, a pool. No user is kept apart yet."""
        self._connection = connection
        self._apart: deque[str] = deque()  # in the order in which they are tried again

    async def of(self, user_ids: list[str]) -> dict[str, SyncPosition]:
        """Return the position of each of `user_ids` whose machine answers.

        Raises UnavailableError when the database itself does not answer.
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
        """Ask for those kept apart, until one is not answered for: what fails costs one user's patience at a time."""
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
        """Note the position of `user`, or keep the user apart; return whether there was an answer."""
        try:
            async with asyncio.timeout(PATIENCE_ALONE):
                found[user] = await read_position(self._connection, user)
        except (UnavailableError, TimeoutError):
            self._apart.append(user)
            return False
        return True

    async def _require_answer(self) -> None:
        """Raise UnavailableError when the database does not answer at all: then no user is to be kept apart."""
        try:
            async with asyncio.timeout(PATIENCE_ALONE):
                await self._connection.fetch_one("SELECT 1")
        except TimeoutError as error:
            raise UnavailableError("timeout") from error
