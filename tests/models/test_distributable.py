"""The claim that the tables can be distributed over machines by user, without a change of code, as the schema keeps it.

That each statement keeps it too is checked over all that the tests run: see `recorder` in conftest.py and ownership.py.
"""

from __future__ import annotations

import pytest

from service.database.distribution import TABLES
from service.models import task_sql, upkeep, user
from tests.ownership import EXEMPT, assert_calls_nothing_volatile, assert_names_one_user, faults

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
COLUMN = {table.name: table.column for table in TABLES}


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


async def test_a_table_stands_after_those_that_it_refers_to(connection):
    order = [table.name for table in TABLES]
    for row in await connection.fetch(FOREIGN):
        assert order.index(row["to"]) < order.index(row["from"])


async def test_no_table_has_a_trigger_of_ours(connection):
    assert await connection.fetch(TRIGGERS) == []


@pytest.mark.parametrize(
    "statement",
    [task_sql.CREATE, task_sql.update(tuple(task_sql.TYPES)), task_sql.TOGGLE, task_sql.DELETE, task_sql.DELETE_MANY,
     upkeep.PURGE, user.MARK],
    ids=["create", "update", "toggle", "delete", "delete many", "purge", "erase"],
)  # fmt: skip
async def test_no_statement_that_changes_rows_calls_a_volatile_function(volatile, statement):
    assert {"random", "clock_timestamp", "nextval", "gen_random_uuid"} <= volatile
    assert_calls_nothing_volatile(statement, volatile)
    assert_names_one_user(statement, ("alice",))


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
    ],
)
def test_a_statement_that_forgets_the_user_would_be_noticed(statement):
    assert len([*faults([(statement, ("alice",))], ())]) == 1


@pytest.mark.parametrize("arguments", [(), (1,), (["alice", "bob"],)])
def test_a_statement_without_a_users_id_as_its_first_argument_would_be_noticed(arguments):
    assert len([*faults([("SELECT * FROM tasks WHERE user_id = $1", arguments)], ())]) == 1


@pytest.mark.parametrize("statement", EXEMPT, ids=EXEMPT.values())
def test_what_is_exempt_is_so_as_a_whole_and_with_a_reason(statement):
    assert EXEMPT[statement]
    assert [*faults([(statement, ())], ())] == []
    assert len([*faults([(f"{statement} OFFSET 1", ())], ())]) == 1


@pytest.mark.parametrize("statement", ["SELECT 1", "BEGIN;", "SELECT version FROM aerich", "SELECT tasks_seen FROM x"])
def test_what_names_no_table_of_ours_is_free(statement):
    assert [*faults([(statement, ())], ())] == []
