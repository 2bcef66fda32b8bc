"""Migrate the database to the newest schema. Only one process migrates at a time."""

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
from service.errors import ConfigurationError, DoableError, UnavailableError

logger = logging.getLogger("doable.migrations")

# The key of the advisory lock: "doable" in ASCII. Any number that no other application in the database uses would do.
LOCK = 0x646F61626C65

FORBIDDEN = (
    "The database's user has no permission to change the schema; set MIGRATIONS_DATABASE_URL to a URL with a user that "
    "has it."
)

NO_SCHEMA = (
    "No schema of the search_path exists, so no table can be created; create the schema with CREATE SCHEMA, or correct "
    "the search_path."
)

ANOTHER_HISTORY = (
    "An unreleased version created this database: its migration {} has another name in this version. Export the data "
    "that you want to keep with that version, then delete the folder .data (of `make run`) or drop and create the "
    "database, and migrate again."
)
OTHER_FUNCTIONS = (
    "Functions in the database differ from their files in service/*/sql: {}. A changed function needs a migration "
    "(docs/how-to/change-the-schema-safely.md); in development, delete the folder .data and migrate again."
)

APPLIED = "SELECT version FROM aerich WHERE app = $1 ORDER BY id DESC"  # the newest first

# Seconds between two attempts to take the lock while another process holds it.
POLL = 0.2
# Seconds before the next try of a migration that could not lock its table, so that the requests behind it can run.
PAUSES = (1.0, 2.0, 4.0)
LOCKED = frozenset({"locked", "conflict"})  # a lock timeout, or a deadlock with a request

# The time limits that a role or a database may have (ALTER ROLE … SET). None of them may end a migration, or the idle
# transaction that holds the lock meanwhile. transaction_timeout exists since PostgreSQL 17.
LIFT_LIMITS = """
SELECT set_config(name, '0', {is_local}) FROM pg_settings WHERE name IN (
    'idle_in_transaction_session_timeout', 'lock_timeout', 'statement_timeout', 'transaction_timeout'
);
"""

SOURCE = Path(__file__).parents[2] / "aerich"
INSTALLED = Path(__file__).parents[1] / "_migrations"  # the folder in the installed package


class SchemaLockedError(DoableError):
    """A migration could not lock a table, because another transaction holds a lock on it. It was rolled back."""

    def __init__(self, tries: int, seconds: float) -> None:
        """State the number of `tries` and the `seconds` that each of them waited for the lock."""
        super().__init__(
            f"A migration could not lock a table in {tries} tries of {seconds:g} seconds, because a long transaction "
            "holds a lock on it. The migration was rolled back. End that transaction (pg_stat_activity shows it), or "
            "migrate again later."
        )


def folder() -> Path:
    """Return the folder with the migrations: that of the source tree, or that of the installed package."""
    return SOURCE if (SOURCE / APP).is_dir() else INSTALLED


def newest() -> str:
    """Return the file name of this release's newest migration, which is also its version in the table `aerich`."""
    return max((folder() / APP).glob("[0-9]*_*.py"), key=lambda path: int(path.name.split("_")[0])).name


async def migrate(settings: Settings) -> list[str]:
    """Apply the missing migrations in order, and return their names.

    Two processes may run this at the same time: the second waits, then finds nothing to do.

    Raises UnavailableError if the database cannot be reached, and SchemaLockedError if a table stays locked. Raises
    ConfigurationError for an invalid URL, a database that is not in UTF8, a user without permission, and a database
    with other migrations or functions than this version.
    """
    async with alone(settings) as (keeper, found):
        await _refuse_another_history(keeper)
        await _release_snapshot(keeper)
        done = await _upgrade(found, settings.migration_lock_timeout)
        await _refuse_other_functions(keeper)
        return done


@contextlib.asynccontextmanager
async def alone(settings: Settings) -> AsyncIterator[tuple[asyncpg.Connection, Credentials]]:
    """Take the lock of the migrations, and yield a connection and its credentials.

    The connection is in a transaction, which is committed at the end. The lock belongs to the transaction, not to the
    session, because a pooler in transaction mode may change the session. The transaction has no time limits. Nor has a
    session with these credentials, unless there is a pooler.

    Raises UnavailableError if the database cannot be reached. Raises ConfigurationError for an invalid URL, a database
    that is not in UTF8, and a user without permission.
    """
    found = credentials(settings, settings.migrations_database_url or settings.require_database())
    found["command_timeout"] = None
    if found["server_settings"].pop("statement_timeout", None):  # not behind a pooler, where no session has settings
        found["init"] = _lift_limits
    connect = {key: found[key] for key in ("host", "port", "user", "password", "database", "timeout")}
    try:
        keeper = await asyncpg.connect(
            **connect, ssl=found.get("ssl"), statement_cache_size=0, server_settings=found["server_settings"],
            target_session_attrs=found.get("target_session_attrs"),
        )  # fmt: skip
        try:
            if unsupported := unsupported_encoding(keeper):
                raise ConfigurationError(unsupported)
            while True:
                async with keeper.transaction():
                    if await _take_lock(keeper):
                        await _lift_limits(keeper, is_local=True)
                        yield keeper, found
                        return
                await asyncio.sleep(POLL)  # another process holds the lock
        finally:
            await keeper.close()
    except Exception as error:
        for one in (error, error.__cause__):
            if isinstance(one, asyncpg.InsufficientPrivilegeError):
                raise ConfigurationError(FORBIDDEN) from error
            if isinstance(one, asyncpg.InvalidSchemaNameError):
                raise ConfigurationError(NO_SCHEMA) from error
        if unavailable := translate(error):
            raise unavailable from error
        raise


