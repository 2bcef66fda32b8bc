"""Check whether the service is ready, at most once per second and by one probe at a time."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import Annotated

from msgspec import Meta, Struct

from service.auth import PublishedKeys
from service.database import migrations
from service.database.client import FairClient
from service.errors import UnavailableError

REMEMBERED = 1.0  # seconds for which a report is reused, so that many probes cause one query
PATIENCE = 1.0  # seconds until the database counts as unavailable, because requests would be too slow as well


class ReadinessPart(Struct, omit_defaults=True):
    """The state of one dependency. `detail` contains the fault, but no address."""

    status: Annotated[str, Meta(examples=["ok"])]
    detail: str | None = None


class ReadinessReport(Struct, omit_defaults=True):
    """The state of all dependencies. `keys` is present only if a key set is configured."""

    status: Annotated[str, Meta(examples=["ok"])]
    database: ReadinessPart
    migrations: ReadinessPart
    keys: ReadinessPart | None = None


# The report during a shutdown, so that load balancers send no more requests.
DRAINING = ReadinessReport(
    "draining", ReadinessPart("unknown", "no longer checked"), ReadinessPart("unknown", "no longer checked")
)


class Readiness:
    """Creates reports, and reuses them for a second."""

    def __init__(self, keys: PublishedKeys | None) -> None:
        """Report on the database and, if there is a key set, on `keys`."""
        self._keys = keys
        self._one_at_a_time = asyncio.Lock()
        self._made_at = float("-inf")
        self._report: ReadinessReport | None = None

    def forget(self) -> None:
        """Make the next probe create a new report."""
        self._made_at = float("-inf")

    async def report(self, pool: FairClient) -> ReadinessReport:
        """Return a report that is at most one second old. `pool` is the pool of the database to check."""
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
        unknown = ReadinessPart("unknown", "the database did not answer")
        return ReadinessPart("unavailable", f"no answer ({kind})"), unknown
    if unsupported:
        return ReadinessPart("unsupported", unsupported), ReadinessPart("unknown", "use another database first")
    # During a rolling upgrade and after a rollback, a later release has applied more migrations than this one knows.
    if migrations.newest() not in applied:
        return ReadinessPart("ok"), ReadinessPart(
            "behind", "the schema lacks migrations of this release; run the migrations"
        )
    return ReadinessPart("ok"), ReadinessPart("ok", applied[0])


def _look_at_keys(keys: PublishedKeys | None) -> ReadinessPart | None:
    if keys is None:
        return None
    if not keys.count:
        return ReadinessPart("missing", "the issuer's key set has not been fetched yet")
    return ReadinessPart("ok")
