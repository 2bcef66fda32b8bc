"""Distributing tables and functions over several machines with Citus, by user: what `doable distribute` does.

Nothing else in the service knows whether they are distributed. Every key and every statement names one user, so each
of them is answered by the one machine that holds that user. A call of a function is sent there as a whole.
"""

from __future__ import annotations

import logging
from typing import NamedTuple

import asyncpg

from service.config import Settings
from service.database import APP, migrations
from service.database.functions import FUNCTIONS
from service.errors import DistributionError

logger = logging.getLogger("doable.distribution")


class Table(NamedTuple):
    """A table of ours, and its column that holds the user's id."""

    name: str
    column: str


# All of them, a table before those that refer to it: Citus keeps no foreign key to a table that is not distributed yet.
TABLES = (Table("users", "id"), Table("tasks", "user_id"), Table("idempotency_keys", "user_id"))
FIRST = TABLES[0]
# aerich's own table belongs to no user. Each node gets a copy, so that readiness finds the version on any of them.
COPIED = "aerich"

NOT_OFFERED = (
    "This PostgreSQL server does not offer the extension citus; install Citus on it and on its workers, or restore the "
    "data into a cluster that has it, and run this again."
)
NOT_CREATED = (
    "This server offers the extension citus, but this database does not have it; run CREATE EXTENSION citus; in it as "
    "a superuser, on every node, and run this again."
)
BEHIND = "The schema is at {}, not at {}; run `doable migrate` first."
OTHERWISE = (
    "The table {0} is distributed already, but not by {1} in one group with {2}; take that back first, as "
    "docs/how-to/outgrow-one-database.md tells, and run this again."
)
BUSY = (
    "Some request or transaction holds one of the tables {}, and nothing was changed; stop the service, or end that "
    "transaction (pg_stat_activity shows it), and run this again."
)
REFUSED = "Citus refused to distribute {}, and nothing was changed; the logged line before this one says why."

EXTENSION = """
SELECT (SELECT installed_version FROM pg_available_extensions WHERE name = 'citus') AS created,
       EXISTS (SELECT FROM pg_available_extensions WHERE name = 'citus') AS offered
"""
VERSION = "SELECT version FROM aerich WHERE app = $1 ORDER BY id DESC LIMIT 1"
# A table that Citus merely knows of, on the coordinator alone, has no column and belongs to no group (colocationid 0).
DISTRIBUTED = """
SELECT logicalrelid::regclass::text AS name, column_to_column_name(logicalrelid, partkey) AS column,
       colocationid AS group_id
FROM pg_dist_partition WHERE colocationid <> 0
"""
IS_COPIED = "SELECT EXISTS (SELECT FROM pg_dist_partition WHERE logicalrelid = $1::regclass AND repmodel = 't')"
# Functions that take no owner, such as `task_document`, are parts of the others, and need only exist on every node.
# They come first, because the others call them.
FUNCTIONS_FOUND = """
SELECT found.oid::regprocedure::text AS signature, proname AS name, is_owned,
       objid IS NOT NULL AND is_owned = coalesce(force_delegation, false) AS is_distributed
FROM (SELECT *, coalesce(proargnames[1] = 'owner', false) AS is_owned FROM pg_proc) AS found
LEFT JOIN pg_dist_object ON classid = 'pg_proc'::regclass AND objid = found.oid
WHERE pronamespace = current_schema()::regnamespace AND proname = ANY ($1::text[])
ORDER BY is_owned, proname, signature
"""
# Over several connections to a node at once, Citus refuses functions in the transaction that has distributed tables.
SEQUENTIAL = "SET LOCAL citus.multi_shard_modify_mode = 'sequential'"
WORKERS = """
SELECT count(*) FROM pg_dist_node WHERE groupid <> 0 AND noderole = 'primary' AND isactive AND shouldhaveshards
"""


class Step(NamedTuple):
    """Something to distribute: its name for the person who reads it, and the statement."""

    name: str
    statement: str
    done: bool


class Distribution(NamedTuple):
    """What was found and done: the steps in order, of which some were `done` already, and the worker nodes."""

    steps: list[Step]
    workers: int


async def distribute(settings: Settings, *, dry_run: bool = False) -> Distribution:
    """Distribute every table and function of ours by its user, all of them or none; with `dry_run` only say how.

    What is distributed already stays as it is, so it may run again, and must after a migration that made a table or a
    function. It holds the migrations' lock. While rows are copied they can be read, and whoever writes waits.

    Raises DistributionError when something must be done first, UnavailableError when the database cannot be reached,
    ConfigurationError for a bad URL or a user who does not own the tables.
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
    # 'none' begins a group of its own: what others keep in this cluster does not move along with our tables.
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
        version = await connection.fetchval(VERSION, APP)
    except asyncpg.UndefinedTableError:
        version = None
    if version != migrations.newest():
        raise DistributionError(BEHIND.format(version or "no migration", migrations.newest()))


async def _distributed(connection: asyncpg.Connection) -> list[Table]:
    """Those of our tables that are distributed already. Raises DistributionError for one that is so in another way."""
    rows = {row["name"]: row for row in await connection.fetch(DISTRIBUTED)}
    found = [table for table in TABLES if table.name in rows]
    for table in found:
        row, first = rows[table.name], rows.get(FIRST.name)
        if row["column"] != table.column or first is None or row["group_id"] != first["group_id"]:
            raise DistributionError(OTHERWISE.format(*table, FIRST.name))
    return found


async def _lock(connection: asyncpg.Connection, tables: list[Table], seconds: float) -> None:
    """Take all locks before the first row is copied: to find a table busy after an hour would cost the hour."""
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
        logger.error("Citus refused", extra={"fields": said})  # noqa: TRY400 - the reason is in what it said, not in our frames
        raise DistributionError(REFUSED.format(step.name)) from error