async def _take_lock(keeper: asyncpg.Connection) -> bool:
    """Try to take the lock until the end of `keeper`'s transaction. Return False if another process holds it.

    The caller polls, because waiting in the server would deadlock. A session that waits there holds a snapshot. If the
    process with the lock runs CREATE INDEX CONCURRENTLY, it waits for the end of each transaction that has a snapshot
    at that moment, and so each waits for the other. Each try has its own transaction for the same reason.
    """
    (row,) = await keeper.fetch(f"SELECT pg_try_advisory_xact_lock({LOCK}) AS taken")
    await _release_snapshot(keeper)
    return bool(row["taken"])


async def _lift_limits(connection: asyncpg.Connection, *, is_local: bool = False) -> None:
    """Lift all time limits of a session, or of its current transaction if `is_local` is true."""
    await connection.execute(LIFT_LIMITS.format(is_local=is_local))


async def _release_snapshot(keeper: asyncpg.Connection) -> None:
    """Release the snapshot that a fetch holds until the next statement; the simple protocol holds none.

    CREATE INDEX CONCURRENTLY in a migration waits for all older snapshots to end.
    """
    await keeper.execute("SELECT 1")


async def _refuse_another_history(keeper: asyncpg.Connection) -> None:
    """Raise ConfigurationError if an applied migration has another name here. Ignore migrations of later releases."""
    if await keeper.fetchval("SELECT to_regclass('aerich') IS NULL"):
        return
    ours = {path.name for path in (folder() / APP).glob("[0-9]*_*.py")}
    numbers = {name.split("_")[0] for name in ours}
    for row in await keeper.fetch(APPLIED, APP):
        if row["version"] not in ours and row["version"].split("_")[0] in numbers:
            raise ConfigurationError(ANOTHER_HISTORY.format(row["version"]))


async def _refuse_other_functions(keeper: asyncpg.Connection) -> None:
    """Raise ConfigurationError if a function differs from its file. A later release may have replaced functions."""
    latest = await keeper.fetchval(APPLIED, APP)
    if latest != newest():
        return
    ours = [one for one in await functions.differences(keeper) if not one.endswith(functions.UNKNOWN)]
    if ours:
        raise ConfigurationError(OTHER_FUNCTIONS.format("; ".join(ours)))


class _PatientCommand(Command):
    """Applies migrations with a lock timeout, so that no request waits long behind a migration.

    A statement that waits for an exclusive lock blocks every later reader of the table. Therefore it is cancelled after
    `lock_timeout` seconds. A statement outside a transaction (CONCURRENTLY) blocks no request, so it has no timeout.
    """

    def __init__(self, *arguments: Any, lock_timeout: float, **options: Any) -> None:  # noqa: ANN401 - aerich's own
        super().__init__(*arguments, **options)
        self.milliseconds = int(lock_timeout * 1000)
        self.applied: list[str] = []

    async def _upgrade(self, conn: Any, version_file: str, *arguments: Any, **options: Any) -> None:  # noqa: ANN401 - aerich's own
        # Outside a transaction, this does not affect the next statement, as intended. Behind a pooler, nothing would.
        limit = f"SET LOCAL lock_timeout = {self.milliseconds}"
        await conn.execute_script(LIFT_LIMITS.format(is_local=True) + limit)
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
                if locked is None or locked.kind not in LOCKED:
                    raise
                if pause is None:
                    raise SchemaLockedError(len(PAUSES) + 1, lock_timeout) from error
                logger.warning("a migration could not lock its table", extra={"fields": {"again_in": pause}})
                await asyncio.sleep(pause)
            else:
                break
        return command.applied


async def applied(pool: FairClient) -> list[str]:
    """Return the applied migrations of the database, the newest one first; empty before the first one.

    This release can use the schema if `newest()` is among them. A later release may have applied more of them.

    Raises UnavailableError if the database cannot answer.
    """
    try:
        rows = await pool.fetch_rows(APPLIED, APP)
    except UnavailableError as error:
        if error.kind != "not_migrated":
            raise
        return []  # the table `aerich` does not exist yet
    return [str(row["version"]) for row in rows]


async def drift() -> list[str]:
    """Return the statements that a new migration would need, because the models have changed; empty if none."""
    command = Command(orm_config({"host": ""}), app=APP, location=str(folder()))
    await command.init(offline=True)
    recorded = Migrate._last_version_content or {}  # noqa: SLF001 - aerich has no public attribute for it
    Migrate.diff_models(recorded, get_models_describe(APP), no_input=True)
    return [str(operator) for operator in Migrate.upgrade_operators]
