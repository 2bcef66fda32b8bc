"""Read all data of one user, page by page. Each statement names the owner as `$1`."""

from __future__ import annotations

from collections.abc import AsyncIterator

from service.database.functions import DOCUMENT, TRASHED_DOCUMENT
from service.database.scoping import Connection

PAGE_SIZE = 250  # tasks; the longest ones make a page of 2 MB

OWNER = """
SELECT row_to_json(fields)::text AS document
FROM (
    SELECT id, email, name, to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS created_at,
           revision
    FROM users WHERE id = $1
) AS fields
"""

PAGE = f"""
SELECT id, CASE WHEN deleted_at IS NULL THEN {DOCUMENT} ELSE {TRASHED_DOCUMENT} END AS document
FROM tasks WHERE user_id = $1 AND id > $2 AND ($3 OR deleted_at IS NULL)
  AND version > (SELECT erased FROM users WHERE id = $1)
ORDER BY id LIMIT $4
"""  # noqa: S608 - constants only


class UserArchive:
    """All data of one user. Every method raises UnavailableError if the database is not available."""

    __slots__ = ("_connection", "user_id")

    def __init__(self, user_id: str, connection: Connection) -> None:
        """Bind the archive to its owner and to the connection."""
        self.user_id = user_id
        self._connection = connection

    async def owner(self) -> str | None:
        """Read the user's row as JSON; None for a user who has never written."""
        row = await self._connection.fetch_first(OWNER, self.user_id)
        return row["document"] if row else None

    async def pages(self, *, trash: bool) -> AsyncIterator[str]:
        """Read all tasks in the order of their ids. Yields pages of 1 to PAGE_SIZE tasks, as comma-separated JSON.

        Each page is one statement; no connection is held between two pages. The result may contain a concurrent change
        or miss it, but it contains no task twice. With `trash`, it includes deleted tasks with their `deleted_at`.
        """
        after, more = 0, True
        while more:
            rows = await self._connection.fetch_rows(PAGE, self.user_id, after, trash, PAGE_SIZE)
            if rows:
                after = rows[-1]["id"]
                yield ",".join([row["document"] for row in rows])
            more = len(rows) == PAGE_SIZE
