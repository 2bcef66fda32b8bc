"""The SQL statements to measure: those of Doable, of the floor, and of Fastify with equal work.

Doable's statements are recorded from its own code: its managers get a recorder instead of a connection, and run the
operations of a request. Therefore the current statements are always measured. The peers' statements are read from their
files.
"""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import asyncpg
from tortoise import Tortoise

from benchmarks.servers import KINDS, ROOT, SECRET, Database
from service.database import TORTOISE_ORM
from service.database.transactions import Session
from service.tasks.models import Task
from service.tasks.selection import TaskQuery
from service.tasks.writes import UserTasks
from service.web.text import with_keys

USERS, TASKS_EACH = 200, 50
QUOTA = 10_000
PARTIES = ("doable", "floor", "fastify_equal")
READS = ("one task", "list of 20", "list of 50", "unchanged list")
WRITES = ("create", "update", "toggle")
ONCE = ("delete",)  # possible only once per task, so it is not repeated for µs and WAL
VERBS = (*READS, *WRITES, *ONCE)

FILL = """
INSERT INTO tasks (user_id, title, description)
SELECT 'user-' || owner, 'Task number ' || number, 'What task ' || number || ' is about'
FROM generate_series(1, {users}) AS owner, generate_series(1, {tasks}) AS number
"""
FILL_EQUAL = """
INSERT INTO users (id, revision, task_count) SELECT 'user-' || owner, {tasks}, {tasks}
FROM generate_series(1, {users}) AS owner;
INSERT INTO tasks (user_id, title, description, completed, priority, tags, version)
SELECT 'user-' || owner, 'Task number ' || number, 'What task ' || number || ' is about', false, number % 4,
       '{{home,work}}', number
FROM generate_series(1, {users}) AS owner, generate_series(1, {tasks}) AS number
"""


class Execution(NamedTuple):
    """A statement with the values of its `$n`."""

    text: str
    arguments: Sequence[object]


class Place(NamedTuple):
    """The task of an execution, and the number of the execution, which makes its title unique."""

    owner: str
    task: int
    number: int

    @property
    def title(self) -> str:
        """A title that the task did not have before."""
        return f"Title {self.number}"


class Party(NamedTuple):
    """A server with statements to measure. `verbs` contains a function for each that returns an execution."""

    name: str
    verbs: Mapping[str, Callable[[Place], Awaitable[Execution]]]
    tasks: Sequence[tuple[str, int]]

    async def executions(self, verb: str, count: int, tasks: int = USERS * TASKS_EACH) -> list[Execution]:
        """Return `count` executions of a verb. They alternate between the users, and then between `tasks` tasks."""
        places = (Place(*self.tasks[number % tasks], number) for number in range(count))
        return [await self.verbs[verb](place) for place in places]


class _Recorded(Exception):  # noqa: N818 - not an error: it transports the statement out of the manager
    """The statement that a manager was about to send."""


class _Recorder:
    """Replaces the connection of a manager."""

    orm = None

    def call(self, statement: str, *arguments: object) -> NoReturn:
        """Record the statement, and stop the manager."""
        raise _Recorded(statement, arguments)

    fetch_one = fetch_first = fetch_rows = call


def _doable(ask: Callable[[UserTasks, Place], Awaitable[Any]]) -> Callable[[Place], Awaitable[Execution]]:
    async def record(place: Place) -> Execution:
        try:
            await ask(Task.objects.for_user(place.owner, using=_Recorder()), place)  # type: ignore[arg-type]  # reason: it only records
        except _Recorded as recorded:
            return Execution(*recorded.args)
        raise RuntimeError("the manager sent nothing")

    return record


DOABLE = {
    "one task": _doable(lambda tasks, place: tasks.find(place.task)),
    "list of 20": _doable(lambda tasks, _: tasks.matching(TaskQuery()).page(20)),
    "list of 50": _doable(lambda tasks, _: tasks.matching(TaskQuery()).page()),
    "unchanged list": _doable(lambda tasks, _: tasks.owner.state()),
    "create": _doable(lambda tasks, place: tasks.create(with_keys({"title": place.title}), quota=QUOTA)),
    "update": _doable(lambda tasks, place: tasks.update(place.task, with_keys({"title": place.title}))),
    "toggle": _doable(lambda tasks, place: tasks.toggle(place.task)),
    "delete": _doable(lambda tasks, place: tasks.delete(place.task, trash_quota=QUOTA)),
}


def _written(text: str, *rest: Callable[[Place], object]) -> Callable[[Place], Awaitable[Execution]]:
    """Return a function for a peer's statement, from its text and the arguments after the owner."""

    async def execution(place: Place) -> Execution:
        return Execution(text, (place.owner, *(argument(place) for argument in rest)))

    return execution


def _floor() -> dict[str, Callable[[Place], Awaitable[Execution]]]:
    sql = constants(KINDS["floor"].folder / "app.py")
    return {
        "one task": _written(sql["FIND"], lambda place: place.task),
        "list of 20": _written(sql["PAGE"], lambda _: 20),
        "list of 50": _written(sql["WHOLE"]),
        "create": _written(sql["CREATE"], lambda place: place.title),
        "update": _written(sql["UPDATE"], lambda place: place.task, lambda place: place.title),
        "toggle": _written(sql["TOGGLE"], lambda place: place.task),
    }


