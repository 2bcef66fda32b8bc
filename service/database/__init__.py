"""Connect to the database: the configuration of Tortoise and aerich, opening and closing the pool."""

from __future__ import annotations

import logging
from typing import Any

from tortoise import Tortoise

from service.config import Settings
from service.database.client import FairClient
from service.database.url import Credentials, parse
from service.errors import ConfigurationError

logger = logging.getLogger("doable.database")

APP = "service"  # the label of the models; aerich stores their migrations in aerich/service/
# Names, not imports: this package must not import the nouns, but Tortoise may.
MODELS = ("service.users.models", "service.lists.models", "service.tasks.models", "service.idempotency.models")

POOLED_OPTIONS = (
    "DATABASE_URL: a pooler in transaction mode keeps no session settings. Remove options from the URL, and store the "
    "settings in the database, for example: ALTER ROLE name SET search_path = schema."
)


def credentials(settings: Settings, url: str) -> Credentials:
    """Return the arguments of the pool for the database at `url`. Raises ConfigurationError for an invalid URL."""
    found = parse(url)
    pooled = found.pop("pgbouncer") or _is_pooled_by_setting(settings, url)
    if pooled:
        # Behind a pooler in transaction mode, each transaction may run in another session. Prepared statements and
        # settings belong to a session, so neither may be used.
        if found["server_settings"].keys() != {"application_name"}:
            raise ConfigurationError(POOLED_OPTIONS)
        if found.get("statement_cache_size"):
            logger.info("DATABASE_URL: statement_cache_size is ignored, a pooler keeps no prepared statements")
        found["statement_cache_size"] = 0
    else:
        milliseconds = str(int(settings.db_statement_timeout * 1000))
        found["server_settings"] = {"statement_timeout": milliseconds, **found["server_settings"]}
    return {
        "timeout": settings.db_connect_timeout,
        # This limit of the client ends a statement if the server hangs, or behind a pooler.
        "command_timeout": settings.db_statement_timeout if pooled else settings.db_statement_timeout + 1.0,
        "acquire_timeout": settings.db_acquire_timeout,
        # No minimum: the service must start while the database is unavailable, and a serverless database suspends only
        # if no connection is open.
        "minsize": 0,
        "maxsize": settings.pool_size,
        # `handover` keeps idle connections itself. A connection that it returns to asyncpg must not stay open there.
        "max_inactive_connection_lifetime": 1.0,
        **found,
    }


def is_pooled(settings: Settings) -> bool:
    """Return whether DATABASE_URL leads to a pooler in transaction mode."""
    url = settings.require_database()
    return _is_pooled_by_setting(settings, url) or bool(parse(url)["pgbouncer"])


def _is_pooled_by_setting(settings: Settings, url: str) -> bool:
    # DB_PGBOUNCER describes DATABASE_URL. MIGRATIONS_DATABASE_URL is direct, unless the URL itself says something else.
    return settings.db_pgbouncer and (url == settings.database_url or url != settings.migrations_database_url)


def orm_config(connection: Credentials, engine: str = "service.database.client") -> dict[str, Any]:
    """Return Tortoise's configuration, from the pool's arguments (`connection`) and the client's module (`engine`)."""
    return {
        "connections": {"default": {"engine": engine, "credentials": connection}},
        "apps": {APP: {"models": [*MODELS, "aerich.models"], "default_connection": "default"}},
        "use_tz": True,
        "timezone": "UTC",
    }


# The configuration for `aerich migrate --offline`, which imports it by this name. It names no database on purpose:
# only `doable migrate` applies migrations, because it takes the lock.
TORTOISE_ORM = orm_config({"host": "localhost", "port": 5432, "user": "", "password": "", "database": ""})


async def connect(settings: Settings) -> FairClient:
    """Open the pool and return it, without connecting to the database. Raises ConfigurationError for an invalid URL."""
    engine = "service.database.traced" if settings.is_traced else "service.database.client"
    config = orm_config(credentials(settings, settings.require_database()), engine)
    await Tortoise.init(config=config, _enable_global_fallback=True)
    pool = Tortoise.get_connection("default")
    assert isinstance(pool, FairClient)  # noqa: S101 - orm_config names no other engine
    await pool.open()
    return pool


async def close() -> None:
    """Close the pool after the running statements have ended."""
    await Tortoise.close_connections()
