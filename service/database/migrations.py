"""Bringing the database to the newest schema, one release at a time."""

from __future__ import annotations

from pathlib import Path

import asyncpg
from aerich.migrate import Migrate
from aerich.utils import get_models_describe

from aerich import Command
from service.config import Settings
from service.database import APP, client, credentials, orm_config
from service.database.failures import translate
from service.errors import ConfigurationError

# Any constant does, as long as nobody else in the same database takes the same one: "doable" in ASCII.
LOCK = 0x646F61626C65

FORBIDDEN = "The database's user may not change its schema; set MIGRATIONS_DATABASE_URL, with a user who may."

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

    Two releases may run this at once: the second waits, then finds nothing to do. The lock belongs to a transaction,
    not to a session, because behind a transaction pooler a session is not ours to hold.

    Raises UnavailableError when the database cannot be reached, ConfigurationError for a bad URL or a user who may not.
    """
    found = credentials(settings, settings.migrations_database_url or settings.require_database())
    # A migration may take as long as it needs; only requests are bound in time.
    found["command_timeout"] = None
    found["server_settings"].pop("statement_timeout", None)
    connect = {key: found[key] for key in ("host", "port", "user", "password", "database", "timeout")}
    try:
        keeper = await asyncpg.connect(
            **connect, ssl=found.get("ssl"), statement_cache_size=0, server_settings=found["server_settings"]
        )
        try:
            async with keeper.transaction():
                await keeper.execute(f"SELECT pg_advisory_xact_lock({LOCK})")
                async with Command(orm_config(found), app=APP, location=str(folder())) as command:
                    return await command.upgrade(run_in_transaction=True)
        finally:
            await keeper.close()
    except Exception as error:
        if isinstance(error.__cause__, asyncpg.InsufficientPrivilegeError):
            raise ConfigurationError(FORBIDDEN) from error
        if unavailable := translate(error):
            raise unavailable from error
        raise


async def applied() -> str | None:
    """The newest version that the open database has, or None before the first migration.

    Raises UnavailableError when the database cannot answer now.
    """
    row = await client().fetch_row("SELECT to_regclass('aerich') IS NOT NULL AS migrated")
    if row is None or not row["migrated"]:
        return None
    row = await client().fetch_row("SELECT version FROM aerich WHERE app = $1 ORDER BY id DESC LIMIT 1", APP)
    return None if row is None else str(row["version"])


async def drift() -> list[str]:
    """What a new migration would have to hold, because the models have moved on; empty when they have not."""
    command = Command(orm_config({"host": ""}), app=APP, location=str(folder()))
    await command.init(offline=True)
    recorded = Migrate._last_version_content or {}  # noqa: SLF001 - aerich has no public way to ask
    Migrate.diff_models(recorded, get_models_describe(APP), no_input=True)
    return [str(operator) for operator in Migrate.upgrade_operators]
