"""The schema can be distributed over machines by user, without a code change.

`recorder` in conftest.py and ownership.py check the same for each statement that the tests run.
"""

from __future__ import annotations

import re

import pytest

from service.database.distribution import TABLES
from service.database.functions import FUNCTIONS, body, differences, source
from tests.ownership import (
    EXEMPT,
    OF_NO_OWNER,
    assert_function_is_routed_to_one_node,
    assert_function_names_one_user,
    assert_names_one_user,
    faults,
)

UNIQUE = """
SELECT indrelid::regclass::text AS table, indexrelid::regclass::text AS index,
       ARRAY(SELECT attname::text FROM pg_attribute WHERE attrelid = indrelid AND attnum = ANY (indkey)) AS columns
FROM pg_index JOIN pg_class ON pg_class.oid = indrelid
WHERE relnamespace = 'public'::regnamespace AND (indisunique OR indisexclusion) AND relname <> 'aerich'
"""
FOREIGN = """
SELECT conname, conrelid::regclass::text AS from, confrelid::regclass::text AS to,
       (SELECT attname FROM pg_attribute WHERE attrelid = conrelid AND attnum = conkey[1]) AS column,
       (SELECT attname FROM pg_attribute WHERE attrelid = confrelid AND attnum = confkey[1]) AS target
FROM pg_constraint WHERE contype = 'f' AND connamespace = 'public'::regnamespace
"""
TRIGGERS = """
SELECT tgrelid::regclass::text, tgname FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid
WHERE relnamespace = 'public'::regnamespace AND NOT tgisinternal
"""
# These names also have variants that are not immutable, and a name alone does not tell them apart.
IMMUTABLE_HERE = {"set"}
COLUMN = {table.name: table.column for table in TABLES}


@pytest.mark.one_database(reason="indexes of shards")
async def test_every_key_and_unique_index_holds_the_users_id(connection):
    rows = await connection.fetch(UNIQUE)
    assert {row["table"] for row in rows} == set(COLUMN)
    for row in rows:
        assert COLUMN[row["table"]] in row["columns"], row["index"]


async def test_every_foreign_key_is_led_by_the_users_id_on_both_sides(connection):
    rows = await connection.fetch(FOREIGN)
    assert rows
    for row in rows:
        assert row["column"] == COLUMN[row["from"]], row["conname"]
        assert row["target"] == COLUMN[row["to"]], row["conname"]


async def test_each_table_comes_after_the_tables_that_it_references(connection):
    order = [table.name for table in TABLES]
    for row in await connection.fetch(FOREIGN):
        assert order.index(row["to"]) < order.index(row["from"])


async def test_no_table_has_a_trigger_of_ours(connection):
    assert await connection.fetch(TRIGGERS) == []


WRITING = sorted(set(FUNCTIONS) - OF_NO_OWNER)


def test_a_function_names_the_owner_first_and_in_every_statement(subtests):
    for name in WRITING:
        with subtests.test(name=name):
            assert re.search(rf"CREATE FUNCTION {name}\(\s*owner text\b", source(name))
            assert_function_names_one_user(body(name))


async def test_a_function_is_made_of_statements_for_one_node(connection, volatile, subtests):
    rows = await connection.fetch("SELECT DISTINCT proname FROM pg_proc WHERE provolatile <> 'i'")
    mutable = {name for (name,) in rows} - IMMUTABLE_HERE
    assert {"random", "now", "clock_timestamp", "nextval", "gen_random_uuid", "json_build_object"} <= mutable
    assert volatile <= mutable
    for name in WRITING:
        with subtests.test(name=name):
            assert_function_is_routed_to_one_node(body(name), mutable)


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM tasks WHERE tasks.id = task_id;",
        "UPDATE tasks SET title = '' WHERE user_id = other;",
        "SELECT * INTO task FROM tasks WHERE id IN (SELECT id FROM tasks WHERE user_id = owner);",
        "INSERT INTO tasks VALUES (task.*);",
        "task.user_id := owner; INSERT INTO tasks VALUES (task.*);",
        "INSERT INTO users (id, name) VALUES (other, owner);",
        "DELETE FROM users USING tasks WHERE users.id = owner;",
        "PERFORM restore_task(other, owner);",
    ],
)
def test_a_function_that_forgets_the_owner_would_be_noticed(statement):
    with pytest.raises(AssertionError):
        assert_function_names_one_user(f"\nBEGIN\n    {statement}\nEND\n")


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE tasks SET document = json_build_object('id', id) WHERE user_id = owner;",
        "UPDATE users SET written_at = users.written_at + interval '1 microsecond' WHERE id = owner;",
        "UPDATE users SET written_at = now() WHERE id = owner;",
        "INSERT INTO users (id) VALUES (owner) ON CONFLICT (id) DO UPDATE SET revision = 1;",
        "WITH made AS (INSERT INTO users (id) VALUES (owner) RETURNING id) SELECT id INTO task FROM made;",
    ],
)
def test_a_function_with_a_statement_for_many_nodes_would_be_noticed(statement):
    with pytest.raises(AssertionError):
        assert_function_is_routed_to_one_node(f"\nBEGIN\n    {statement}\nEND\n", {"now", "json_build_object"})


