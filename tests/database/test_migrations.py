"""Migrations: from an empty database to the newest schema, once for any number of concurrent releases, and back.

They run in their own processes, as `doable migrate` does, because aerich closes the connections of its process.
"""

from __future__ import annotations

import asyncio
import json
import os
import runpy
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import asyncpg
import pytest

from service.config import Settings
from service.database import credentials, functions, migrations
from service.database.client import FairClient
from service.database.uids import new_uid
from service.database.url import parse
from service.idempotency.models import IdempotencyKey
from service.lists.models import List
from service.tasks import writes as user_tasks
from service.tasks.models import Task
from service.users.models import User

VERSIONS = sorted(path.name for path in (migrations.SOURCE / "service").glob("[0-9]*_*.py"))
MIGRATE = """
import asyncio, os
from service.config import Settings
from service.database import migrations
print(*asyncio.run(migrations.migrate(Settings.from_environ(os.environ))))
"""
DRIFT = """
import asyncio
from tortoise import fields
from service.database import migrations
from service.tasks.models import Task
{change}
print(*asyncio.run(migrations.drift()), sep="\\n")
"""
DOWN = """
import asyncio, os
from aerich import Command
from aerich.models import Aerich
from service.config import Settings
from service.database import APP, credentials, migrations, orm_config

async def down():
    settings = Settings.from_environ(os.environ)
    found = credentials(settings, settings.require_database())
    async with Command(orm_config(found), app=APP, location=str(migrations.folder())) as command:
        await command.init()
        while await Aerich.exists(app=APP):
            print(*await command.downgrade(version=-1, delete=False))

asyncio.run(down())
"""
CONSTRAINTS = {
    "idempotency_keys_pkey": "PRIMARY KEY (user_id, route, key)",
    "idempotency_keys_user_id_fkey": "FOREIGN KEY (user_id) REFERENCES users(id) ON DELETE CASCADE",
    "lists_pkey": "PRIMARY KEY (user_id, id)",
    "lists_uid": "UNIQUE (user_id, uid)",
    "lists_user_id_fkey": "FOREIGN KEY (user_id) REFERENCES users(id) ON DELETE CASCADE",
    "tasks_check": "CHECK (((due_date IS NULL) OR (due_at IS NULL)))",
    "tasks_pkey": "PRIMARY KEY (user_id, id)",
    "tasks_uid": "UNIQUE (user_id, uid)",
    "tasks_user_id_fkey": "FOREIGN KEY (user_id) REFERENCES users(id) ON DELETE CASCADE",
    "users_pkey": "PRIMARY KEY (id)",
}
INDEXES = {
    "idempotency_keys_age": "INDEX (user_id, created_at)",
    "idempotency_keys_pkey": "UNIQUE INDEX (user_id, route, key)",
    "lists_pkey": "UNIQUE INDEX (user_id, id)",
    "lists_trash": "INDEX (user_id, deleted_at, id) WHERE (deleted_at IS NOT NULL)",
    "lists_uid": "UNIQUE INDEX (user_id, uid)",
    "tasks_children": "INDEX (user_id, parent_id) WHERE (parent_id IS NOT NULL)",
    "tasks_pkey": "UNIQUE INDEX (user_id, id)",
    "tasks_trash": "INDEX (user_id, deleted_at, id) WHERE (deleted_at IS NOT NULL)",
    "tasks_uid": "UNIQUE INDEX (user_id, uid)",
    "users_erased": "INDEX (id) WHERE (erased > 0)",
    "users_pkey": "UNIQUE INDEX (id)",
}
EMPTY = {"constraints": {}, "indexes": {}, "columns": set(), "functions": [], "applied": []}


