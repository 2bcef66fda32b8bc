"""The database functions: one for each verb that writes, and those that only read. Each has a file of its own.

A migration reads the file when it runs. If a function changes, its old text moves to a file beside the migration that
created it, and a new migration replaces the function or adds one with more arguments
(docs/how-to/change-the-schema-safely.md).
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
COMMENT = re.compile(r"^ *--.*\n| +--.*$", re.MULTILINE)  # no string in these files contains two hyphens
BODY = re.compile(r"AS \$\$\n(.*?)\$\$;", re.DOTALL)
STATEMENTS = re.compile(r"^(CREATE FUNCTION (\w+)\(.*?^\$\$;\n)", re.DOTALL | re.MULTILINE)


@cache
def source(name: str) -> str:
    """Return the statement that creates the function `name`.

    It has no comments. PostgreSQL compresses the row of a function that is longer than 2 kB, and decompresses it at
    each call, which costs up to 20,000 instructions.
    """
    return _without_comments(FILES[name].read_text())


def _without_comments(text: str) -> str:
    return COMMENT.sub("", text)


def sources(names: Sequence[str], *, replaced: Path | None = None) -> str:
    """Return the statements that create the functions `names`, for a migration.

    The file `replaced` has the text of those functions that a later migration has replaced.
    """
    found = STATEMENTS.findall(_without_comments(replaced.read_text())) if replaced else ()
    old = {name: text for text, name in found}
    return "\n".join(old.get(name) or source(name) for name in names)


def replacing(statements: str) -> str:
    """Return `statements` so that they replace functions with the same name, arguments and results."""
    return statements.replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION")


@cache
def body(name: str) -> str:
    """Return the body of the function, between its dollar signs, as PostgreSQL stores it in `pg_proc.prosrc`."""
    found = BODY.search(source(name))
    assert found, name  # noqa: S101 - each file has this form
    return f"\n{found[1]}"


def call(name: str, arguments: int) -> str:
    """Return a statement that calls the function `name`. `arguments` is their number; the first is the owner."""
    return _call(name, [f"${number}" for number in range(1, arguments + 1)])


def call_by(name: str, arguments: int, *, place: int, find: str) -> dict[type, str]:
    """Return two statements that call the function `name`, by the type of the argument at `place`: an id or a uid.

    The function takes an id. `find` is the function that returns the id of a uid. An unknown uid becomes 0, which is
    the id of no row.
    """
    places = [f"${number}" for number in range(1, arguments + 1)]
    found = [*places]
    found[place - 1] = f"coalesce({find}($1, ${place}), 0)"
    return {int: _call(name, places), str: _call(name, found)}


def _call(name: str, places: Sequence[str]) -> str:
    return f"SELECT * FROM {name}({', '.join(places)})"  # noqa: S608 - the names come from this service only


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
    installed = {
        row["name"]: [_without_comments(text) for text in row["bodies"]] for row in await connection.fetch(INSTALLED)
    }
    return [
        *(f"{name} is missing" for name in FUNCTIONS if name not in installed),
        *(f"{name} {UNKNOWN}" for name in installed if name not in FUNCTIONS),
        *(f"{name} differs" for name in FUNCTIONS if body(name) not in installed.get(name, [body(name)])),
    ]


def _built(name: str, table: str) -> str:
    """Return an SQL expression that calls the function `name`, whose arguments have the names of columns of `table`."""
    parameters = source(name).partition("(")[2].partition("\n)")[0]
    columns = [parameter.split()[0].strip('"') for parameter in re.split(r",\s*", parameters.strip())]
    return f"{name}({', '.join(f'{table}.{column}' for column in columns)})"


def _inlined(name: str, argument: str, table: str) -> str:
    """Return the expression of the SQL function `name` for a row of `table`. Its `argument` is a row."""
    expression = body(name).strip().removeprefix("SELECT ")
    return re.sub(rf"\b{argument}\.", f"{table}.", expression)


def _trashed(document: str, table: str) -> str:
    """Return an SQL expression for the JSON of a deleted row, which has one more member and is not stored."""
    return (
        f"""left({document}, -1) || ', "deleted_at" : "' """
        f"""|| to_char({table}.deleted_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') || '"}}'"""
    )


BUILT = _built("build_document", "tasks")
# The JSON of a task: the stored one, or a new one if none is stored. See `build_document.sql`.
DOCUMENT = f"coalesce(tasks.document, {BUILT})"
TRASHED_DOCUMENT = _trashed(BUILT, "tasks")
# The JSON of a list, which is not stored.
LIST_DOCUMENT = _inlined("list_document", "list", "lists")
TRASHED_LIST_DOCUMENT = _trashed(LIST_DOCUMENT, "lists")
