"""Say in the log when the database cannot be reached, why, and when it can be reached again."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from service.database.failures import words
from service.database.placement import follow
from service.errors import UnavailableError
from service.logs.outages import Outage

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


async def first_contact(client: FairClient) -> None:
    """Try the database through `client` as a worker starts, and again until it can be reached.

    The service serves meanwhile. Once the database has answered, the connections of requests notice what happens to
    it. A serverless database may then fall asleep, so it is not asked again, unless it is a cluster of several nodes.
    """
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
