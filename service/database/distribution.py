"""Distribute tables and functions over several machines with Citus, by user. This implements `doable distribute`.

No other module depends on whether the tables are distributed. Every key and every statement names one user. Therefore
one machine, the one with that user's rows, can execute the statement, or a whole function call.
"""

from __future__ import annotations

import logging
from typing import NamedTuple

import asyncpg

from service.config import Settings
from service.database import APP, migrations
from service.database.functions import FUNCTIONS
from service.errors import DoableError

logger = logging.getLogger("doable.distribution")


class DistributionError(DoableError):
    """The tables cannot be distributed over a cluster yet. `detail` says what to do first."""


class Table(NamedTuple):
    """A table of the service, and its column with the user's id."""

    name: str
    column: str


# All tables. A table comes before those that reference it, because Citus requires the target of a foreign key to be
# distributed first.
TABLES = (
    Table("users", "id"), Table("lists", "user_id"), Table("tasks", "user_id"), Table("idempotency_keys", "user_id"),
)  # fmt: skip
FIRST = TABLES[0]
# aerich's own table belongs to no user. Each node gets a copy, so that the readiness check finds it on any node.
COPIED = "aerich"

NOT_OFFERED = (
    "This PostgreSQL server does not offer the extension citus; install Citus on it and on its worker nodes, or "
    "restore the data into a cluster that has it, and run this command again."
)
NOT_CREATED = (
    "This server offers the extension citus, but this database does not have it; run CREATE EXTENSION citus; in it as "
    "a superuser, on every node, and run this command again."
)
BEHIND = "The schema is at {}, not at {}; run `doable migrate` first."
AHEAD = "A later release has migrated the schema, to {}; run `doable distribute` of that release."
OTHERWISE = (
    "The table {0} is distributed already, but not by {1} and colocated with {2}; undo that first, as described in "
    "docs/how-to/outgrow-one-database.md, and run this command again."
)
BUSY = (
    "A request or transaction holds a lock on one of the tables {}, so nothing was changed; stop the service, or end "
    "that transaction (pg_stat_activity shows it), and run this command again."
)
REFUSED = "Citus refused to distribute {}, so nothing was changed; the previous log entry contains the reason."

EXTENSION = """
SELECT (SELECT installed_version FROM pg_available_extensions WHERE name = 'citus') AS created,
       EXISTS (SELECT FROM pg_available_extensions WHERE name = 'citus') AS offered
"""
# Citus also lists tables that exist on the coordinator only. They have no column, and the colocationid 0.
DISTRIBUTED = """
SELECT logicalrelid::regclass::text AS name, column_to_column_name(logicalrelid, partkey) AS column,
       colocationid AS group_id
FROM pg_dist_partition WHERE colocationid <> 0
"""
IS_COPIED = "SELECT EXISTS (SELECT FROM pg_dist_partition WHERE logicalrelid = $1::regclass AND repmodel = 't')"
# A function without an owner argument, such as `task_document`, is part of other functions. It must only exist on every
# node. These functions come first, because the others call them.
FUNCTIONS_FOUND = """
SELECT found.oid::regprocedure::text AS signature, proname AS name, is_owned,
       objid IS NOT NULL AND is_owned = coalesce(force_delegation, false) AS is_distributed
FROM (SELECT *, coalesce(proargnames[1] = 'owner', false) AS is_owned FROM pg_proc) AS found
LEFT JOIN pg_dist_object ON classid = 'pg_proc'::regclass AND objid = found.oid
WHERE pronamespace = current_schema()::regnamespace AND proname = ANY ($1::text[])
ORDER BY is_owned, proname, signature
"""
# With several connections to a node, Citus refuses to distribute functions in the same transaction as tables.
SEQUENTIAL = "SET LOCAL citus.multi_shard_modify_mode = 'sequential'"
WORKERS = """
SELECT count(*) FROM pg_dist_node WHERE groupid <> 0 AND noderole = 'primary' AND isactive AND shouldhaveshards
"""


class Step(NamedTuple):
    """A table or function to distribute: its name for the output, the statement, and whether it is done already."""

    name: str
    statement: str
    done: bool


class Distribution(NamedTuple):
    """The result: all steps in order, and the number of worker nodes."""

    steps: list[Step]
    workers: int