async def schema(url: str) -> dict:
    """Return the schema of a database, without aerich's table."""
    connection = await asyncpg.connect(url)
    try:
        constraints = await connection.fetch(
            "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE connamespace = 'public'::regnamespace "
            "AND contype IN ('p', 'u', 'f', 'c', 'x') AND conrelid::regclass::text <> 'aerich'"
        )
        indexes = await connection.fetch(
            r"SELECT indexname, regexp_replace(indexdef, '^CREATE (.*INDEX) .* USING btree ', '\1 ') FROM pg_indexes "
            "WHERE schemaname = 'public' AND tablename <> 'aerich'"
        )
        columns = await connection.fetch(
            "SELECT table_name, column_name, is_nullable = 'YES' FROM information_schema.columns "
            "WHERE table_schema = 'public' AND table_name <> 'aerich'"
        )
        functions = await connection.fetch(
            "SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace ORDER BY proname"
        )
        migrated = await connection.fetchval("SELECT to_regclass('aerich') IS NOT NULL")
        applied = await connection.fetch("SELECT version FROM aerich ORDER BY id") if migrated else []
    finally:
        await connection.close()
    return {
        "constraints": dict(constraints),
        "indexes": dict(indexes),
        "columns": set(map(tuple, columns)),
        "functions": [name for (name,) in functions],
        "applied": [version for (version,) in applied],
    }


@pytest.fixture
def python(launch) -> Callable[..., Awaitable[list[str]]]:
    """Return a function that runs a program successfully and returns its output lines."""

    async def run(program: str, **environment: str) -> list[str]:
        process = launch([sys.executable, "-W", "error", "-c", program], **environment)
        assert await process.exit_code() == 0, process.stderr
        return process.stdout.splitlines()

    return run


@pytest.fixture
async def newest(settings) -> dict:
    return await schema(settings.database_url)


async def test_migrating_an_empty_database_twice_gives_the_newest_schema_once(make_database, python, newest):
    url = await make_database("migrated")
    assert await schema(url) == EMPTY
    assert await python(MIGRATE, DATABASE_URL=url) == [" ".join(VERSIONS)]
    assert await schema(url) == newest
    assert newest["applied"] == VERSIONS
    assert await python(MIGRATE, DATABASE_URL=url) == [""], "there is nothing left to do"
    assert await schema(url) == newest


async def test_a_new_database_has_no_dropped_columns_which_would_make_writes_dearer(settings):
    connection = await asyncpg.connect(settings.database_url)
    assert await connection.fetch("SELECT attrelid::regclass, attnum FROM pg_attribute WHERE attisdropped") == []
    await connection.close()


async def test_releases_that_migrate_at_once_apply_everything_once(make_database, launch, eventually, newest):
    url, releases = await make_database("contended"), 3
    keeper = await asyncpg.connect(url)
    # Between two tries they are in no transaction, because CREATE INDEX CONCURRENTLY may wait for the end of one.
    waiting = (
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
        "AND state = 'idle' AND query = 'COMMIT;'"
    )
    async with keeper.transaction():  # while this test holds the lock, all of them proceed up to the lock
        await keeper.execute(f"SELECT pg_advisory_xact_lock({migrations.LOCK})")
        processes = [launch([sys.executable, "-W", "error", "-c", MIGRATE], DATABASE_URL=url) for _ in range(releases)]
        watcher = await asyncpg.connect(url)

        async def all_wait() -> bool:
            return await watcher.fetchval(waiting) == releases

        await eventually(all_wait)
        assert await watcher.fetchval("SELECT to_regclass('tasks') IS NULL")
        await watcher.close()
    await keeper.close()
    assert [await process.exit_code() for process in processes] == [0] * releases, processes[0].stderr
    assert sorted(process.stdout.strip() for process in processes) == [""] * (releases - 1) + [" ".join(VERSIONS)]
    assert await schema(url) == newest


async def test_migrations_use_their_own_url_and_can_be_reverted_and_applied_again(make_database, python, newest):
    url = await make_database("reverted")
    nowhere = "postgres://ada@127.0.0.1:1/tasks"
    assert await python(MIGRATE, DATABASE_URL=nowhere, MIGRATIONS_DATABASE_URL=url) == [" ".join(VERSIONS)]
    assert await python(DOWN, DATABASE_URL=url) == VERSIONS[::-1]
    assert await schema(url) == EMPTY
    assert await python(MIGRATE, DATABASE_URL=url) == [" ".join(VERSIONS)]
    assert await schema(url) == newest


