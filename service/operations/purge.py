"""Purge the trash, old stored responses and the rest of erasures: on demand, and once a day by one of the workers."""

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
from service.operations.retention import Purged, continue_erasure, purge_answers, purge_lists, purge_trash

logger = logging.getLogger("doable.upkeep")

# The key of the advisory lock, different from that of the migrations: "purge" in ASCII.
LOCK = 0x7075726765
DAY = 86_400.0  # seconds
# The maximum time from the start to the first purge. The time is random, so that workers that start together do not
# purge together. It is short, so that a process that restarts every day, as on Heroku, purges too.
FIRST_WITHIN = 3_600.0  # seconds


async def empty_trash(client: FairClient, settings: Settings) -> int | None:
    """Delete tasks and lists that have been in the trash for more than TRASH_RETENTION_DAYS. Return their number.

    Return None if another process is purging.

    Raises UnavailableError if the database cannot answer. The previous deletions stay committed.
    """
    older_than = timedelta(days=settings.trash_retention_days)
    tasks = await _user_by_user(client, partial(purge_trash, older_than))
    if tasks is None:
        return None
    return tasks + (await _user_by_user(client, partial(purge_lists, older_than)) or 0)


async def forget_answers(client: FairClient) -> int | None:
    """Delete the expired responses to Idempotency-Keys. Returns and raises as `empty_trash`."""
    return await _user_by_user(client, purge_answers)


async def finish_erasures(client: FairClient) -> int | None:
    """Finish interrupted erasures of users (`DELETE /api/{user_id}`). Returns and raises as `empty_trash`."""
    return await _user_by_user(client, continue_erasure)


async def _user_by_user(client: FairClient, remove: Callable[[Session, str], Awaitable[Purged | None]]) -> int | None:
    """Delete rows of one user after the other, in the order of their ids, each time in a transaction of its own.

    A deletion locks its user until the end of the transaction, and each write of that user waits for this lock. With
    several users in a transaction, the first ones would wait for the deletions of all others.

    Each transaction takes the advisory lock. It belongs to the transaction, not to the session, because a pooler in
    transaction mode may change the session.
    """
    purged, after = 0, ""
    while True:
        async with client.transaction() as session:
            row = await session.call("SELECT pg_try_advisory_xact_lock($1) AS mine", LOCK)
            if not row["mine"]:
                return purged or None
            found = await remove(session, after)
        if found is None:
            return purged
        purged += found.rows
        if found.is_done:
            after = found.owner


async def purge_daily(client: FairClient, settings: Settings, first_within: float = FIRST_WITHIN) -> NoReturn:
    """Purge at a random time within `first_within` seconds, and then every day, until cancelled.

    Each worker runs this. If several try at the same time, one purges. If it is cancelled, the next purge continues.
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
            # An error of any kind must not end the task; it tries again the next day.
            logger.exception("the trash could not be emptied")
        else:
            if purged:
                logger.info("emptied the trash", extra={"fields": {"purged": purged}})
        await asyncio.sleep(DAY)
