"""What readiness depends on, asked at most once a second, and by one probe at a time."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import Annotated

from msgspec import Meta, Struct

from service.auth import PublishedKeys
from service.database import migrations
from service.database.client import FairClient
from service.errors import UnavailableError

REMEMBERED = 1.0  # seconds: however often they probe, the database is asked once in them
PATIENCE = 1.0  # seconds that the database has for its answer; who waits longer is not served well by us either


class ReadinessPart(Struct, omit_defaults=True):
    """One thing that readiness depends on; `detail` says what is wrong with it, never where it is."""

    status: Annotated[str, Meta(examples=["ok"])]
    detail: str | None = None


class ReadinessReport(Struct, omit_defaults=True):
    """Whether everything that an answer needs is there; `keys` only where an issuer's key set is configured."""

    status: Annotated[str, Meta(examples=["ok"])]
    database: ReadinessPart
    migrations: ReadinessPart
    keys: ReadinessPart | None = None


# What is said from the first signal to stop on: send no more, we are about to go.
DRAINING = ReadinessReport(
    "draining", ReadinessPart("unknown", "not looked at any more"), ReadinessPart("unknown", "not looked at any more")
)


class Readiness:
    """The last report, and the making of the next one."""

    def __init__(self, keys: PublishedKeys | None) -> None:
        """Report on the database and, if there is a key set, on `keys`."""
        self._keys = keys
        self._one_at_a_time = asyncio.Lock()
        self._made_at = float("-inf")
        self._report: ReadinessReport | None = None

    def forget(self) -> None:
        """Look anew at the next probe."""
        self._made_at = float("-inf")

    async def report(self, pool: FairClient) -> ReadinessReport:
        """Return the state as of a second ago at most; `pool` is asked for the database's."""
        async with self._one_at_a_time:
            if self._report is None or monotonic() - self._made_at > REMEMBERED:
                self._report = await self._look(pool)
                self._made_at = monotonic()
            return self._report

    async def _look(self, pool: FairClient) -> ReadinessReport:
        database, schema = await _look_at_database(pool)
        keys = _look_at_keys(self._keys)
        well = all(part is None or part.status == "ok" for part in (database, schema, keys))
        return ReadinessReport("ok" if well else "unavailable", database, schema, keys)


async def _look_at_database(pool: FairClient) -> tuple[ReadinessPart, ReadinessPart]:
    try:
        async with asyncio.timeout(PATIENCE):
            unsupported = await pool.unsupported_encoding()
            applied = await migrations.applied(pool)
    except (UnavailableError, TimeoutError) as error:
        kind = error.kind if isinstance(error, UnavailableError) else "timeout"
        unknown = ReadinessPart("unknown", "the database could not be asked")
        return ReadinessPart("unavailable", f"no answer ({kind})"), unknown
    if unsupported:
        return ReadinessPart("unsupported", unsupported), ReadinessPart("unknown", "another database is needed first")
    if applied != migrations.newest():
        return ReadinessPart("ok"), ReadinessPart(
            "behind", "the schema is not at the newest migration; run the migrations"
        )
    return ReadinessPart("ok"), ReadinessPart("ok", applied)


def _look_at_keys(keys: PublishedKeys | None) -> ReadinessPart | None:
    if keys is None:
        return None
    if not keys.count:
        return ReadinessPart("missing", "the issuer has not answered with its keys yet")
    return ReadinessPart("ok")
