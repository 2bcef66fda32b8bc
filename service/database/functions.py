"""The database functions that write: one for each verb, each in a file beside its noun, created by a migration.

A migration reads the file when it runs, so a file that was released is never changed: a changed function gets a new
name and a file of its own, and the old one is dropped a release later (docs/how-to/change-the-schema-safely.md).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, Protocol

# By name, which is unique among all rooms: each noun keeps its own in a folder `sql`.
FILES = {path.stem: path for path in Path(__file__).parents[1].glob("*/sql/*.sql")}
FUNCTIONS = sorted(FILES)  # that the newest migration leaves
BODY = re.compile(r"AS \$\$\n(.*?)\$\$;", re.DOTALL)


@cache
def source(name: str) -> str:
    """The statement that creates the function `name`, with the comments above it."""
    return FILES[name].read_text()


@cache
def body(name: str) -> str:
    """What stands between the dollar signs of the function, as PostgreSQL keeps it in `pg_proc.prosrc`."""
    found = BODY.search(source(name))
    assert found, name  # noqa: S101 - each file is written so
    return f"\n{found[1]}"


def call(name: str, arguments: int) -> str:
    """The statement that calls the function `name` with so many `arguments`, of which the owner is the first."""
    places = ", ".join(f"${number}" for number in range(1, arguments + 1))
    return f"SELECT * FROM {name}({places})"  # noqa: S608 - names of ours alone


UNKNOWN = "is in no file"
INSTALLED = """
SELECT proname AS name, array_agg(prosrc) AS bodies
FROM pg_proc WHERE pronamespace = current_schema()::regnamespace AND prolang IN (
    SELECT oid FROM pg_language WHERE lanname IN ('sql', 'plpgsql')
)
GROUP BY proname ORDER BY proname
"""


class Rows(Protocol):
    """A connection that gives many rows."""

    async def fetch(self, query: str) -> Sequence[Any]:
        """Give all rows of `query`."""


async def drift(connection: Rows) -> list[str]:
    """Say in which functions the database behind `connection` differs from the files; nothing if in none."""
    installed = {row["name"]: row["bodies"] for row in await connection.fetch(INSTALLED)}
    return [
        *(f"{name} is missing" for name in FUNCTIONS if name not in installed),
        *(f"{name} {UNKNOWN}" for name in installed if name not in FUNCTIONS),
        *(f"{name} differs" for name in FUNCTIONS if installed.get(name, [body(name)]) != [body(name)]),
    ]


def _document(table: str) -> str:
    """The JSON of a live task, as an expression over the columns of `table`; see `sql/task_document.sql`."""
    expression = body("task_document").strip().removeprefix("SELECT ")
    return re.sub(r"\btask\.", f"{table}.", expression)


# Answers take the kept JSON, and build it where none is kept: see `sql/task_document.sql`.
DOCUMENT = f"coalesce(tasks.document, {_document('tasks')})"
# A deleted task has one member more, and no kept JSON.
TRASHED_DOCUMENT = (
    f"""left({_document("tasks")}, -1) || ', "deleted_at" : "' """
    """|| to_char(tasks.deleted_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') || '"}'"""
)
