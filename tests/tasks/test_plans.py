"""Query plans: each statement uses an index that begins with the owner, for any number of other users."""

from __future__ import annotations

import json
import runpy
from collections.abc import Callable, Coroutine, Iterator
from datetime import datetime, timedelta, timezone
from itertools import product
from types import SimpleNamespace

import asyncpg
import pytest

from service.database import APP, migrations
from service.database.functions import FUNCTIONS, call
from service.database.keyset import Position
from service.operations import retention
from service.sync import changes
from service.tasks.models import Task
from service.tasks.selection import SORTS, Lists, TaskQuery
from service.tasks.summary import summarise
from service.tasks.writes import UserTasks
from service.transfer import archive
from service.users.queryset import SyncPosition
from tests.ownership import OF_NO_OWNER
from tests.recording import sent

MOMENT = datetime(2026, 12, 24, tzinfo=timezone.utc)
FILTERS = {
    "all": {},
    "pending": {"completed": False},
    "completed": {"completed": True},
    "priority": {"priorities": (2, 3)},
    "tag": {"tags": ("home", "x")},
    "text": {"text": "milk"},
    "due": {"due_before": MOMENT, "due_after": MOMENT},
    "overdue": {"overdue": True},
    "list": {"lists": Lists((10_001,), ("019aceef-9a40-7c1e-8f3a-5b1d6c2e9f04",), inbox=True)},
    "parent": {"parent": 5},
    "parent's uid": {"parent": "019aceef-9a40-7c1e-8f3a-5b1d6c2e9f04"},
    "count": {"count": True},
}
KEYS = {
    "created": "1", "updated": "100", "title": "task 5", "due_date": "2026-12-24 00:00:00+00", "priority": "2",
    "position": "a0",
}  # fmt: skip


def statement(user_id: str, query: TaskQuery) -> tuple[str, tuple[object, ...]]:
    """The statement of a list, and its arguments."""
    return asked(lambda tasks: tasks.matching(query).page(query.limit, query.after, count=query.count), user_id)


def asked(read: Callable[[UserTasks], Coroutine], user_id: str = "alice") -> tuple[str, tuple[object, ...]]:
    """Return the statement of any read of a user's tasks, and its arguments."""
    return sent(lambda connection: read(Task.objects.for_user(user_id, using=connection)))


@pytest.fixture(scope="module")
async def crowd(server, make_database):
    """A connection to a separate database with 2,000 users of 4 tasks each, and alice with 2,000 tasks."""
    connection = await asyncpg.connect(await make_database("plans"))
    # The SQL of the migrations, because `migrate` would close the connections of the other tests' server.
    for path in sorted((migrations.folder() / APP).glob("[0-9]*_*.py"), key=lambda path: int(path.name.split("_")[0])):
        database = SimpleNamespace(
            execute_script=connection.execute,
            execute_many=connection.executemany,
            execute_query_dict=lambda text, values: connection.fetch(text, *values),
        )
        await connection.execute(await runpy.run_path(str(path))["upgrade"](database))
    await connection.execute(
        """
        INSERT INTO users (id, created_at, revision, written_at, task_count)
        SELECT name, now(), 2000, now(), 4
        FROM (SELECT 'user ' || n AS name FROM generate_series(1, 2000) AS n UNION SELECT 'alice') AS names;
        INSERT INTO tasks (user_id, id, uid, title, title_key, completed, completed_at, priority, tags, tag_keys,
                           due_at, created_at, updated_at, version)
        SELECT id, n, gen_random_uuid(), 'Task ' || n, 'task ' || n,
               n % 2 = 0, CASE WHEN n % 2 = 0 THEN now() END, n % 4,
               ARRAY['home', 'x'], ARRAY['home', 'x'],
               CASE WHEN n % 3 = 0 THEN now() + n * interval '1 hour' END, now(), now(), n
        FROM users, generate_series(1, CASE WHEN id = 'alice' THEN 2000 ELSE 4 END) AS n
        ORDER BY n;
        INSERT INTO lists (user_id, id, uid, name, archived, created_at, updated_at, version)
        SELECT id, 10000 + n, gen_random_uuid(), 'List ' || n, n = 3, now(), now(), 10000 + n
        FROM users, generate_series(1, 3) AS n;
        INSERT INTO idempotency_keys (user_id, route, key, body_digest, request_id, answer, created_at)
        SELECT id, 'POST /tasks', n::text, '', 'x', '{}', now() - n * interval '5 hours'
        FROM users, generate_series(1, 5) AS n;
        """
    )
    await connection.execute("VACUUM ANALYZE")
    for table in ("users", "tasks", "idempotency_keys"):  # the statistics stay as they are, whatever a test rolls back
        await connection.execute(f"ALTER TABLE {table} SET (autovacuum_enabled = off)")
    yield connection
    await connection.close()


