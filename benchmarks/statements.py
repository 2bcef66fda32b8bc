"""What PostgreSQL spends on each statement of Doable's, beside the floor's; and what an update's time is spent on.

Rates say who is slower, not why. Here one connection sends one statement after the other, with the data in memory and
nothing synchronised to the disk, and the kernel tells how long its backend ran. Linux only: it reads /proc.
"""

from __future__ import annotations

import ast
import random
import subprocess
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import asyncpg

from benchmarks.servers import KINDS, ROOT, SECRET, stage
from service.models import task_sql
from service.models.listing import TaskQuery, statement

PASSES, TRIES, TIMES = 5, 5, 200  # the quickest of so many tries of so many executions: nothing else makes one quicker
WARM = 12  # executions after which a plan is the generic one
USERS, TASKS_EACH = 200, 50

COLUMNS = "id, user_id, title, description, completed, completed_at, priority, tags, created_at, updated_at, version"

OWNERS = f"""
INSERT INTO users (id, created_at, written_at, revision, task_count)
SELECT 'user-' || owner, now(), now(), {TASKS_EACH}, {TASKS_EACH} FROM generate_series(1, {USERS}) AS owner
"""
TASKS = f"""
INSERT INTO tasks (user_id, title, title_key, description, description_key, completed, priority, tags, tag_keys,
                   created_at, updated_at, version)
SELECT 'user-' || owner, 'Task number ' || number, 'task number ' || number, 'What task ' || number || ' is about',
       'what task ' || number || ' is about', false, number % 4, '{{home,work}}', '{{home,work}}', now(), now(), number
FROM generate_series(1, {USERS}) AS owner, generate_series(1, {TASKS_EACH}) AS number
"""
FLOOR_TASKS = f"""
INSERT INTO tasks (user_id, title, description)
SELECT 'user-' || owner, 'Task number ' || number, 'What task ' || number || ' is about'
FROM generate_series(1, {USERS}) AS owner, generate_series(1, {TASKS_EACH}) AS number
"""
NEW = (None, None, 10**6, "New", None, False, 0, (), None, None, "new", None, ())  # a task as `CREATE` takes it

# An update that does only what must be done to one row, on a copy of the table that is as bare or as full as is said.
ROW = """
UPDATE copy SET title = $3, updated_at = now(), version = version + 1000000 WHERE user_id = $1 AND id = $2
RETURNING id, version
"""
INDEXES = "SELECT indexname FROM pg_indexes WHERE tablename = 'copy' AND indexname !~ 'pkey|user_id_version'"
CHECKS = "SELECT conname FROM pg_constraint WHERE conrelid = 'copy'::regclass AND contype = 'c'"

Arguments = Callable[[], Sequence[object]]


class Meter:
    """One connection, and the time that its backend runs."""

    def __init__(self, connection: asyncpg.Connection, tasks: Sequence[tuple[str, int]]) -> None:
        """Measure on `connection`, whose database holds `tasks`, by owner and id."""
        self.connection = connection
        self._schedule = Path(f"/proc/{connection.get_server_pid()}/schedstat")
        self._tasks = tasks

    def owner(self, *more: object) -> Arguments:
        """Arguments: a user's id, then `more`."""
        return lambda: (random.choice(self._tasks)[0], *more)

    def task(self, *, titled: bool = False) -> Arguments:
        """Arguments: a task's owner and id, then a title if one is wanted, another each time."""
        return lambda: (*random.choice(self._tasks), *([f"T {random.random()}"] if titled else []))

    def write(self, *, titled: bool = False) -> Arguments:
        """The same as our writes take it: of a caller without e-mail and name, who expects no version."""
        arguments = self.task(titled=titled)
        return lambda: ((found := arguments())[0], None, None, found[1], None, *found[2:])

    async def spent(self, text: str, arguments: Arguments) -> float:
        """Microseconds of the backend's time that one execution takes."""
        for _ in range(WARM):
            await self.connection.fetchrow(text, *arguments())
        return min([await self._try(text, arguments) for _ in range(TRIES)])

    async def _try(self, text: str, arguments: Arguments) -> float:
        before = self._ran()
        for _ in range(TIMES):
            await self.connection.fetchrow(text, *arguments())
        return (self._ran() - before) / TIMES / 1000

    def _ran(self) -> int:
        return int(self._schedule.read_text().split()[0])  # nanoseconds


