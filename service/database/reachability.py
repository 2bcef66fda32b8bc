"""Say in the log when the database cannot be reached, why, and when it can be reached again."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING

from service.database.failures import words
from service.database.placement import follow
from service.errors import UnavailableError
from service.outages import Outage

if TYPE_CHECKING:
    from service.database.client import FairClient

logger = logging.getLogger("doable.database")

FIRST_RETRY = 1.0  # seconds; doubles up to the longest
LONGEST_RETRY = 30.0  # seconds

# Every connection that is opened, or that cannot be, is noted here, whatever it was opened for.
outage = Outage(logger, lost="database not reachable", back="database reachable again")


def connection_opened() -> None:
    """Note that a connection could be opened."""
    outage.recovered()


def connection_failed(error: BaseException) -> None:
    """Note that no connection could be opened, with PostgreSQL's own words."""
    outage.failed(words(error))


class FirstContact:
    """A task of each worker that tries the database as the worker starts, and until it can be reached.

    The service serves meanwhile. Once the database has answered, the connections of requests notice what happens to
    it. A serverless database may then fall asleep, so it is not asked again, unless it is a cluster of several nodes.
    """

    def __init__(self) -> None:
        """Try nothing before `start`."""
        self._task: asyncio.Task[None] | None = None

    def start(self, client: FairClient) -> None:
        """Begin to try `client`."""
        self._task = asyncio.get_running_loop().create_task(self._run(client))

    async def stop(self) -> None:
        """End it."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _run(self, client: FairClient) -> None:
        pause = FIRST_RETRY
        while True:
            try:
                unsupported = await client.unsupported_encoding()
            except UnavailableError:
                pass  # it was noted where the connection was to be opened
            except Exception:
                logger.exception("trying the database failed")  # a bug of ours, which must not end the worker
            else:
                if unsupported:
                    logger.error(unsupported)
                await follow(client)
                return
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_RETRY)
