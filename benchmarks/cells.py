"""The cells: the requests to measure, the servers that support them, and the expected status."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from benchmarks.load import CONNECTIONS, ask_all, request
from benchmarks.servers import Server

EVERYBODY = ("doable", "floor", "fastify_equal", "fastify", "fastapi_asyncpg", "fastapi_psycopg2")
COUNTING = frozenset({"doable", "fastify_equal"})  # servers that count a user's tasks, for the quota
TASKS_EACH = 50
HEAVY, HEAVY_TASKS = "heavy", 10_000  # the quota
LIGHT, LIGHT_TASKS = "light", 100
PAGE = 50
CREATED = "Created by the load"

# Statements that restore the tables after a run, so that each run finds the same tables.
TIDY = {
    "create": f"DELETE FROM tasks WHERE title = '{CREATED}'",
    "count": "UPDATE users SET task_count = (SELECT count(*) FROM tasks WHERE user_id = users.id)",
    "vacuum": "VACUUM (ANALYZE)",
}


class SkippedError(Exception):
    """The server does not support the cell. The message contains the reason."""


Requests = Callable[[Server, int], Awaitable[list[bytes]]]


@dataclass(frozen=True, slots=True)
class Cell:
    """A row of the tables. `requests` creates the requests for each round, from the number of the round."""

    name: str
    requests: Requests
    status: int = 200
    servers: Sequence[str] = EVERYBODY
    connections: int = CONNECTIONS
    writes: bool = False

    async def tidy(self, server: Server) -> None:
        """Restore the tables after a run."""
        if self.writes:
            counts = ["count"] if server.kind.name in COUNTING else []
            await server.execute(*(TIDY[step] for step in ("create", *counts, "vacuum")))


def _each_user(server: Server, method: str, path: str = "", body: object = None) -> list[bytes]:
    return [request(method, user, path, body) for user in server.tasks if user not in (HEAVY, LIGHT)]


def _each_task(server: Server, method: str, path: str = "", body: object = None) -> list[bytes]:
    found = [
        request(method, user, f"/{task}{path}", body)
        for user, tasks in server.tasks.items()
        if user not in (HEAVY, LIGHT)
        for task in tasks
    ]
    random.Random(0).shuffle(found)
    return found


async def one_task(server: Server, _turn: int) -> list[bytes]:
    """Return requests for single tasks of all users."""
    return _each_task(server, "GET")


async def list_of_20(server: Server, _turn: int) -> list[bytes]:
    """Return requests for the first page of each user."""
    return _each_user(server, "GET", "?limit=20")


async def list_of_50(server: Server, _turn: int) -> list[bytes]:
    """Return requests for the whole list of each user, which has 50 tasks."""
    return _each_user(server, "GET")


async def create(server: Server, _turn: int) -> list[bytes]:
    """Return requests that create a task for each user."""
    return _each_user(server, "POST", body={"title": CREATED})


async def update(server: Server, turn: int) -> list[bytes]:
    """Return requests that change the title of each task twice. Each is a real change."""
    return [one for word in ("odd", "even") for one in _each_task(server, "PATCH", body={"title": f"{turn} {word}"})]


async def toggle(server: Server, _turn: int) -> list[bytes]:
    """Return requests that toggle each task."""
    return _each_task(server, "PATCH", "/complete")


async def unchanged_list(server: Server, _turn: int) -> list[bytes]:
    """Return requests for each user's list of 20, with the list's current ETag."""
    users = [user for user in server.tasks if user not in (HEAVY, LIGHT)]
    replies = await ask_all(server, [request("GET", user, "?limit=20") for user in users])
    if not all("etag" in reply.headers for reply in replies):
        raise SkippedError("lists have no ETag yet")
    tags = [reply.headers["etag"] for reply in replies]
    return [request("GET", user, "?limit=20", If_None_Match=tag) for user, tag in zip(users, tags, strict=True)]


async def list_of_10000(_server: Server, _turn: int) -> list[bytes]:
    """Return a request for the longest list that the quota allows."""
    return [request("GET", HEAVY)]


async def first_page(_server: Server, _turn: int) -> list[bytes]:
    """Return a request for the first page of a user with 100 tasks."""
    return [request("GET", LIGHT, f"?limit={PAGE}")]


async def first_page_of_10000(_server: Server, _turn: int) -> list[bytes]:
    """Return a request for the first page of a user with 10,000 tasks."""
    return [request("GET", HEAVY, f"?limit={PAGE}")]


async def deep_page(server: Server, _turn: int) -> list[bytes]:
    """Return a request for the 200th page of a user with 10,000 tasks. Follow the cursors to it, as a client does."""
    path = f"?limit={PAGE}"
    for _ in range(HEAVY_TASKS // PAGE - 1):
        (reply,) = await ask_all(server, [request("GET", HEAVY, path)])
        path = reply.headers["link"].partition("<")[2].partition(">")[0].partition("/tasks")[2]
    return [request("GET", HEAVY, path)]


MAIN = (
    Cell("one task", one_task),
    Cell("list of 20", list_of_20),
    Cell("list of 50", list_of_50),
    Cell("create", create, 201, writes=True),
    Cell("update", update, writes=True),
    Cell("toggle", toggle, writes=True),
)
UNCHANGED = Cell("unchanged list of 20", unchanged_list, 304, ("doable", "fastify_equal"))
WHOLE = Cell("whole list of 10,000", list_of_10000, servers=("doable", "floor"), connections=1)
DEPTH = (
    Cell("page of 50, of 100 tasks", first_page, servers=("doable",)),
    Cell("page of 50, of 10,000 tasks", first_page_of_10000, servers=("doable",)),
    Cell("page of 50, 200 pages deep", deep_page, servers=("doable",)),
)
NARROW, WIDE = (
    (
        Cell(f"one task, {beside} of others", one_task, servers=("doable",)),
        Cell(f"page of 50, {beside} of others", first_page, servers=("doable",)),
    )
    for beside in ("beside thousands", "beside 1,000,000")
)