async def measure() -> None:
    """Print both tables."""
    with stage(["doable", "floor"]) as (database, _):
        await database.prepare(["doable", "floor"])
        url, floor_url = database.url("doable"), database.url("floor")
        environment = {"PATH": "/usr/bin:/bin", "DATABASE_URL": url, "BETTER_AUTH_SECRET": SECRET}
        subprocess.run(KINDS["doable"].migrate, cwd=ROOT, env=environment, check=True, stdout=subprocess.DEVNULL)
        doable = await _open(url, [OWNERS, TASKS])
        sql = _constants(KINDS["floor"].folder / "app.py")
        floor = await _open(floor_url, [sql["SCHEMA"], FLOOR_TASKS])
        await _compare(doable, floor, sql)
        await _take_apart(doable, floor, sql)
        await doable.connection.close()
        await floor.connection.close()


async def _compare(doable: Meter, floor: Meter, sql: dict[str, str]) -> None:
    page, (_, *page_arguments) = statement("", TaskQuery(limit=20))
    pairs = {
        "one task": ((task_sql.FIND, doable.task()), (sql["FIND"], floor.task())),
        "list of 20": ((page, doable.owner(*page_arguments)), (sql["PAGE"], floor.owner(20))),
        "list of 50": ((statement("", TaskQuery())[0], doable.owner()), (sql["WHOLE"], floor.owner())),
        "update": ((task_sql.update(("title",)), doable.write(titled=True)), (sql["UPDATE"], floor.task(titled=True))),
        "toggle": ((task_sql.TOGGLE, doable.write()), (sql["TOGGLE"], floor.task())),
        "create": (
            (task_sql.CREATE, doable.owner(*NEW)),
            (sql["CREATE"], floor.owner("New")),
        ),
    }
    print("| µs of PostgreSQL for a statement | Doable | Sanic floor |\n| --- | ---: | ---: |")
    for name, (ours, theirs) in pairs.items():
        print(f"| {name} | {await doable.spent(*ours):.0f} | {await floor.spent(*theirs):.0f} |", flush=True)


async def _take_apart(doable: Meter, floor: Meter, sql: dict[str, str]) -> None:
    """Begin with the floor's update, and add what Doable's does more, one thing at a time."""
    steps: dict[str, float] = {}
    for _ in range(PASSES):  # in turns: what the machine does meanwhile falls on all of them
        async for name, spent in _parts(doable, floor, sql):
            steps[name] = min(spent, steps.get(name, spent))
    print("\n| µs of PostgreSQL for an update | more | in all |\n| --- | ---: | ---: |")
    before = 0.0
    for name, spent in steps.items():
        print(f"| {name} | {spent - before:.0f} | {spent:.0f} |")
        before = spent


async def _parts(doable: Meter, floor: Meter, sql: dict[str, str]) -> AsyncIterator[tuple[str, float]]:
    yield "the floor's update", await floor.spent(sql["UPDATE"], floor.task(titled=True))
    execute = doable.connection.execute
    for name, (indexes, checks, kept) in {
        "a version, with an index to find changes by": (False, False, False),
        "the indexes that lists are sorted by": (True, False, False),
        "the CHECK constraints": (True, True, False),
        "the JSON that is kept for reads": (True, True, True),
    }.items():
        await execute("DROP TABLE IF EXISTS copy; CREATE TABLE copy (LIKE tasks INCLUDING ALL)")
        if not kept:
            await execute("ALTER TABLE copy DROP COLUMN document")
        for unwanted in [] if indexes else await doable.connection.fetch(INDEXES):
            await execute(f'DROP INDEX "{unwanted[0]}"')
        for unwanted in [] if checks else await doable.connection.fetch(CHECKS):
            await execute(f'ALTER TABLE copy DROP CONSTRAINT "{unwanted[0]}"')
        await execute(f"INSERT INTO copy ({COLUMNS}) OVERRIDING SYSTEM VALUE SELECT {COLUMNS} FROM tasks")
        await execute("VACUUM (ANALYZE) copy")
        yield name, await doable.spent(ROW, doable.task(titled=True))
    await execute("VACUUM (ANALYZE)")
    yield (
        "the task's lock, the owner's revision, the answer",
        await doable.spent(task_sql.update(("title",)), doable.write(titled=True)),
    )


async def _open(url: str, statements: Sequence[str]) -> Meter:
    connection = await asyncpg.connect(url)
    await connection.execute("SET synchronous_commit = off")
    for text in statements:
        await connection.execute(text)
    await connection.execute("VACUUM (ANALYZE)")
    found = await connection.fetch("SELECT user_id, id FROM tasks")
    return Meter(connection, [(row["user_id"], row["id"]) for row in found])


def _constants(module: Path) -> dict[str, str]:
    """The texts that a module of the floor's names in capitals; it cannot be imported without starting it."""
    names: dict[str, str] = {}
    for node in ast.parse(module.read_text()).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id.isupper():
            code = compile(ast.Expression(node.value), str(module), "eval")
            try:
                names[node.targets[0].id] = eval(code, {}, names)  # noqa: S307 - our own file
            except NameError:
                continue  # it asks the environment
    return names