async def test_a_database_of_an_unreleased_version_is_refused_with_a_solution(make_database, launch):
    url = await make_database("unreleased")
    connection = await asyncpg.connect(url)
    await connection.execute(
        "CREATE TABLE aerich (id serial PRIMARY KEY, version text, app text, content jsonb);"
        "INSERT INTO aerich (version, app, content) VALUES ('0_20261121000000_init.py', 'service', '{}')"
    )
    before = await schema(url)
    process = launch([sys.executable, "-m", "service", "migrate"], DATABASE_URL=url)
    assert await process.exit_code() == 1
    assert process.stderr == f"doable: {migrations.ANOTHER_HISTORY.format('0_20261121000000_init.py')}\n"
    assert "delete the folder .data" in process.stderr
    assert await schema(url) == before
    await connection.close()


async def test_functions_are_compared_with_their_files_unless_a_later_release_has_migrated(
    make_database, python, launch
):
    url = await make_database("later")
    await python(MIGRATE, DATABASE_URL=url)
    connection = await asyncpg.connect(url)
    await connection.execute(
        "INSERT INTO aerich (version, app, content) VALUES ('9_20270101000000_later.py', 'service', '{}');"
        "CREATE FUNCTION create_task_2(owner text) RETURNS void LANGUAGE sql AS ''"
    )
    assert await python(MIGRATE, DATABASE_URL=url) == [""]
    await connection.execute("DROP FUNCTION purge_trash")
    assert await python(MIGRATE, DATABASE_URL=url) == [""], "the later release may have another one"
    await connection.execute("DELETE FROM aerich WHERE version LIKE '9_%'; DROP FUNCTION create_task_2")
    process = launch([sys.executable, "-m", "service", "migrate"], DATABASE_URL=url)
    assert await process.exit_code() == 1
    assert process.stderr == f"doable: {migrations.OTHER_FUNCTIONS.format('purge_trash is missing')}\n"
    await connection.close()


async def test_a_migration_that_fails_leaves_the_database_as_it_was(make_database, launch):
    url = await make_database("obstructed")
    connection = await asyncpg.connect(url)
    await connection.execute("CREATE TABLE tasks (in_the_way boolean)")
    await connection.close()
    before = await schema(url)
    process = launch([sys.executable, "-W", "error", "-c", MIGRATE], DATABASE_URL=url)
    assert await process.exit_code() == 1
    assert 'relation "tasks" already exists' in process.stderr
    assert await schema(url) == before


LOCKED = """
import asyncio, os, pathlib
from service.config import Settings
from service.database import migrations
migrations.SOURCE = pathlib.Path(os.environ["FOLDER"])
migrations.PAUSES = (0.1, 0.1)
print(*asyncio.run(migrations.migrate(Settings.from_environ(os.environ))))
"""
EXCLUSIVE = """
RUN_IN_TRANSACTION = True

async def upgrade(db):
    return "ALTER TABLE tasks ADD COLUMN flavour text"

async def downgrade(db):
    return "ALTER TABLE tasks DROP COLUMN flavour"

"""


@pytest.fixture
async def with_exclusive_migration(make_database, python, tmp_path) -> dict[str, str]:
    """The environment of a release whose next migration needs an exclusive lock on `tasks`."""
    url = await make_database("locked")
    await python(MIGRATE, DATABASE_URL=url)
    shutil.copytree(migrations.SOURCE / "service", tmp_path / "aerich" / "service")
    text = (migrations.SOURCE / "service" / VERSIONS[-1]).read_text()
    state = text[text.index("MODELS_STATE") :]
    (tmp_path / "aerich" / "service" / "999_20261231000000_flavour.py").write_text(EXCLUSIVE + state)
    return {"DATABASE_URL": url, "FOLDER": str(tmp_path / "aerich"), "MIGRATION_LOCK_TIMEOUT": "0.3"}


