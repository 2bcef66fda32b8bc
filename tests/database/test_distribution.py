"""`doable distribute`: the statements that it runs, its refusals, and that a failure leaves nothing half done.

These tests run without Citus. A stand-in replaces it: a real extension named `citus`, written in SQL, with the
functions and catalogs of Citus that the command uses and the refusals of Citus that our tables could meet. It moves no
rows. `make test-citus` tests the rest on a real cluster.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import asyncpg
import pytest

from service.database import distribution, migrations
from service.database.functions import FUNCTIONS
from service.database.url import parse
from tests.ownership import OF_NO_OWNER

ROOT = Path(__file__).parents[2]
DOABLE = [sys.executable, "-m", "service"]
STAND_IN = {
    "citus.control": "default_version = '13.2'\nrelocatable = false\nschema = pg_catalog\n",
    "citus--13.2.sql": r"""
CREATE SCHEMA citus;
CREATE TABLE citus.pg_dist_partition (
    logicalrelid regclass NOT NULL PRIMARY KEY, partmethod "char", partkey text, colocationid integer NOT NULL,
    repmodel "char", number serial
);
ALTER TABLE citus.pg_dist_partition SET SCHEMA pg_catalog;
CREATE TABLE citus.pg_dist_node (
    nodeid serial PRIMARY KEY, groupid integer NOT NULL, nodename text NOT NULL, isactive boolean NOT NULL DEFAULT true,
    noderole text NOT NULL DEFAULT 'primary', shouldhaveshards boolean NOT NULL DEFAULT true
);
ALTER TABLE citus.pg_dist_node SET SCHEMA pg_catalog;
CREATE TABLE citus.pg_dist_object (
    classid oid NOT NULL, objid oid NOT NULL, distribution_argument_index integer, colocationid integer,
    force_delegation boolean, PRIMARY KEY (classid, objid)
);
ALTER TABLE citus.pg_dist_object SET SCHEMA pg_catalog;
CREATE FUNCTION create_reference_table(relation regclass) RETURNS void LANGUAGE sql AS $body$
    INSERT INTO pg_dist_partition VALUES (relation, 'n', NULL, 99, 't')
    ON CONFLICT (logicalrelid) DO UPDATE SET colocationid = 99, repmodel = 't'
$body$;
CREATE FUNCTION create_distributed_function(
    called regprocedure, argument text DEFAULT NULL, colocate_with text DEFAULT 'default',
    force_delegation boolean DEFAULT NULL
) RETURNS void LANGUAGE plpgsql AS $body$
DECLARE
    place integer := (SELECT colocationid FROM pg_dist_partition WHERE logicalrelid = to_regclass(colocate_with));
BEGIN
    IF current_setting('citus.multi_shard_modify_mode', true) IS DISTINCT FROM 'sequential' THEN
        RAISE 'cannot run function command because there was a parallel operation on a distributed table';
    END IF;
    IF argument IS NOT NULL AND (argument <> '$1' OR place IS NULL) THEN
        RAISE 'cannot colocate function "%"', called;
    END IF;
    INSERT INTO pg_dist_object VALUES (
        'pg_proc'::regclass, called, CASE WHEN argument IS NOT NULL THEN 0 END, place, force_delegation)
    ON CONFLICT (classid, objid) DO UPDATE SET
        distribution_argument_index = EXCLUDED.distribution_argument_index, colocationid = EXCLUDED.colocationid,
        force_delegation = EXCLUDED.force_delegation;
END $body$;
CREATE FUNCTION column_to_column_name(regclass, text) RETURNS text LANGUAGE sql AS 'SELECT $2';
CREATE FUNCTION create_distributed_table(
    relation regclass, distribution_column text, distribution_type text DEFAULT 'hash',
    colocate_with text DEFAULT 'default', shard_count integer DEFAULT NULL
) RETURNS void LANGUAGE plpgsql AS $body$
DECLARE
    key smallint := (SELECT attnum FROM pg_attribute WHERE attrelid = relation AND attname = distribution_column);
    place integer := CASE WHEN colocate_with = 'none'
        THEN (SELECT coalesce(max(colocationid), 0) + 1 FROM pg_dist_partition)
        ELSE (SELECT colocationid FROM pg_dist_partition WHERE logicalrelid = colocate_with::regclass) END;