async def distribute(settings: Settings, *, dry_run: bool = False) -> Distribution:
    """Distribute all tables and functions by user, in one transaction. With `dry_run`, only return the steps.

    Distributed tables stay unchanged, so this may run again. It must run again after a migration that creates a table
    or a function. It holds the lock of the migrations. While it copies rows, reads succeed and writes wait.

    Raises DistributionError if another step is necessary first, UnavailableError if the database cannot be reached,
    and ConfigurationError for an invalid URL or a database user that does not own the tables.
    """
    async with migrations.alone(settings) as (connection, _):
        await _require_citus(connection)
        await _require_newest_schema(connection)
        known = await _distributed(connection)
        steps = [
            *(_table(table, done=table in known) for table in TABLES),
            Step(f"{COPIED} as a copy on each node", f"SELECT create_reference_table('{COPIED}')",
                 await connection.fetchval(IS_COPIED, COPIED)),
            *map(_function, await connection.fetch(FUNCTIONS_FOUND, FUNCTIONS)),
        ]  # fmt: skip
        if not dry_run:
            if fresh := [table for table in TABLES if table not in known]:
                await _lock(connection, fresh, settings.migration_lock_timeout)
            await connection.execute(SEQUENTIAL)
            for step in steps:
                if not step.done:
                    await _run(connection, step)
        return Distribution(steps, await connection.fetchval(WORKERS))


def _table(table: Table, *, done: bool) -> Step:
    # 'none' creates a new group, so that the tables of other applications in this cluster do not move with these.
    beside = "none" if table == FIRST else FIRST.name
    statement = f"SELECT create_distributed_table('{table.name}', '{table.column}', colocate_with => '{beside}')"
    return Step(f"{table.name} by {table.column}", statement, done)


def _function(row: asyncpg.Record) -> Step:
    options = f", '$1', colocate_with => '{FIRST.name}', force_delegation => true" if row["is_owned"] else ""
    statement = f"SELECT create_distributed_function('{row['signature']}'{options})"
    return Step(f"the function {row['name']}{' by owner' if options else ''}", statement, row["is_distributed"])


async def _require_citus(connection: asyncpg.Connection) -> None:
    row = await connection.fetchrow(EXTENSION)
    if not row["offered"]:
        raise DistributionError(NOT_OFFERED)
    if row["created"] is None:
        raise DistributionError(NOT_CREATED)


async def _require_newest_schema(connection: asyncpg.Connection) -> None:
    try:
        applied = [row["version"] for row in await connection.fetch(migrations.APPLIED, APP)]
    except asyncpg.UndefinedTableError:
        applied = []
    newest = migrations.newest()
    if newest not in applied:
        raise DistributionError(BEHIND.format(applied[0] if applied else "no migration", newest))
    if applied[0] != newest:  # this release does not know all tables and functions
        raise DistributionError(AHEAD.format(applied[0]))


async def _distributed(connection: asyncpg.Connection) -> list[Table]:
    """Return the distributed tables. Raises DistributionError for a table that is distributed in another way."""
    rows = {row["name"]: row for row in await connection.fetch(DISTRIBUTED)}
    found = [table for table in TABLES if table.name in rows]
    for table in found:
        row, first = rows[table.name], rows.get(FIRST.name)
        if row["column"] != table.column or first is None or row["group_id"] != first["group_id"]:
            raise DistributionError(OTHERWISE.format(*table, FIRST.name))
    return found


async def _lock(connection: asyncpg.Connection, tables: list[Table], seconds: float) -> None:
    """Lock all tables before the first row is copied. A lock conflict later would waste the time of the copy."""
    names = ", ".join(table.name for table in tables)
    try:
        await connection.execute(f"SET LOCAL lock_timeout = {int(seconds * 1000)}")
        await connection.execute(f"LOCK TABLE {names} IN EXCLUSIVE MODE")
    except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError) as error:
        raise DistributionError(BUSY.format(names)) from error


async def _run(connection: asyncpg.Connection, step: Step) -> None:
    try:
        await connection.execute(step.statement)
    except asyncpg.InsufficientPrivilegeError:
        raise
    except asyncpg.PostgresError as error:
        said = {"step": step.name, "reason": error.message, "detail": error.detail, "hint": error.hint}
        logger.error("Citus refused", extra={"fields": said})  # noqa: TRY400 - a stack trace adds nothing to Citus's message
        raise DistributionError(REFUSED.format(step.name)) from error