FIELD = """
RUN_IN_TRANSACTION = True

async def upgrade(db):
    return r'''
ALTER TABLE tasks ADD COLUMN flavour varchar(20), ADD COLUMN place text NOT NULL DEFAULT 'a0';
-- What was kept is without the new member; a column that is dropped and added is empty, and no row is written for it.
DO $$ BEGIN
    IF EXISTS (SELECT FROM tasks) THEN
        ALTER TABLE tasks DROP COLUMN document, ADD COLUMN document text;
    END IF;
END $$;
{document}
{create}
'''

async def downgrade(db):
    return "SELECT 1"

"""
RELEASE = """
import asyncio, os, pathlib
from service.config import Settings
from service.database import migrations
from service.database import functions
migrations.SOURCE = pathlib.Path(os.environ["FOLDER"])
functions.FILES = {path.stem: path for path in pathlib.Path(os.environ["SQL"]).glob("*.sql")}
functions.FUNCTIONS = [*functions.FILES]
functions.source.cache_clear()
functions.body.cache_clear()
print(*asyncio.run(migrations.migrate(Settings.from_environ(os.environ))))
"""
OLD = ("ada", None, None, 10_000, "Old", "old", None, None, False, 0, (), (), None, None)  # without a uid
NEW = (*OLD, False, None)


