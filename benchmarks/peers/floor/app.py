"""The floor: the least that Sanic and asyncpg can do for this API, and nothing that a service needs beside it.

Hand-written SQL, a pool without its reset query, a token checked once and then remembered, a list whose JSON PostgreSQL
builds. No validation, versions, headers, limits or logs: it shows what those cost, and is no service.
"""

from __future__ import annotations

import json
import os

import asyncpg
import jwt
from sanic import HTTPResponse, Request, Sanic

SCHEMA = """
CREATE TABLE IF NOT EXISTS tasks (
    id          bigint      NOT NULL GENERATED ALWAYS AS IDENTITY,
    user_id     text        NOT NULL,
    title       text        NOT NULL,
    description text,
    completed   boolean     NOT NULL DEFAULT false,
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, id)
);
"""
ONE = "row_to_json(tasks)::text"
LIST = (
    "SELECT coalesce(json_agg(page), '[]')::text FROM (SELECT * FROM tasks WHERE user_id = $1 ORDER BY id DESC{}) page"
)
PAGE = LIST.format(" LIMIT $2")
WHOLE = LIST.format("")
FIND = f"SELECT {ONE} FROM tasks WHERE user_id = $1 AND id = $2"
CREATE = f"INSERT INTO tasks (user_id, title) VALUES ($1, $2) RETURNING {ONE}"
UPDATE = f"UPDATE tasks SET title = $3, updated_at = now() WHERE user_id = $1 AND id = $2 RETURNING {ONE}"
TOGGLE = f"""
UPDATE tasks SET completed = NOT completed, updated_at = now() WHERE user_id = $1 AND id = $2 RETURNING {ONE}
"""

SECRET = os.environ["SECRET"]
SIZE = int(os.environ["POOL_SIZE"])
JSON = "application/json"

app = Sanic("floor", configure_logging=False)
app.config.update({"ACCESS_LOG": False, "MOTD": False, "AUTO_EXTEND": False})
users: dict[str, str] = {}  # by the header that named them


class BareConnection(asyncpg.Connection):
    """A connection that goes back to the pool as it is."""

    async def reset(self, *, timeout: float | None = None) -> None:  # noqa: ASYNC109 - the pool passes it
        """Nothing to reset: no statement here leaves anything behind."""


@app.before_server_start
async def connect(app: Sanic) -> None:
    """Open the pool, and make the table."""
    url = os.environ["DATABASE_URL"]
    app.ctx.pool = await asyncpg.create_pool(url, min_size=SIZE, max_size=SIZE, connection_class=BareConnection)
    await app.ctx.pool.execute(SCHEMA)


def user(request: Request) -> str:
    """Who asks, from the token; looked at once."""
    header = request.headers["authorization"]
    if header not in users:
        users[header] = jwt.decode(header[7:], SECRET, algorithms=["HS256"])["sub"]
    return users[header]


async def answer(request: Request, statement: str, *arguments: object, status: int = 200) -> HTTPResponse:
    """The one value of a statement about the caller's tasks, as it is."""
    text = await request.app.ctx.pool.fetchval(statement, user(request), *arguments)
    return HTTPResponse(text, status if text else 404, content_type=JSON)


@app.get("/api/<user_id>/tasks")
async def whole(request: Request, user_id: str) -> HTTPResponse:
    """The list, or its first `limit` tasks."""
    limit = request.args.get("limit")
    return await (answer(request, PAGE, int(limit)) if limit else answer(request, WHOLE))


@app.post("/api/<user_id>/tasks")
async def create(request: Request, user_id: str) -> HTTPResponse:
    """A new task."""
    return await answer(request, CREATE, json.loads(request.body)["title"], status=201)


@app.get("/api/<user_id>/tasks/<task_id:int>")
async def find(request: Request, user_id: str, task_id: int) -> HTTPResponse:
    """One task."""
    return await answer(request, FIND, task_id)


@app.patch("/api/<user_id>/tasks/<task_id:int>")
async def update(request: Request, user_id: str, task_id: int) -> HTTPResponse:
    """One task under a new title."""
    return await answer(request, UPDATE, task_id, json.loads(request.body)["title"])


@app.patch("/api/<user_id>/tasks/<task_id:int>/complete")
async def toggle(request: Request, user_id: str, task_id: int) -> HTTPResponse:
    """One task, turned round."""
    return await answer(request, TOGGLE, task_id)


if __name__ == "__main__":
    app.run("127.0.0.1", int(os.environ["PORT"]), single_process=True)
