"""Everything that one user has, to be taken out page by page.

As everywhere, each verb is one statement that names the owner as `$1`.
"""

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
    """All that is kept of one user, and of nobody else.

    Every method raises UnavailableError when the database cannot answer now.
    """

    __slots__ = ("_connection", "user_id")

    def __init__(self, user_id: str, connection: Connection) -> None:
        """Bind the archive to its owner and to the connection."""
        self.user_id = user_id
        self._connection = connection

    async def owner(self) -> str | None:
        """The JSON of the user's own row; None for a user who has never written."""
        row = await self._connection.fetch_first(OWNER, self.user_id)
        return row["document"] if row else None

    async def pages(self, *, trash: bool) -> AsyncIterator[str]:
        """The JSON of all tasks in the order of their ids, comma-separated, 1 to PAGE_SIZE at a time.

        Each page is a statement of its own, and between two pages no connection is held. A task that comes, goes or
        changes meanwhile may be in or not; none is given twice. With `trash` the deleted ones have a `deleted_at`.
        """
        after, more = 0, True
        while more:
            rows = await self._connection.fetch_rows(PAGE, self.user_id, after, trash, PAGE_SIZE)
            if rows:
                after = rows[-1]["id"]
                yield ",".join([row["document"] for row in rows])
            more = len(rows) == PAGE_SIZE