@pytest.fixture
async def next_release(make_database, python, tmp_path) -> dict[str, str]:
    """The environment of a release that adds the field `flavour`, with a second version of `create_task`."""
    url = await make_database("field")
    await python(MIGRATE, DATABASE_URL=url)
    shutil.copytree(migrations.SOURCE / "service", tmp_path / "aerich" / "service")
    (tmp_path / "sql").mkdir()
    for file in functions.FILES.values():
        shutil.copy(file, tmp_path / "sql")
    document = functions.source("task_document").replace('"version" : %s,', '"version" : %s, "flavour" : %s,')
    document = document.replace(
        "    task.version,\n", "    task.version,\n    coalesce(to_json(task.flavour)::text, 'null'),\n"
    )
    (tmp_path / "sql" / "task_document.sql").write_text(document)
    create = functions.source("create_task").replace(",\n    OUT outcome", ", flavour text,\n    OUT outcome")
    create = create.replace("task.version := task.id;", "task.version := task.id;\n    task.flavour := flavour;")
    (tmp_path / "sql" / "create_task.sql").write_text(create)
    state = (migrations.SOURCE / "service" / VERSIONS[-1]).read_text()
    text = FIELD.format(document=document.replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION"), create=create)
    (tmp_path / "aerich" / "service" / "999_20261231000000_flavour.py").write_text(
        text + state[state.index("MODELS_STATE") :]
    )
    return {"DATABASE_URL": url, "FOLDER": str(tmp_path / "aerich"), "SQL": str(tmp_path / "sql")}


async def test_a_field_is_added_while_the_old_release_reads_and_writes_and_no_row_is_rewritten(
    next_release, launch, eventually
):
    """The old release keeps its functions; all documents that it reads or writes now have the new field."""
    connection = await asyncpg.connect(next_release["DATABASE_URL"])
    for _ in range(60):
        await connection.fetchrow(user_tasks.CREATE, *NEW[:4], new_uid(), *NEW[4:])
    kept = "SELECT count(*) FROM tasks WHERE document IS NOT NULL"
    assert await connection.fetchval(kept) == 60
    file = await connection.fetchval("SELECT pg_relation_filenode('tasks')")
    done, stop = [0] * 4, asyncio.Event()
    find = f"SELECT {functions.DOCUMENT} AS document FROM tasks WHERE user_id = $1 AND id = $2"

    async def old_release(number: int) -> None:
        own = await asyncpg.connect(next_release["DATABASE_URL"])
        while not stop.is_set():
            made = await own.fetchrow(user_tasks.CREATE, f"user-{number}", *NEW[1:4], new_uid(), *NEW[4:])
            values = [f"user-{number}", None, None, made["task_id"], None, None, None]
            row = await own.fetchrow(user_tasks.COMPLETE[int], *values)
            assert json.loads(row["document"])["completed"] is True
            read = await own.fetchrow(find, f"user-{number}", made["task_id"])
            assert json.loads(read["document"])["title"] == "Old"
            done[number] += 1
        await own.close()

    working = [asyncio.create_task(old_release(number)) for number in range(4)]
    await eventually(lambda: min(done) > 5)
    process = launch([sys.executable, "-W", "error", "-c", RELEASE], **next_release)
    assert await process.exit_code() == 0, process.stderr
    assert process.stdout.strip() == "999_20261231000000_flavour.py"
    before = min(done)
    await eventually(lambda: min(done) > before + 5)
    stop.set()
    await asyncio.gather(*working)
    assert await connection.fetchval("SELECT pg_relation_filenode('tasks')") == file, "the table was written anew"
    assert await connection.fetchval(f"{kept} AND user_id = 'ada'") == 0, "what lacked the field is built at read"
    built = await connection.fetchval("SELECT task_document(tasks) FROM tasks WHERE user_id = 'ada' AND id = 1")
    assert json.loads(built)["flavour"] is None
    assert await connection.fetchval(f"{kept} AND document NOT LIKE '%flavour%'") == 0, "the old release writes it too"
    row = await connection.fetchrow(
        functions.call("create_task", len(NEW) + 2), *NEW[:4], new_uid(), *NEW[4:], "green"
    )  # fmt: skip
    assert json.loads(row["document"])["flavour"] == "green"
    await connection.close()


@pytest.fixture
async def previous_release(make_database, python, tmp_path) -> str:
    """The URL of a database with the first migration only."""
    url = await make_database("previous")
    shutil.copytree(migrations.SOURCE / "service", tmp_path / "aerich" / "service")
    for version in VERSIONS[1:]:
        (tmp_path / "aerich" / "service" / version).unlink()
    first = runpy.run_path(str(migrations.SOURCE / "service" / VERSIONS[0]))
    (tmp_path / "sql").mkdir()
    for name in first["FUNCTIONS"]:
        text = functions.sources([name], replaced=migrations.SOURCE / "service" / "0_functions.sql")
        (tmp_path / "sql" / f"{name}.sql").write_text(text)
    await python(RELEASE, DATABASE_URL=url, FOLDER=str(tmp_path / "aerich"), SQL=str(tmp_path / "sql"))
    return url


async def test_lists_and_subtasks_arrive_while_the_previous_release_serves_and_keep_their_rules_there(
    previous_release, launch, eventually
):
    create, update = functions.call("create_task", 15), functions.call("update_task", 19)
    connection = await asyncpg.connect(previous_release)
    for _ in range(60):
        await connection.fetchrow(create, *OLD[:4], new_uid(), *OLD[4:])
    file = await connection.fetchval("SELECT pg_relation_filenode('tasks')")
    done, stop = [0] * 4, asyncio.Event()

    async def old_release(number: int) -> None:
        own = await asyncpg.connect(previous_release)
        while not stop.is_set():
            owner = (f"user-{number}", None, None)
            made = await own.fetchrow(create, *owner, OLD[3], new_uid(), *OLD[4:])
            await own.fetchrow(update, *owner, made["task_id"], None, None, "New", "new", *[None] * 11)
            row = await own.fetchrow(user_tasks.COMPLETE[int], *owner, made["task_id"], None, None, None)
            assert (json.loads(row["document"])["title"], json.loads(row["document"])["completed"]) == ("New", True)
            await own.fetchrow(user_tasks.DELETE[int], *owner, made["task_id"], None, None, 10_000)
            await own.fetchrow(user_tasks.RESTORE[int], *owner, made["task_id"], 10_000)
            done[number] += 1
        await own.close()

    working = [asyncio.create_task(old_release(number)) for number in range(4)]
    await eventually(lambda: min(done) > 3)
    process = launch([sys.executable, "-W", "error", "-c", MIGRATE], DATABASE_URL=previous_release)
    assert await process.exit_code() == 0, process.stderr
    assert process.stdout.split() == VERSIONS[1:]
    before = min(done)
    await eventually(lambda: min(done) > before + 3)
    stop.set()
    await asyncio.gather(*working)
    assert await connection.fetchval("SELECT pg_relation_filenode('tasks')") == file, "the table was rewritten"
    outdated = "SELECT count(*) FROM tasks WHERE document NOT LIKE '%next_due%'"
    assert await connection.fetchval(outdated) == 0, "the stored JSON of the previous release is gone"
    owner = ("ada", None, None)
    child = await connection.fetchrow(user_tasks.CREATE, *NEW[:4], new_uid(), *NEW[4:-1], [None, "5", None, None])
    assert json.loads(child["document"])["parent_id"] == 5
    row = await connection.fetchrow(update, *owner, 5, None, None, *[None] * 5, *[True], *[None] * 7)
    assert json.loads(row["document"])["completed"] is True
    completed = "SELECT completed FROM tasks WHERE user_id = 'ada' AND id = $1"
    assert await connection.fetchval(completed, child["task_id"]), "the old release completes subtasks too"
    await connection.execute(
        "INSERT INTO lists (user_id, id, uid, name, archived, created_at, updated_at, version) "
        "VALUES ('ada', 1000, gen_random_uuid(), 'Archived', true, now(), now(), 1000); "
        "UPDATE tasks SET list_id = 1000 WHERE user_id = 'ada' AND id <= 4"
    )
    row = await connection.fetchrow(functions.call("delete_tasks", 5), *owner, None, 10_000)
    live = await connection.fetch("SELECT id FROM tasks WHERE user_id = 'ada' AND deleted_at IS NULL ORDER BY id")
    assert (row["deleted"], [id_ for (id_,) in live]) == (57, [1, 2, 3, 4]), "it leaves archived lists alone"
    await connection.close()


async def test_a_migration_that_needs_a_table_gives_up_behind_a_long_transaction_or_gets_it_at_its_end(
    with_exclusive_migration, launch, eventually
):
    url = with_exclusive_migration["DATABASE_URL"]
    long, reader = await asyncpg.connect(url), await asyncpg.connect(url)
    async with long.transaction():
        await long.fetch("SELECT count(*) FROM tasks")
        process = launch([sys.executable, "-W", "error", "-c", LOCKED], **with_exclusive_migration)
        while process.process.poll() is None:
            # A reader that waits behind the migration waits for 0.3 seconds. Without that limit it would wait for the
            # end of the long transaction.
            await reader.fetch("SELECT count(*) FROM tasks", timeout=20)
            await asyncio.sleep(0.01)
    assert "could not lock a table in 3 tries of 0.3 seconds" in process.stderr
    assert "The migration was rolled back." in process.stderr
    assert await reader.fetchval("SELECT count(*) FROM aerich") == len(VERSIONS)

    async with long.transaction():
        await long.fetch("SELECT count(*) FROM tasks")
        process = launch([sys.executable, "-W", "error", "-c", LOCKED], **with_exclusive_migration)
        await eventually(lambda: "could not lock its table" in process.stderr)
    assert await process.exit_code() == 0, process.stderr
    assert process.stdout.strip() == "999_20261231000000_flavour.py"
    await long.close()
    await reader.close()


BOTH = EXCLUSIVE.replace("ALTER TABLE tasks ADD", "LOCK TABLE users; ALTER TABLE tasks ADD")


async def test_a_migration_is_repeated_after_a_deadlock_with_a_request(with_exclusive_migration, launch, eventually):
    file = Path(with_exclusive_migration["FOLDER"]) / "service" / "999_20261231000000_flavour.py"
    file.write_text(file.read_text().replace(EXCLUSIVE, BOTH))
    request, watcher = [await asyncpg.connect(with_exclusive_migration["DATABASE_URL"]) for _ in range(2)]
    await request.execute("SET deadlock_timeout = '1min'")  # so that the migration is the victim
    waits = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'tasks'::regclass"

    async def waits_for_tasks() -> bool:
        return await watcher.fetchval(waits) == 1

    environment = {**with_exclusive_migration, "MIGRATION_LOCK_TIMEOUT": "30"}
    async with request.transaction():
        await request.fetch("SELECT count(*) FROM tasks")
        process = launch([sys.executable, "-W", "error", "-c", LOCKED], **environment)
        await eventually(waits_for_tasks)
        await request.fetch("SELECT count(*) FROM users")  # returns when the deadlock has ended the migration
    assert await process.exit_code() == 0, process.stderr
    assert "could not lock its table" in process.stderr
    assert process.stdout.strip() == "999_20261231000000_flavour.py"
    await request.close()
    await watcher.close()


LIMITS = ["idle_in_transaction_session_timeout", "lock_timeout", "statement_timeout", "transaction_timeout"]
NOTE = f"CREATE TABLE noted_{{}} AS SELECT name, setting FROM pg_settings WHERE name = ANY (ARRAY{LIMITS})"
NOTING = f"""
RUN_IN_TRANSACTION = {{in_transaction}}

async def upgrade(db):
    await db.execute_script({NOTE.format("first")!r})
    return {NOTE.format("second")!r}

async def downgrade(db):
    return "DROP TABLE noted_first, noted_second"

"""
CONCURRENT = """
RUN_IN_TRANSACTION = False

async def upgrade(db):
    return "CREATE INDEX CONCURRENTLY tasks_flavour ON tasks (user_id, title)"

async def downgrade(db):
    return "DROP INDEX tasks_flavour"

"""


async def limit(connection: asyncpg.Connection, milliseconds: int) -> None:
    """Let the database limit the time of new sessions. PostgreSQL 16 has no transaction_timeout."""
    database = await connection.fetchval("SELECT current_database()")
    for name in await connection.fetch("SELECT name FROM pg_settings WHERE name = ANY ($1)", LIMITS):
        await connection.execute(f'ALTER DATABASE "{database}" SET {name["name"]} = {milliseconds}')


async def test_no_time_limit_of_the_database_applies_to_a_migration(with_exclusive_migration, launch):
    file = Path(with_exclusive_migration["FOLDER"]) / "service" / "999_20261231000000_flavour.py"
    text = file.read_text()
    for number, in_transaction in ((998, True), (999, False)):
        noting = NOTING.format(in_transaction=in_transaction).replace("noted_", f"noted_{number}_")
        file.with_name(f"{number}_20261231000000_flavour.py").write_text(text.replace(EXCLUSIVE, noting))
    connection = await asyncpg.connect(with_exclusive_migration["DATABASE_URL"])
    await limit(connection, 600_000)
    process = launch([sys.executable, "-W", "error", "-c", LOCKED], **with_exclusive_migration)
    assert await process.exit_code() == 0, process.stderr
    for table in ("noted_998_first", "noted_998_second", "noted_999_first", "noted_999_second"):
        noted = dict(await connection.fetch(f"SELECT name, setting FROM {table}"))
        waits = "300" if "998" in table else "0"  # MIGRATION_LOCK_TIMEOUT
        assert noted == {name: waits if name == "lock_timeout" else "0" for name in noted}
        assert len(noted) >= 3
    await connection.close()


OUTLASTED = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND application_name = 'doable' AND state IN ('active', 'idle in transaction')
  AND now() - state_change > interval '1200 ms'
"""


async def test_a_migration_and_its_lock_outlast_the_time_limits_of_the_database(
    with_exclusive_migration, launch, eventually
):
    url = with_exclusive_migration["DATABASE_URL"]
    file = Path(with_exclusive_migration["FOLDER"]) / "service" / "999_20261231000000_flavour.py"
    file.write_text(file.read_text().replace(EXCLUSIVE, CONCURRENT))
    long, watcher = await asyncpg.connect(url), await asyncpg.connect(url)
    await limit(watcher, 1_000)
    async with long.transaction():
        await long.execute("LOCK TABLE tasks IN ROW EXCLUSIVE MODE")  # the migration waits for its end
        process = launch([sys.executable, "-W", "error", "-c", LOCKED], **with_exclusive_migration)

        async def outlasted() -> bool:
            return process.process.poll() is not None or await watcher.fetchval(OUTLASTED) == 2

        await eventually(outlasted)
    assert await process.exit_code() == 0, process.stderr
    assert process.stdout.strip() == "999_20261231000000_flavour.py"
    await long.close()
    await watcher.close()


async def test_a_role_that_may_not_create_tables_gets_an_error_of_one_sentence(make_database, launch):
    url = await make_database("forbidden")
    found = parse(url)
    role = f"doable_reader_{os.getpid()}"
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'reading'")
        await connection.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
        theirs = f"postgres://{role}:reading@:{found['port']}/{found['database']}?host={found['host']}"
        process = launch([sys.executable, "-m", "service", "migrate"], DATABASE_URL=theirs)
        assert await process.exit_code() == 1
        assert process.stderr == f"doable: {migrations.FORBIDDEN}\n"
    finally:
        await connection.execute(f"DROP ROLE IF EXISTS {role}")
        await connection.close()


async def test_a_search_path_without_a_schema_gets_an_error_of_one_sentence(make_database, launch):
    url = await make_database("unplaced")
    url += ("&" if "?" in url else "?") + "options=-c%20search_path%3Dmissing"
    process = launch([sys.executable, "-m", "service", "migrate"], DATABASE_URL=url)
    assert await process.exit_code() == 1
    assert process.stderr == f"doable: {migrations.NO_SCHEMA}\n"


async def test_models_and_migrations_agree(python):
    assert await python(DRIFT.format(change="")) == [""]


@pytest.mark.parametrize(
    ("change", "column"),
    [
        ('Task._meta.add_field("flavour", fields.TextField(null=True))', "flavour"),
        ('Task._meta.fields_map["description"].null = False', "description"),
    ],
)
async def test_a_model_change_without_a_migration_is_noticed(python, change, column):
    (found,) = await python(DRIFT.format(change=change))
    assert column in found


async def test_the_tables_have_the_columns_of_the_models(newest):
    models = {
        (model._meta.db_table, column, model._meta.fields_map[field].null)
        for model in (IdempotencyKey, List, Task, User)
        for field, column in model._meta.fields_db_projection.items()
    }
    assert models == newest["columns"]


async def test_the_constraints_are_those_that_the_migrations_say(newest):
    assert newest["constraints"] == CONSTRAINTS


async def test_the_indexes_are_those_that_the_migrations_say(newest):
    assert newest["indexes"] == INDEXES


def test_every_index_of_tasks_and_lists_is_led_by_the_owner():
    assert all("INDEX (user_id, " in index for name, index in INDEXES.items() if name.startswith(("lists_", "tasks_")))


@pytest.fixture
def folder_for_anyone() -> Iterator[Path]:
    """A folder that another user can read; pytest's own folders are closed."""
    folder = Path(tempfile.mkdtemp(prefix="doable-pgbouncer-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
async def pgbouncer(relay, launch, folder_for_anyone, unused_port, eventually) -> AsyncIterator[Callable[[str], str]]:
    """Yield a function that routes a database's URL through a real PgBouncer in transaction mode."""
    program = shutil.which("pgbouncer", path="/usr/sbin:/usr/bin:/usr/local/bin")
    if program is None:
        pytest.skip("PgBouncer IS NOT INSTALLED, so nothing was tried behind a pooler: apt-get install pgbouncer")
    await relay.open()
    there, port = parse(relay.url), unused_port()
    password = f"password={there['password']}" if there["password"] else ""
    configuration = folder_for_anyone / "pgbouncer.ini"
    configuration.write_text(f"""
[databases]
* = host={there["host"]} port={there["port"]} user={there["user"]} {password}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 8
server_idle_timeout = 1
""")
    user = ["-u", "nobody"] if os.geteuid() == 0 else []
    process = launch([program, *user, str(configuration)])
    await eventually(lambda: process.process.poll() is not None or f"listening on 127.0.0.1:{port}" in process.stderr)
    assert process.process.poll() is None, process.stderr
    yield lambda url: f"postgres://anybody@127.0.0.1:{port}/{parse(url)['database']}?pgbouncer=true"
    process.kill()


async def test_releases_migrate_at_once_through_a_pooler_too(make_database, launch, pgbouncer, newest):
    url = await make_database("pooled")
    command = [sys.executable, "-W", "error", "-c", MIGRATE]
    processes = [launch(command, DATABASE_URL=pgbouncer(url)) for _ in range(3)]
    assert [await process.exit_code() for process in processes] == [0] * 3, [one.stderr for one in processes]
    assert sorted(process.stdout.strip() for process in processes) == ["", "", " ".join(VERSIONS)]
    assert await schema(url) == newest


async def test_hundreds_of_statements_succeed_through_a_pooler(settings, pgbouncer):
    found = Settings.from_environ({"DATABASE_URL": pgbouncer(settings.database_url), "DB_CONNECTIONS": "32"})
    client = FairClient(connection_name="default", **credentials(found, found.require_database()))
    try:
        statements = [f"SELECT $1::int + {addend} AS sum, pg_backend_pid() AS backend" for addend in range(5)]
        rows = await asyncio.gather(*(client.call(statements[number % 5], number) for number in range(250)))
    finally:
        await client.close()
    assert [row["sum"] for row in rows] == [number + number % 5 for number in range(250)]
    assert len({row["backend"] for row in rows}) > 1, "or there was no other session to be confused with"
