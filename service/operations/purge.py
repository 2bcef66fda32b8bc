"""Purge the trash, old answers and what erasures left: on demand, and once a day by one worker of all that serve."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial
from typing import NoReturn

from service.config import Settings
from service.database.client import FairClient
from service.database.transactions import Session
from service.errors import UnavailableError
from service.operations.retention import (
    BATCH,
    finish_erasures_of_all_users,
    purge_answers_of_all_users,
    purge_trash_of_all_users,
)

logger = logging.getLogger("doable.upkeep")

# Another constant than the migrations' own: "purge" in ASCII.
LOCK = 0x7075726765
DAY = 86_400.0  # seconds
# The first purge comes so long after the start at most. Workers that start together do not ask together, and a
# process that is restarted every day, as on Heroku, still gets to it.
FIRST_WITHIN = 3_600.0  # seconds


async def empty_trash(client: FairClient, settings: Settings) -> int | None:
    """Remove for good what has lain in the trash for more than TRASH_RETENTION_DAYS; return how many tasks went.

    None when somebody else is at it. Each batch is a short transaction that holds an advisory lock, not a session's
    lock, because behind a transaction pooler a session is not ours to hold.

    Raises UnavailableError when the database cannot answer now; the batches before that are done.
    """
    return await _in_batches(client, partial(purge_trash_of_all_users, timedelta(days=settings.trash_retention_days)))


async def forget_answers(client: FairClient) -> int | None:
    """Remove the answers that nobody may ask for again (`Idempotency-Key`). Returns and raises as `empty_trash`."""
    return await _in_batches(client, purge_answers_of_all_users)


async def finish_erasures(client: FairClient) -> int | None:
    """Remove what interrupted erasures have left (`DELETE /api/{user_id}`). Returns and raises as `empty_trash`."""
    return await _in_batches(client, finish_erasures_of_all_users)


async def _in_batches(client: FairClient, remove: Callable[[Session], Awaitable[int]]) -> int | None:
    purged = 0
    while True:
        async with client.transaction() as session:
            row = await session.call("SELECT pg_try_advisory_xact_lock($1) AS mine", LOCK)
            if not row["mine"]:
                return purged or None
            batch = await remove(session)
        purged += batch
        if batch < BATCH:
            return purged


async def purge_daily(client: FairClient, settings: Settings, first_within: float = FIRST_WITHIN) -> NoReturn:
    """Purge for the first time at a random moment of `first_within` seconds, then every day, until cancelled.

    Each worker does so; of workers that try at once, one purges. What is not committed when it is cancelled is purged
    another day.
    """
    await asyncio.sleep(first_within * secrets.randbelow(1_000) / 1_000)
    while True:
        try:
            await finish_erasures(client)
            purged = await empty_trash(client, settings)
            await forget_answers(client)
        except UnavailableError as error:
            logger.warning("the trash could not be emptied", extra={"fields": {"kind": error.kind}})
        except Exception:
            # Whatever it is, the worker serves on, and tomorrow is another day.
            logger.exception("the trash could not be emptied")
        else:
            if purged:
                logger.info("emptied the trash", extra={"fields": {"purged": purged}})
        await asyncio.sleep(DAY)