BEGIN
    IF NOT (SELECT pg_has_role(relowner, 'USAGE') FROM pg_class WHERE oid = relation) THEN
        RAISE insufficient_privilege USING MESSAGE = format('must be owner of table %s', relation);
    END IF;
    IF EXISTS (SELECT FROM pg_dist_partition WHERE logicalrelid = relation) THEN
        RAISE 'table "%" is already distributed', relation;
    END IF;
    IF place IS NULL THEN
        RAISE 'relation % is not distributed', colocate_with;
    END IF;
    IF EXISTS (
        SELECT FROM pg_index WHERE indrelid = relation AND indisunique AND NOT key = ANY (indkey::smallint[])
    ) THEN
        RAISE 'cannot create constraint on "%"', relation
        USING DETAIL = 'Distributed relations cannot have UNIQUE constraints without the partition column.';
    END IF;
    IF EXISTS (SELECT FROM pg_trigger WHERE tgrelid = relation AND NOT tgisinternal) THEN
        RAISE 'cannot distribute relation "%" because it has triggers', relation;
    END IF;
    IF EXISTS (
        SELECT FROM pg_constraint LEFT JOIN pg_dist_partition ON logicalrelid = confrelid
        WHERE contype = 'f' AND conrelid = relation AND colocationid IS DISTINCT FROM place
    ) THEN
        RAISE 'cannot create foreign key constraint since relations are not colocated';
    END IF;
    INSERT INTO pg_dist_partition VALUES (relation, 'h', distribution_column, place, 's');
