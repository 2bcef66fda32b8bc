"""The database functions: one for each verb that writes, and those that only read. Each has a file of its own.

A migration reads the file when it runs. Therefore a released file must never change. A changed function gets a new name
and a new file, and a later release drops the old one (docs/how-to/change-the-schema-safely.md).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, Protocol

# The files by function name, from the folders `sql` of all nouns. A name is unique across all nouns.
FILES = {path.stem: path for path in Path(__file__).parents[1].glob("*/sql/*.sql")}
FUNCTIONS = sorted(FILES)  # the functions that exist after the newest migration
BODY = re.compile(r"AS \$\$\n(.*?)\$\$;", re.DOTALL)


@cache
def source(name: str) -> str:
    """Return the statement that creates the function `name`, with the comments above it."""
    return FILES[name].read_text()


@cache
def body(name: str) -> str:
    """Return the body of the function, between its dollar signs, as PostgreSQL stores it in `pg_proc.prosrc`."""
    found = BODY.search(source(name))
    assert found, name  # noqa: S101 - each file has this form
    return f"\n{found[1]}"


def call(name: str, arguments: int) -> str:
    """Return a statement that calls the function `name`. `arguments` is their number; the first is the owner."""
    places = ", ".join(f"${number}" for number in range(1, arguments + 1))
    return f"SELECT * FROM {name}({places})"  # noqa: S608 - the names come from this service only


UNKNOWN = "is in no file"
INSTALLED = """
SELECT proname AS name, array_agg(prosrc) AS bodies
FROM pg_proc WHERE pronamespace = current_schema()::regnamespace AND prolang IN (
    SELECT oid FROM pg_language WHERE lanname IN ('sql', 'plpgsql')
)
GROUP BY proname ORDER BY proname
"""


class Rows(Protocol):
    """A connection that returns rows."""

    async def fetch(self, query: str) -> Sequence[Any]:
        """Return all rows of `query`."""


async def differences(connection: Rows) -> list[str]:
    """Return a sentence for each function that differs between the database and the files."""
    installed = {row["name"]: row["bodies"] for row in await connection.fetch(INSTALLED)}
    return [
        *(f"{name} is missing" for name in FUNCTIONS if name not in installed),
        *(f"{name} {UNKNOWN}" for name in installed if name not in FUNCTIONS),
        *(f"{name} differs" for name in FUNCTIONS if installed.get(name, [body(name)]) != [body(name)]),
    ]


def _document(table: str) -> str:
    """Return an SQL expression for the JSON of a live task in `table`; see `task_document.sql`."""
    expression = body("task_document").strip().removeprefix("SELECT ")
    return re.sub(r"\btask\.", f"{table}.", expression)


# The JSON of a task: the stored one, or a new one if none is stored. See `task_document.sql`.
DOCUMENT = f"coalesce(tasks.document, {_document('tasks')})"
# The JSON of a deleted task, which has one more member and is not stored.
TRASHED_DOCUMENT = (
    f"""left({_document("tasks")}, -1) || ', "deleted_at" : "' """
    """|| to_char(tasks.deleted_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') || '"}'"""
)
