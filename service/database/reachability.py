"""Log when the database becomes unreachable, the reason, and when it is reachable again."""

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

# Every attempt to open a connection is recorded here.
outage = Outage(logger, lost="database not reachable", back="database reachable again")


def connection_opened() -> None:
    """Record that a connection was opened."""
    outage.recovered()


def connection_failed(error: BaseException) -> None:
    """Record that a connection could not be opened, with the reason in `error`."""
    outage.failed(words(error))


async def first_contact(client: FairClient) -> None:
    """Connect to the database when a worker starts, and retry until it is reachable.

    The service accepts requests in the meantime. After the first success, only requests open connections, so that a
    serverless database may suspend. In a cluster of several nodes, this task continues, and reads the nodes.
    """
    pause = FIRST_RETRY
    while True:
        try:
            unsupported = await client.unsupported_encoding()
        except UnavailableError:
            pass  # `connection_failed` has logged it
        except Exception:
            logger.exception("trying the database failed")  # a bug of the service, which must not end the worker
        else:
            if unsupported:
                logger.error(unsupported)
            await follow(client)
            return
        await asyncio.sleep(pause)
        pause = min(2 * pause, LONGEST_RETRY)
