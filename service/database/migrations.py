"""Bringing the database to the newest schema, one release at a time."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
from aerich.migrate import Migrate
from aerich.utils import get_models_describe

from aerich import Command
from service.config import Settings
from service.database import APP, credentials, functions, orm_config
from service.database.client import FairClient, unsupported_encoding
from service.database.failures import translate
from service.database.url import Credentials
from service.errors import ConfigurationError, SchemaLockedError, UnavailableError

logger = logging.getLogger("doable.migrations")

# Any constant does, as long as nobody else in the same database takes the same one: "doable" in ASCII.
LOCK = 0x646F61626C65

FORBIDDEN = "The database's user may not change its schema; set MIGRATIONS_DATABASE_URL, with a user who may."

ANOTHER_HISTORY = (
    "The database was made by an unreleased version: its migration {} has another name here. Export what you want to "
    "keep with that version, then delete the folder .data (of `make run`) or drop and create the database, and migrate "
    "again."
)
OTHER_FUNCTIONS = (
    "Functions in the database are not as their files in service/*/sql say: {}. A changed function needs a new "
    "name and a migration (docs/how-to/change-the-schema-safely.md); in development delete the folder .data and "
    "migrate again."
)

# Seconds between two looks at the lock that another release holds.
POLL = 0.2
# Seconds after a migration that could not lock its table, before the next try: requests that piled up behind it drain.
PAUSES = (1.0, 2.0, 4.0)

SOURCE = Path(__file__).parents[2] / "aerich"
INSTALLED = Path(__file__).parents[1] / "_migrations"  # where the wheel puts them


def folder() -> Path:
    """The folder that holds the migrations: the source tree's, or the installed package's."""
    return SOURCE if (SOURCE / APP).is_dir() else INSTALLED


def newest() -> str:
    """The file name of the newest migration, which is also its version in the `aerich` table."""
    return max((folder() / APP).glob("[0-9]*_*.py"), key=lambda path: int(path.name.split("_")[0])).name


async def migrate(settings: Settings) -> list[str]:
    """Apply what is missing, in order, and return the names of what was applied.

    Two releases may run this at once: the second waits, then finds nothing to do.

    Raises UnavailableError when the database cannot be reached, SchemaLockedError when a table stays locked,
    ConfigurationError for a bad URL, a database not in UTF8, a user who may not, or a database whose migrations or
    functions are of another history.
    """
    async with alone(settings) as (keeper, found):
        await _refuse_another_history(keeper)
        done = await _upgrade(found, settings.migration_lock_timeout)
        await _refuse_other_functions(keeper)
        return done


@contextlib.asynccontextmanager
async def alone(settings: Settings) -> AsyncIterator[tuple[asyncpg.Connection, Credentials]]:
    """Wait until nobody else changes the schema; give a connection and its credentials.

    It is in a transaction, which is committed at the end. The lock belongs to that, not to a session, because behind a
    transaction pooler a session is not ours to hold. Statements have no time limit: only requests are bound in time.

    Raises UnavailableError when the database cannot be reached, ConfigurationError for a bad URL, a
    database not in UTF8, or a user who may not.
    """
    found = credentials(settings, settings.migrations_database_url or settings.require_database())
    found["command_timeout"] = None
    found["server_settings"].pop("statement_timeout", None)
    connect = {key: found[key] for key in ("host", "port", "user", "password", "database", "timeout")}
    try:
        keeper = await asyncpg.connect(
            **connect, ssl=found.get("ssl"), statement_cache_size=0, server_settings=found["server_settings"],
            target_session_attrs=found.get("target_session_attrs"),
        )  # fmt: skip
        try:
            if unsupported := unsupported_encoding(keeper):
                raise ConfigurationError(unsupported)
            async with keeper.transaction():
                while not await _take_lock(keeper):  # noqa: ASYNC110 - who holds it is another process
                    await asyncio.sleep(POLL)
                yield keeper, found
        finally:
            await keeper.close()
    except Exception as error:
        if any(isinstance(one, asyncpg.InsufficientPrivilegeError) for one in (error, error.__cause__)):
            raise ConfigurationError(FORBIDDEN) from error
        if unavailable := translate(error):
            raise unavailable from error
        raise


async def _take_lock(keeper: asyncpg.Connection) -> bool:
    """Take the lock for the length of `keeper`'s transaction, unless another release holds it.

    To ask again and again, not to wait in the server: who waits there holds a snapshot, for which CREATE INDEX
    CONCURRENTLY of the one that has the lock would wait in turn, both of them for ever.
    """
    (row,) = await keeper.fetch(f"SELECT pg_try_advisory_xact_lock({LOCK}) AS taken")
    # The question's own snapshot lives as long as its portal, until the next statement; this one, in the simple
    # protocol, leaves none.
    await keeper.execute("SELECT 1")
    return bool(row["taken"])


async def _refuse_another_history(keeper: asyncpg.Connection) -> None:
    """Raise ConfigurationError for a migration that we know by another name; one of a later release is none."""
    if await keeper.fetchval("SELECT to_regclass('aerich') IS NULL"):
        return
    ours = {path.name for path in (folder() / APP).glob("[0-9]*_*.py")}
    numbers = {name.split("_")[0] for name in ours}
    for row in await keeper.fetch("SELECT version FROM aerich WHERE app = $1 ORDER BY id", APP):
        if row["version"] not in ours and row["version"].split("_")[0] in numbers:
            raise ConfigurationError(ANOTHER_HISTORY.format(row["version"]))


async def _refuse_other_functions(keeper: asyncpg.Connection) -> None:
    """Raise ConfigurationError for a function that is not as its file says; one of a later release is none."""
    ours = [one for one in await functions.drift(keeper) if not one.endswith(functions.UNKNOWN)]
    if ours:
        raise ConfigurationError(OTHER_FUNCTIONS.format("; ".join(ours)))


class _PatientCommand(Command):
    """Applies migrations so that no request waits for long behind one that waits for its table.

    A statement that asks for an exclusive lock stands in the queue in front of every later reader of the table. So it
    gives up after `lock_timeout` seconds. What runs outside of a transaction (CONCURRENTLY) keeps nobody waiting, and
    may itself wait for as long as it takes.
    """

    def __init__(self, *arguments: Any, lock_timeout: float, **options: Any) -> None:  # noqa: ANN401 - aerich's own
        super().__init__(*arguments, **options)
        self.milliseconds = int(lock_timeout * 1000)
        self.applied: list[str] = []

    async def _upgrade(self, conn: Any, version_file: str, *arguments: Any, **options: Any) -> None:  # noqa: ANN401 - aerich's own
        # Outside of a transaction SET LOCAL does nothing but warn, which is what is wanted there. A setting of the
        # session would not pass a pooler.
        await conn.execute_script(f"SET LOCAL lock_timeout = {self.milliseconds}")
        await super()._upgrade(conn, version_file, *arguments, **options)
        self.applied.append(version_file)


async def _upgrade(connection: Credentials, lock_timeout: float) -> list[str]:
    async with _PatientCommand(
        orm_config(connection), app=APP, location=str(folder()), lock_timeout=lock_timeout
    ) as command:
        for pause in (*PAUSES, None):
            try:
                await command.upgrade(run_in_transaction=True)
            except Exception as error:
                locked = error if isinstance(error, UnavailableError) else translate(error)
                if locked is None or locked.kind != "locked":
                    raise
                if pause is None:
                    raise SchemaLockedError(len(PAUSES) + 1, lock_timeout) from error
                logger.warning("a migration could not lock its table", extra={"fields": {"again_in": pause}})
                await asyncio.sleep(pause)
            else:
                break
        return command.applied


async def applied(pool: FairClient) -> str | None:
    """Return the newest version that the database of `pool` has, or None before the first migration.

    Raises UnavailableError when the database cannot answer now.
    """
    try:
        row = await pool.fetch_first("SELECT version FROM aerich WHERE app = $1 ORDER BY id DESC LIMIT 1", APP)
    except UnavailableError as error:
        if error.kind != "not_migrated":
            raise
        return None  # there is no table `aerich` yet
    return None if row is None else str(row["version"])


async def drift() -> list[str]:
    """What a new migration would have to hold, because the models have moved on; empty when they have not."""
    command = Command(orm_config({"host": ""}), app=APP, location=str(folder()))
    await command.init(offline=True)
    recorded = Migrate._last_version_content or {}  # noqa: SLF001 - aerich has no public way to ask
    Migrate.diff_models(recorded, get_models_describe(APP), no_input=True)
    return [str(operator) for operator in Migrate.upgrade_operators]
