"""Where the database is and how it is spoken to: configuration for Tortoise and aerich, opening and closing."""

from __future__ import annotations

from typing import Any

from tortoise import Tortoise

from service.config import Settings
from service.database.client import FairClient
from service.database.url import Credentials, parse

APP = "service"  # the label of our models: aerich keeps their migrations in aerich/service/
# By name: this room imports no noun, Tortoise does.
MODELS = ("service.users.models", "service.tasks.models", "service.idempotency.models")


def credentials(settings: Settings, url: str) -> Credentials:
    """What the pool is opened with, for `url` under `settings`. Raises ConfigurationError for a bad URL."""
    found = parse(url)
    pooled = found.pop("pgbouncer") or settings.db_pgbouncer
    if pooled:
        # A pooler in transaction mode gives each transaction another session: prepared statements and settings
        # belong to sessions, so neither may be used.
        found["statement_cache_size"] = 0
        found["server_settings"] = {"application_name": found["server_settings"]["application_name"]}
    else:
        milliseconds = str(int(settings.db_statement_timeout * 1000))
        found["server_settings"] = {"statement_timeout": milliseconds, **found["server_settings"]}
    return {
        "timeout": settings.db_connect_timeout,
        # The client's own limit is what ends a statement when the server itself hangs, or behind a pooler.
        "command_timeout": settings.db_statement_timeout if pooled else settings.db_statement_timeout + 1.0,
        "acquire_timeout": settings.db_acquire_timeout,
        # No connection is kept open for its own sake: the service starts while the database is away, and a
        # serverless database may fall asleep.
        "minsize": 0,
        "maxsize": settings.pool_size,
        # `handover` keeps what is in use; what it gives up is not to lie in asyncpg's pool for as long again.
        "max_inactive_connection_lifetime": 1.0,
        **found,
    }


def is_pooled(settings: Settings, url: str | None = None) -> bool:
    """Whether a transaction pooler stands before the database (at `url`, by default DATABASE_URL)."""
    return settings.db_pgbouncer or bool(parse(url or settings.require_database())["pgbouncer"])


def orm_config(connection: Credentials, engine: str = "service.database.client") -> dict[str, Any]:
    """Tortoise's configuration for our models over `connection`; `engine` is the module of the client."""
    return {
        "connections": {"default": {"engine": engine, "credentials": connection}},
        "apps": {APP: {"models": [*MODELS, "aerich.models"], "default_connection": "default"}},
        "use_tz": True,
        "timezone": "UTC",
    }


# What the aerich command line imports, for `aerich migrate --offline`. It names no database on purpose: migrations
# are run by `doable migrate`, which takes the lock.
TORTOISE_ORM = orm_config({"host": "localhost", "port": 5432, "user": "", "password": "", "database": ""})


async def connect(settings: Settings) -> FairClient:
    """Open the pool and return it; the database need not be there yet. Raises ConfigurationError for a bad URL."""
    engine = "service.database.traced" if settings.is_traced else "service.database.client"
    config = orm_config(credentials(settings, settings.require_database()), engine)
    await Tortoise.init(config=config, _enable_global_fallback=True)
    pool = Tortoise.get_connection("default")
    assert isinstance(pool, FairClient)  # noqa: S101 - orm_config names no other engine
    await pool.open()
    return pool


async def close() -> None:
    """Close the pool, waiting for what is under way."""
    await Tortoise.close_connections()