END $body$;
""",
}
FOUND = """
SELECT logicalrelid::text, partkey, colocationid FROM pg_dist_partition WHERE partmethod = 'h' ORDER BY number
"""
FUNCTIONS_FOUND = """
SELECT proname::text, distribution_argument_index, colocationid, force_delegation
FROM pg_dist_object JOIN pg_proc ON pg_proc.oid = objid ORDER BY proname
"""
AT_WORK = [("users", "id", 1), ("lists", "user_id", 1), ("tasks", "user_id", 1), ("idempotency_keys", "user_id", 1)]
ALONE = (
    "doable: there is no worker node, so one node holds all data; add nodes with citus_add_node, then move "
    "data to them with citus_rebalance_start."
)
PARTS = sorted(OF_NO_OWNER)  # these functions have no owner argument
# The functions of the previous release stay, beside those with the same name and more arguments.
OWNED = sorted(
    [
        *(name for name in FUNCTIONS if name not in PARTS),
        *("create_task", "update_task", "delete_tasks", "import_tasks", "import_once"),
    ]
)
NAMES = [
    *(f"{name} by {column}" for name, column, _ in AT_WORK),
    "aerich as a copy on each node",
    *(f"the function {name}" for name in PARTS),
    *(f"the function {name} by owner" for name in OWNED),
]
DONE = [f"doable: distributed {name}." for name in NAMES]
ALREADY = [f"doable: already distributed: {name}." for name in NAMES]


@pytest.fixture(scope="module")
async def url(make_database, starter) -> str:
    """A migrated database without distributed tables."""
    made = await make_database("distributed")
    with open(os.devnull, "wb") as nowhere:  # noqa: ASYNC230, PTH123 - no other task runs yet
        process = starter.start(
            ["-m", "service", "migrate"],
            cwd=ROOT,
            env={"DATABASE_URL": made, "PATH": ""},
            stdout=nowhere,
            stderr=nowhere,
        )
    assert process.wait() == 0
    return made


@pytest.fixture(scope="module")
async def opened(url) -> AsyncIterator[asyncpg.Connection]:
    """A connection for all tests."""
    connection = await asyncpg.connect(url)
    yield connection
    await connection.close()


@pytest.fixture
async def plain(opened) -> AsyncIterator[asyncpg.Connection]:
    """A connection to a database whose server does not have Citus."""
    yield opened
    await opened.execute("DROP EXTENSION IF EXISTS citus CASCADE")


@pytest.fixture
def extensions() -> Iterator[Path]:
    """A folder with the stand-in that the server can read, even as another user."""
    with tempfile.TemporaryDirectory(prefix="doable-citus-") as folder:
        Path(folder).chmod(0o755)
        Path(folder, "extension").mkdir()
        for file, text in STAND_IN.items():
            Path(folder, "extension", file).write_text(text)
        yield Path(folder)


@pytest.fixture
async def offered(plain, url, extensions) -> AsyncIterator[asyncpg.Connection]:
    """A connection to a database whose server has the stand-in, but without the extension."""
    if int(await plain.fetchval("SHOW server_version_num")) < 180000 or not (parse(url)["host"] or "/").startswith("/"):
        pytest.skip("NO STAND-IN FOR CITUS CAN BE OFFERED: that takes PostgreSQL 18, on this machine")
    name = parse(url)["database"]
    path = f"SET extension_control_path = '$system:{extensions}'"
    await plain.execute(f'{path}; ALTER DATABASE "{name}" {path}')  # for this session and for later ones
    yield plain
    await plain.execute(f'RESET extension_control_path; ALTER DATABASE "{name}" RESET extension_control_path')


@pytest.fixture
async def stand_in(offered) -> asyncpg.Connection:
    """A connection to a database with the stand-in as its extension."""
    await offered.execute("CREATE EXTENSION citus")
    return offered


@pytest.fixture
def distribute(launch, url) -> Callable[..., Awaitable[list[str]]]:
    """`await distribute("--dry-run")` runs the command and returns its output lines; with `fails`, its error."""

    async def run(*options: str, fails: bool = False, **variables: str) -> list[str]:
        process = launch([*DOABLE, "distribute", *options], **{"DATABASE_URL": url, **variables})
        assert await process.exit_code() == int(fails), process.stderr
        if not fails:
            assert process.stderr == ""
            return process.stdout.splitlines()
        assert re.fullmatch(r"doable: [A-Z].*\.\n", process.stderr), "one sentence, on one line"
        return [*process.stdout.splitlines(), process.stderr.removeprefix("doable: ").rstrip("\n")]

    return run


async def distributed(connection: asyncpg.Connection) -> list[tuple]:
    return [tuple(row) for row in await connection.fetch(FOUND)]


async def test_every_table_but_aerichs_own_has_a_line_and_its_column(plain):
    rows = await plain.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'aerich'")
    assert {table for (table,) in rows} == {table.name for table in distribution.TABLES}
    for table in distribution.TABLES:
        assert await plain.fetchval("SELECT count(*) FROM pg_attribute WHERE attrelid = $1::regclass AND attname = $2",
                                    table.name, table.column) == 1  # fmt: skip


def test_the_way_back_copies_every_table_in_an_order_that_foreign_keys_allow():
    page = (Path(__file__).parents[2] / "docs" / "how-to" / "outgrow-one-database.md").read_text()
    copied = re.search(r"for table in (.+); do", page)[1]
    assert re.sub(r" \([^)]*\)|'", "", copied) == " ".join(table.name for table in distribution.TABLES)


async def test_users_are_distributed_by_id_and_their_rows_and_functions_beside_them_once_on_the_stand_in(
    stand_in, distribute
):
    assert await distribute() == [*DONE, ALONE]
    assert await distributed(stand_in) == AT_WORK
    placed = sorted([*((name, None, None, None) for name in PARTS), *((name, 0, 1, True) for name in OWNED)])
    assert [tuple(row) for row in await stand_in.fetch(FUNCTIONS_FOUND)] == placed

    assert await distribute() == [*ALREADY, ALONE]
    assert await distribute("--dry-run") == [*ALREADY, ALONE]
    assert await distributed(stand_in) == AT_WORK

    # A function that a migration made. As in Citus, it exists on every node, but its calls are not sent to a node.
    found = "objid IN ('erase_owner'::regproc, 'task_document'::regproc)"
    await stand_in.execute("UPDATE pg_dist_object SET distribution_argument_index = NULL, colocationid = NULL, "
                           f"force_delegation = NULL WHERE {found}")  # fmt: skip
    lines = await distribute()
    assert [line for line in lines if line not in ALREADY] == [
        "doable: distributed the function erase_owner by owner.",
        ALONE,
    ]
    assert [tuple(row) for row in await stand_in.fetch(FUNCTIONS_FOUND)] == placed


async def test_a_table_that_came_later_joins_the_others_on_the_stand_in(stand_in, distribute):
    await stand_in.execute("SELECT create_distributed_table('users', 'id', colocate_with => 'none')")
    assert await distribute() == [ALREADY[0], *DONE[1:], ALONE]
    assert await distributed(stand_in) == AT_WORK


async def test_a_dry_run_prints_the_statements_and_runs_none_on_the_stand_in(stand_in, distribute):
    lines = await distribute("--dry-run")
    assert lines[:5] == [
        "doable: would run SELECT create_distributed_table('users', 'id', colocate_with => 'none')",
        "doable: would run SELECT create_distributed_table('lists', 'user_id', colocate_with => 'users')",
        "doable: would run SELECT create_distributed_table('tasks', 'user_id', colocate_with => 'users')",
        "doable: would run SELECT create_distributed_table('idempotency_keys', 'user_id', colocate_with => 'users')",
        "doable: would run SELECT create_reference_table('aerich')",
    ]
    assert "doable: would run SELECT create_distributed_function('list_document(lists)')" in lines
    assert (
        "doable: would run SELECT create_distributed_function('erase_owner(text)', '$1', colocate_with => 'users', "
        "force_delegation => true)"
    ) in lines
    assert (len(lines), lines[-1]) == (5 + len(PARTS) + len(OWNED) + 1, ALONE)
    assert await distributed(stand_in) == []
    assert await stand_in.fetch(FUNCTIONS_FOUND) == []


async def test_distribute_prints_the_number_of_worker_nodes_on_the_stand_in(stand_in, distribute):
    for group, (name, active, shards) in enumerate(
        [("coordinator", True, True), ("a", True, True), ("b", True, True), ("away", False, True), ("c", True, False)]
    ):
        await stand_in.execute("INSERT INTO pg_dist_node (groupid, nodename, isactive, shouldhaveshards) "
                               "VALUES ($1, $2, $3, $4)", group, name, active, shards)  # fmt: skip
    assert await distribute() == [*DONE, "doable: 2 worker nodes can store these tables."]
    await stand_in.execute("UPDATE pg_dist_node SET isactive = false WHERE nodename = 'a'")
    assert (await distribute())[-1] == "doable: 1 worker node can store these tables."


async def test_a_server_without_citus_gets_an_error_that_says_so(plain, distribute):
    assert await distribute(fails=True) == [distribution.NOT_OFFERED]
    assert await distribute("--dry-run", fails=True) == [distribution.NOT_OFFERED]


async def test_a_database_without_the_extension_gets_an_error_that_says_so(offered, distribute):
    assert await distribute(fails=True) == [distribution.NOT_CREATED]
    assert await offered.fetchval("SELECT count(*) FROM pg_extension WHERE extname = 'citus'") == 0


async def test_a_schema_that_is_behind_is_migrated_first_on_the_stand_in(stand_in, distribute):
    transaction = "UPDATE aerich SET app = $2 WHERE app = $1"
    await stand_in.execute(transaction, "service", "elsewhere")
    sentence = distribution.BEHIND.format("no migration", migrations.newest())
    try:
        assert await distribute(fails=True) == [sentence]
    finally:
        await stand_in.execute(transaction, "elsewhere", "service")
    assert await distributed(stand_in) == []


async def test_a_schema_of_a_later_release_is_left_to_that_release_on_the_stand_in(stand_in, distribute):
    later = "999_20991231000000_later.py"
    await stand_in.execute("INSERT INTO aerich (version, app, content) VALUES ($1, 'service', '{}')", later)
    try:
        assert await distribute(fails=True) == [distribution.AHEAD.format(later)]
    finally:
        await stand_in.execute("DELETE FROM aerich WHERE version = $1", later)
    assert await distributed(stand_in) == []


OTHERWISE = {
    "without users": "INSERT INTO pg_dist_partition VALUES ('tasks', 'h', 'user_id', 1, 's')",
    "by another column": (
        "INSERT INTO pg_dist_partition VALUES ('users', 'h', 'id', 1, 's'), ('tasks', 'h', 'id', 1, 's')"
    ),
    "in another group": (
        "INSERT INTO pg_dist_partition VALUES ('users', 'h', 'id', 1, 's'), ('tasks', 'h', 'user_id', 2, 's')"
    ),
    "as a reference table": (
        "INSERT INTO pg_dist_partition VALUES ('users', 'h', 'id', 1, 's'), ('tasks', 'n', NULL, 2, 't')"
    ),
}


async def test_a_table_with_another_distribution_is_refused_and_not_changed_on_the_stand_in(
    stand_in, distribute, subtests
):
    for how, statement in OTHERWISE.items():
        with subtests.test(how):
            await stand_in.execute("DELETE FROM pg_dist_partition")
            await stand_in.execute(statement)
            before = await distributed(stand_in)
            assert await distribute(fails=True) == [distribution.OTHERWISE.format("tasks", "user_id", "users")]
            assert await distributed(stand_in) == before


async def test_a_table_that_is_only_registered_in_citus_is_distributed_at_the_url_of_migrations_on_the_stand_in(
    stand_in, distribute, url
):
    await stand_in.execute("INSERT INTO pg_dist_partition VALUES ('aerich', 'n', NULL, 0, 's')")
    nowhere = "postgres://ada@127.0.0.1:1/tasks"
    assert await distribute(DATABASE_URL=nowhere, MIGRATIONS_DATABASE_URL=url) == [*DONE, ALONE]
    assert await distributed(stand_in) == AT_WORK


async def test_when_one_table_is_refused_none_is_distributed_on_the_stand_in(stand_in, distribute):
    await stand_in.execute("CREATE UNIQUE INDEX in_the_way ON tasks (title)")
    try:
        logged, sentence = await distribute(fails=True, LOG_FORMAT="text")
    finally:
        await stand_in.execute("DROP INDEX in_the_way")
    assert r'reason="cannot create constraint on \"tasks\""' in logged
    assert "cannot have UNIQUE constraints without the partition column" in logged
    assert sentence == distribution.REFUSED.format("tasks by user_id")
    assert await distributed(stand_in) == []


async def test_the_wait_for_a_table_in_use_is_limited_on_the_stand_in(stand_in, distribute, url):
    busy = await asyncpg.connect(url)
    async with busy.transaction():
        await busy.execute("LOCK TABLE tasks IN ROW EXCLUSIVE MODE")
        sentence = distribution.BUSY.format("users, lists, tasks, idempotency_keys")
        assert await distribute(fails=True, MIGRATION_LOCK_TIMEOUT="0.2") == [sentence]
    await busy.close()
    assert await distributed(stand_in) == []


async def test_distribute_waits_for_a_release_that_migrates_on_the_stand_in(stand_in, launch, url, eventually):
    waiting = (
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
        "AND state = 'idle' AND query = 'COMMIT;'"
    )
    keeper = await asyncpg.connect(url)
    async with keeper.transaction():
        await keeper.execute(f"SELECT pg_advisory_xact_lock({migrations.LOCK})")
        processes = [launch([*DOABLE, "distribute"], DATABASE_URL=url) for _ in range(2)]

        async def both_wait() -> bool:
            return await stand_in.fetchval(waiting) == 2

        await eventually(both_wait)
        assert await distributed(stand_in) == []
    await keeper.close()
    assert [await process.exit_code() for process in processes] == [0, 0], processes[0].stderr
    assert sorted(process.stdout.splitlines()[0] for process in processes) == [ALREADY[0], DONE[0]]
    assert await distributed(stand_in) == AT_WORK


async def test_a_role_that_does_not_own_the_tables_gets_an_error_on_the_stand_in(stand_in, distribute, url):
    found, role = parse(url), f"doable_guest_{os.getpid()}"
    theirs = f"postgres://{role}:visiting@:{found['port']}/{found['database']}?host={found['host']}"
    await stand_in.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'visiting'; "
                           f"GRANT SELECT, UPDATE ON ALL TABLES IN SCHEMA public, pg_catalog TO {role}")  # fmt: skip
    try:
        assert await distribute(fails=True, DATABASE_URL=theirs) == [migrations.FORBIDDEN]
    finally:
        await stand_in.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")
    assert await distributed(stand_in) == []


async def test_an_unreachable_database_is_reported_in_one_sentence(launch):
    process = launch([*DOABLE, "distribute"], DATABASE_URL="postgres://ada:pass-word@127.0.0.1:1/tasks")
    assert await process.exit_code() == 1
    assert re.fullmatch(r"doable: the database cannot be reached.*\.\n", process.stderr)
    assert "pass-word" not in process.stderr