def _fastify_equal() -> dict[str, Callable[[Place], Awaitable[Execution]]]:
    sql = named(KINDS["fastify_equal"].folder / "statements.sql")
    nothing = (lambda _: None,)
    return {
        "one task": _written(sql["find"], lambda place: place.task),
        "list of 20": _written(sql["page"], lambda _: None, lambda _: None, lambda _: 21),
        "list of 50": _written(sql["page"], lambda _: None, lambda _: None, lambda _: None),
        "unchanged list": _written(sql["state"]),
        "create": _written(
            sql["create"], lambda _: QUOTA, lambda place: place.title, lambda _: None, lambda _: False, lambda _: 0,
            lambda _: (), *nothing * 2,
        ),
        "update": _written(
            sql["update"], lambda place: place.task, lambda _: None, lambda place: place.title, lambda _: False,
            *nothing * 4, lambda _: False, *nothing, lambda _: False, *nothing,
        ),
        "toggle": _written(sql["complete"], lambda place: place.task, *nothing * 2),
        "delete": _written(sql["delete"], lambda place: place.task, lambda _: None),
    }  # fmt: skip


async def fill(database: Database) -> tuple[str, list[Party]]:
    """Create a database with USERS users of TASKS_EACH tasks for each party. Return PostgreSQL's version and them."""
    version = await database.prepare(PARTIES)
    return version, [
        await _party(database, "doable", DOABLE, _fill_doable),
        await _party(database, "floor", _floor(), _fill_floor),
        await _party(database, "fastify_equal", _fastify_equal(), _fill_fastify_equal),
    ]


async def fill_doable(database: Database) -> tuple[str, Party]:
    """Create a database for Doable only. Return PostgreSQL's version and the party."""
    version = await database.prepare(["doable"])
    return version, await _party(database, "doable", DOABLE, _fill_doable)


async def _party(
    database: Database,
    name: str,
    verbs: Mapping[str, Callable[[Place], Awaitable[Execution]]],
    fill_it: Callable[[asyncpg.Connection, str], Awaitable[None]],
) -> Party:
    connection = await asyncpg.connect(database.url(name))
    await connection.execute("SET synchronous_commit = off")
    await fill_it(connection, database.url(name))
    await connection.execute("VACUUM (ANALYZE)")
    rows = await connection.fetch("""
        SELECT user_id, id FROM tasks
        ORDER BY row_number() OVER (PARTITION BY user_id ORDER BY hashint8(id)), user_id
    """)
    await connection.close()
    return Party(name, verbs, [(row["user_id"], row["id"]) for row in rows])


async def _fill_doable(connection: asyncpg.Connection, url: str) -> None:
    await Tortoise.init(config=TORTOISE_ORM, _enable_global_fallback=True)  # querysets are compiled with the models
    environment = {"PATH": "/usr/bin:/bin", "DATABASE_URL": url, "BETTER_AUTH_SECRET": SECRET}
    subprocess.run(KINDS["doable"].migrate, cwd=ROOT, env=environment, check=True, stdout=subprocess.DEVNULL)
    for owner in range(1, USERS + 1):
        tasks = Task.objects.for_user(f"user-{owner}", using=Session(connection))
        async with connection.transaction():
            for number in range(1, TASKS_EACH + 1):
                text = {"title": f"Task number {number}", "description": f"What task {number} is about"}
                values = {**text, "priority": number % 4, "tags": ["home", "work"]}
                await tasks.create(with_keys(values), quota=QUOTA)


async def _fill_floor(connection: asyncpg.Connection, _url: str) -> None:
    await connection.execute(constants(KINDS["floor"].folder / "app.py")["SCHEMA"])
    await connection.execute(FILL.format(users=USERS, tasks=TASKS_EACH))


async def _fill_fastify_equal(connection: asyncpg.Connection, _url: str) -> None:
    await connection.execute((KINDS["fastify_equal"].folder / "schema.sql").read_text())
    await connection.execute(FILL_EQUAL.format(users=USERS, tasks=TASKS_EACH))


def constants(module: Path) -> dict[str, str]:
    """Return the constants of a module by name. The floor's module cannot be imported, because that would start it."""
    names: dict[str, str] = {}
    for node in ast.parse(module.read_text()).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id.isupper():
            code = compile(ast.Expression(node.value), str(module), "eval")
            try:
                names[node.targets[0].id] = eval(code, {}, names)  # noqa: S307 - the file is part of this repository
            except NameError:
                continue  # its value depends on the environment
    return names


def named(file: Path) -> dict[str, str]:
    """Return the statements of an SQL file by name. The comment `-- name: …` above each contains the name."""
    parts = re.split(r"^-- name: (\w+)\n", file.read_text(), flags=re.MULTILINE)
    return {name: text.strip().removesuffix(";") for name, text in zip(parts[1::2], parts[2::2], strict=True)}