async def explain(connection: asyncpg.Connection, text: str, *arguments: object) -> list[dict]:
    """Return all nodes of the plan of a statement."""
    (row,) = await connection.fetch(f"EXPLAIN (FORMAT JSON) {text}", *arguments)
    return list(_nodes(json.loads(row[0])[0]["Plan"]))


def _nodes(plan: dict) -> Iterator[dict]:
    yield plan
    for part in plan.get("Plans", ()):
        yield from _nodes(part)


def assert_reads_the_owner_alone(nodes: list[dict]) -> None:
    """Check that every row is read through an index, with a condition on the owner."""
    kinds = [node["Node Type"] for node in nodes]
    assert "Seq Scan" not in kinds
    scans = [node for node in nodes if node["Node Type"] in {"Index Scan", "Index Only Scan", "Bitmap Index Scan"}]
    assert scans
    for scan in scans:
        assert "'alice'" in scan["Index Cond"], scan
        assert scan["Index Cond"].startswith(("((user_id =", "(user_id =", "(id = 'alice'")), scan


async def test_a_list_reads_no_other_users_rows(crowd, subtests):
    # Each filter with each sort, in both directions; half of these with each limit.
    for place, (name, filters) in enumerate(FILTERS.items()):
        with subtests.test(name):
            for number, (sort, descending) in enumerate(SORTS):
                limit = 50 if (place + number + number // 2) % 2 else None
                query = TaskQuery(sort=sort, descending=descending, limit=limit, **filters)
                text, arguments = statement("alice", query)
                assert_reads_the_owner_alone(await explain(crowd, text, *arguments))


@pytest.mark.parametrize("descending", [True, False])
async def test_a_page_by_creation_is_one_range_of_the_key_with_nothing_to_sort(crowd, descending):
    for after in (None, Position(KEYS["created"], 500)):
        query = TaskQuery(sort="created", descending=descending, limit=50, after=after)
        text, arguments = statement("alice", query)
        nodes = await explain(crowd, text, *arguments)
        assert_reads_the_owner_alone(nodes)
        assert not {"Sort", "Incremental Sort"} & {node["Node Type"] for node in nodes}
        assert all("ROW(" not in node.get("Filter", "") for node in nodes)


@pytest.mark.parametrize("descending", [True, False])
@pytest.mark.parametrize("sort", sorted({sort for sort, _ in SORTS} - {"created"}))
async def test_any_other_page_sorts_only_keys_and_ids_of_the_owners_tasks(crowd, sort, descending):
    for after in (None, Position(KEYS[sort], 500)):
        query = TaskQuery(sort=sort, descending=descending, limit=50, after=after)
        text, arguments = statement("alice", query)
        nodes = await explain(crowd, text, *arguments)
        assert_reads_the_owner_alone(nodes)
        within = [[*_nodes(node)] for node in nodes if node["Node Type"] == "Sort"]
        of_all = [sort for sort in within if not any(node["Node Type"] == "CTE Scan" for node in sort)]
        assert of_all
        assert all(sort[0]["Plan Width"] < 100 for sort in of_all), "no documents are carried through the sort of all"


@pytest.mark.parametrize(
    "read",
    [
        lambda tasks: tasks.find(5),
        lambda tasks: tasks.owner.state(),
        lambda tasks: tasks.owner.position(),
        lambda tasks: tasks.owner.exported(),
        lambda tasks: summarise(tasks, MOMENT.date(), MOMENT, MOMENT),
        lambda tasks: anext(archive.pages(tasks)),
        lambda tasks: anext(archive.pages(tasks.live())),
        lambda tasks: anext(archive.pages_with_names(tasks)),
    ],
    ids=["find", "state", "position", "user", "summary", "export", "export of live tasks", "export with names"],
)
async def test_every_other_read_reads_no_other_users_rows_either(crowd, read):
    text, arguments = asked(read)
    assert_reads_the_owner_alone(await explain(crowd, text, *arguments))


LINE = {"uid": "019aceef-9a40-7c1e-8f3a-5b1d6c2e9f04", "title": "A", "title_key": "a"}
LIST = {"uid": "019aceef-9a40-7c1e-8f3a-5b1d6c2e9f05", "name": "New", "is_by_name": True}
ONE = 40  # the maximum of rows, with the owner's row, its key and references to it
KEYED = ("POST /tasks", "new", b"", "x", timedelta(days=1), 100, 10_000)
CALLS = {
    "create_task": (
        ONE,
        10_000,
        LINE["uid"],
        "A",
        "a",
        None,
        None,
        False,
        0,
        [],
        [],
        None,
        None,
        True,
        ["10001", None, None, None],
    ),
    "update_task": (ONE, 5, [5], [], "B", "b", *[None] * 11, ["10001", "6", None, None]),
    "complete_task": (ONE, 5, None, None, None),
    "delete_task": (ONE, 5, None, None, 10_000),
    "restore_task": (ONE, 5, 10_000),
    "destroy_tasks": (8_000, None, 10_000),
    "delete_tasks": (8_000, True, 10_000, [10_001], [LIST["uid"]], True),
    "perform_batch": (ONE, 10_000, 10_000, True, '[{"verb": "delete", "id": 5}]'),
    "import_tasks": (
        8_000,
        10_000,
        10_000,
        500,
        True,
        json.dumps([LIST]).encode(),
        json.dumps([LINE]).encode(),
        ["1"],
        [LINE["uid"]],
    ),
    "perform_once": (ONE, *KEYED, 10_000, 10_000, True, '[{"verb": "complete", "id": 5}]'),
    "import_once": (8_000, *KEYED, 10_000, 10_000, 500, True, b"[]", json.dumps([LINE]).encode(), [], []),
}
CALLS |= {
    "create_list": (ONE, 500, LINE["uid"], False, "A", None, False, "after", None),
    "update_list": (ONE, 10_001, None, None, "B", False, None, True, "before", "10002"),
    "delete_list": (8_000, 10_001, None, None, "inbox", 10_000),
    "restore_list": (8_000, 10_001, 500, 10_000),
}
BARE = {  # without the claims of a token
    "erase_live_page": (8_000, 10, 5_000),
    "erase_owner": (8_000,),
    "sweep_erased": (8_000, 5_000),
    "purge_trash": (8_000, timedelta(days=-1), 5_000),
    "task_id_of": (ONE, LINE["uid"]),
    "list_id_of": (ONE, LINE["uid"]),
    "import_lists": (ONE, MOMENT, 12_000, True, json.dumps([LIST]).encode()),
    "find_task": (ONE, "5"),
    "find_list": (ONE, "10001"),
    "place_task": (10_000, 5, "a0", None, None, "after", "7"),
    "place_list": (ONE, 10_001, "a0", "before", "10002"),
    "rekey_tasks": (12_000, 5, None, None, 1_500),
    "rekey_lists": (ONE, 10_001, 0),
    "destroy_lists": (ONE, None, 100, None, True),
    "find_answer": (ONE, "POST /tasks", "1", b"", timedelta(days=1)),
    "keep_answer": (ONE, "POST /tasks", "new", b"", "x", "{}", timedelta(days=1), 100, 10_000),
    "forget_answers": (ONE, timedelta(hours=1), 100),
}
READ = """
SELECT sum(seq_tup_read)::int AS scanned, sum(coalesce(idx_tup_fetch, 0))::int AS fetched
FROM pg_stat_xact_user_tables WHERE relname <> 'aerich'
"""


def test_every_function_has_a_plan_test():
    parts = {
        "lock_owner",
        "seat_task",
        "seat_new_task",
        "seat_list",
        "carry_family",
        "find_successor",
        "arrange_task",
        "write_successor",
    }  # their arguments are rows; the others call them
    assert {*CALLS, *BARE, *OF_NO_OWNER, *parts} == set(FUNCTIONS)


async def test_a_function_reads_no_other_users_rows(crowd, subtests):
    transaction = crowd.transaction()
    await transaction.start()
    try:
        await crowd.execute("UPDATE tasks SET deleted_at = now() WHERE user_id = 'alice' AND id > 1600")
        await crowd.execute("UPDATE tasks SET position = 'a0' WHERE user_id = 'alice' AND id <= 200")
        for plan, name in product(["force_custom_plan", "force_generic_plan"], [*CALLS, *BARE]):
            with subtests.test(plan=plan, name=name):
                most, *arguments = CALLS.get(name) or BARE[name]
                arguments = ["alice", *([None, None] if name in CALLS else []), *arguments]
                savepoint = crowd.transaction()
                await savepoint.start()
                try:
                    await crowd.execute(f"SET LOCAL plan_cache_mode = {plan}")
                    before = await crowd.fetchrow(READ)
                    await crowd.fetchrow(call(name, len(arguments)), *arguments)
                    after = await crowd.fetchrow(READ)
                finally:
                    await savepoint.rollback()
                assert after["scanned"] == before["scanned"]
                assert after["fetched"] - before["fetched"] <= most
    finally:
        await transaction.rollback()


async def test_the_purge_of_the_trash_finds_its_owners_only_in_the_trash(crowd):
    nodes = await explain(crowd, retention.NEXT_OWNER, timedelta(days=30), "")
    assert [node["Index Name"] for node in nodes if "Index Name" in node] == ["tasks_trash"]
    assert "Seq Scan" not in {node["Node Type"] for node in nodes}


@pytest.mark.parametrize("after", [None, Position("2026-12-24 00:00:00.000000+00", 500)])
async def test_a_page_of_the_trash_is_one_range_of_its_index_with_nothing_to_sort(crowd, after):
    text, arguments = asked(lambda tasks: tasks.trashed().page(50, after, count=True))
    nodes = await explain(crowd, text, *arguments)
    assert_reads_the_owner_alone(nodes)
    assert {node["Index Name"] for node in nodes if "Index Name" in node} == {"tasks_trash", "users_pkey"}
    assert "Sort" not in {node["Node Type"] for node in nodes}
    assert after is None or any("ROW(" in node.get("Index Cond", "") for node in nodes)


async def test_old_answers_are_found_by_the_index_of_their_age(crowd):
    nodes = await explain(crowd, retention.NEXT_OWNER_OF_ANSWERS, timedelta(days=1), "")
    assert [node["Index Name"] for node in nodes if "Index Name" in node] == ["idempotency_keys_age"]


@pytest.mark.parametrize("plan", ["force_custom_plan", "force_generic_plan"])
@pytest.mark.parametrize("since", [("", 0), ("64a1b2c3d4e5f", 1), ("64a1b2c3d4e5f", 1_600)])
@pytest.mark.parametrize("feed", [changes.TASKS, changes.ITEMS], ids=["tasks", "items"])
async def test_a_page_of_changes_sorts_only_versions_of_the_owners_items(crowd, since, plan, feed):
    await crowd.execute(f"SET plan_cache_mode = {plan}")
    try:
        text, arguments = asked(lambda tasks: changes.changes_since(tasks, SyncPosition(*since), 500, feed))
        nodes = await explain(crowd, text, *arguments)
    finally:
        await crowd.execute("RESET plan_cache_mode")
    assert "Seq Scan" not in {node["Node Type"] for node in nodes}
    for scan in [node for node in nodes if "Index Cond" in node]:
        assert scan["Index Cond"].startswith(("((user_id =", "(user_id =", "(id =")), scan
        assert "'alice'" in scan["Index Cond"] or "$1" in scan["Index Cond"], scan


async def test_the_positions_of_several_users_are_read_by_their_key(crowd):
    nodes = await explain(crowd, changes.POSITIONS, ["alice", "user 7"])
    assert "Seq Scan" not in {node["Node Type"] for node in nodes}