async def test_the_functions_in_the_database_are_those_of_the_files(connection):
    assert await differences(connection) == []


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ("DROP FUNCTION purge_trash", "purge_trash is missing"),
        ("CREATE FUNCTION old_verb(owner text) RETURNS void LANGUAGE sql AS ''", "old_verb is in no file"),
        (source("purge_trash").replace("CREATE", "CREATE OR REPLACE").replace("RETURN;", "RETURN ;"),
         "purge_trash differs"),
    ],
    ids=["missing", "unknown", "changed"],
)  # fmt: skip
async def test_a_function_that_differs_from_its_file_is_noticed(connection, change, fault):
    transaction = connection.transaction()
    await transaction.start()
    await connection.execute(change)
    assert [one for one in await differences(connection) if one.startswith(fault)]
    await transaction.rollback()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE users SET name = gen_random_uuid() WHERE id = $1",
        "UPDATE users SET written_at = CLOCK_TIMESTAMP() WHERE id = $1",
        "DELETE FROM tasks WHERE user_id = $1 AND random() < 0.5",
        "INSERT INTO users (id, name) VALUES ($1, 'A') ON CONFLICT (id) DO UPDATE SET revision = nextval ('counter')",
    ],
)
async def test_a_volatile_function_would_be_noticed(volatile, statement):
    assert_names_one_user(statement, ("alice",))
    assert len([*faults([(statement, ("alice",))], volatile)]) == 1


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM tasks WHERE id = $2",
        "SELECT * FROM tasks WHERE user_id = $10",
        "SELECT * FROM tasks WHERE user_id = ANY ($1)",
        "SELECT * FROM tasks WHERE user_id = '$1'",
        "SELECT * FROM tasks -- WHERE user_id = $1",
        "SELECT * FROM tasks WHERE user_id = $1 AND EXISTS (SELECT FROM users WHERE revision > 5)",
        "SELECT * FROM tasks WHERE user_id = $1 UNION ALL SELECT * FROM tasks WHERE user_id = $2",
        "SELECT * FROM tasks, users WHERE user_id = $1",
        "UPDATE tasks SET completed = true WHERE tasks.id = $2",
        'SELECT "id" FROM "tasks" WHERE "id"=$2',
        "DELETE FROM users",
        "TRUNCATE users",
        "INSERT INTO tasks (title, user_id) SELECT $2, $1",
        "INSERT INTO users (id, name) VALUES ($2, $1)",
        "SELECT * FROM purge_trash($2, $1)",
    ],
)
def test_a_statement_that_forgets_the_user_would_be_noticed(statement):
    assert len([*faults([(statement, ("alice",))], ())]) == 1


@pytest.mark.parametrize("arguments", [(), (1,), (["alice", "bob"],)])
def test_a_statement_without_a_users_id_as_its_first_argument_would_be_noticed(arguments):
    assert len([*faults([("SELECT * FROM tasks WHERE user_id = $1", arguments)], ())]) == 1


@pytest.mark.parametrize("statement", EXEMPT, ids=EXEMPT.values())
def test_each_exemption_covers_a_whole_statement_and_has_a_reason(statement):
    assert EXEMPT[statement]
    assert [*faults([(statement, ())], ())] == []
    assert len([*faults([(f"{statement} OFFSET 1", ())], ())]) == 1


@pytest.mark.parametrize("statement", ["SELECT 1", "BEGIN;", "SELECT version FROM aerich", "SELECT tasks_seen FROM x"])
def test_a_statement_without_our_tables_is_allowed(statement):
    assert [*faults([(statement, ())], ())] == []
