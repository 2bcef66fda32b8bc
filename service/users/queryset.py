"""One user as a queryset: reads of the owner's row, and the erasure of a user.

An erasure first makes all data of the user unreachable, in one short transaction. It then removes the rows of the trash
page by page. Until the last page, `erased` in the user's row is the version up to which tasks are erased, and all reads
of the trash exclude these tasks. The daily upkeep removes the rest of an interrupted erasure.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from service.database.expressions import Writer
from service.database.functions import call
from service.database.querysets import OwnedQuerySet

if TYPE_CHECKING:
    from service.database.scoping import Row
    from service.users.models import User  # noqa: F401 - as a string, below

LIVE_AT_ONCE = 10_000  # live tasks that one transaction removes; the default of TASK_QUOTA
PAGE = 5_000  # rows; the maximum that one statement removes if there is no other limit; it takes about 0.2 s

# If there are more live tasks, LIVE_PAGE removes the others first, so that the transaction of ERASE is always short.
LIVE_PAGE = call("erase_live_page", 3)
ERASE = call("erase_owner", 1)
SWEEP = call("sweep_erased", 2)

# The time of the owner's first write in microseconds, in hexadecimal digits. An owner who writes again after an erasure
# has another beginning, even if the revisions start from 1 again.
BEGINNING = "to_hex((date_part('epoch', users.created_at) * 1000000)::bigint)"
POSITION = {"beginning": BEGINNING, "revision": "users.revision"}
# The state changes whenever a task of the owner changes, and no value occurs twice.
STATE = {"state": f"{BEGINNING} || '-' || users.revision"}
NEVER_WRITTEN = "0"  # the state of a user without a row
EXPORTED = {
    "id": "users.id", "email": "users.email", "name": "users.name",
    "created_at": """to_char(users.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')""",
    "revision": "users.revision",
}  # fmt: skip


class SyncPosition(NamedTuple):
    """The progress of a reader: the `beginning` of the user's history, and a `revision` in it.

    A revision alone does not identify a history: after an erasure, the same user can start from 1 again. The beginning
    is empty before the first write. During a full sync, the revision may be older than `forgotten`, the newest revision
    of a removed tombstone when the page was read. In all other positions `forgotten` is 0.
    """

    beginning: str = ""
    revision: int = 0
    forgotten: int = 0

    def __str__(self) -> str:
        """Format the position for clients, to which it is opaque. It is `0` before the first write."""
        text = f"{self.beginning}-{self.revision}" if self.beginning else "0"
        return f"{text}-{self.forgotten}" if self.forgotten else text


START = SyncPosition()  # the position of a user without a row, and the start of a full sync


class UserQuerySet(OwnedQuerySet["User"]):
    """The row of one user. Every method raises UnavailableError if the database is not available."""

    __slots__ = ()

    owner_column: ClassVar[str] = "id"

    async def state(self) -> str:
        """Return the state of the user's tasks: while it is the same, no task has changed. Reads one row."""
        row = await self.fetch_first(_state)
        return row["state"] if row else NEVER_WRITTEN

    async def position(self) -> SyncPosition:
        """Return the position of the last write; START before the first write."""
        row = await self.fetch_first(_position)
        return position_of(row) if row else START

    async def exported(self) -> str | None:
        """Return the JSON of the user's row for an export; None for a user who has never written."""
        row = await self.fetch_first(_exported)
        return row["document"] if row else None

    async def erase(self, *, within: float) -> bool:
        """Erase the user: tasks, lists, trash, idempotency keys and the row. A user without data is not an error.

        Stops after `within` seconds. Returns whether everything is removed; if not, a second call or the daily upkeep
        continues. Raises UnavailableError if the database is not available; a second call continues then too.
        """
        ends = time.monotonic() + within
        while (await self._connection.call(LIVE_PAGE, self.user_id, LIVE_AT_ONCE, PAGE))["gone"]:
            if time.monotonic() > ends:
                return False
        if not (await self._connection.call(ERASE, self.user_id))["existed"]:
            return True
        while await self.sweep():
            if time.monotonic() > ends:
                return False
        return True

    async def sweep(self) -> int:
        """Remove a page of erased tasks and return their number; after the last page, remove the user's row too."""
        row = await self._connection.call(SWEEP, self.user_id, PAGE)
        return int(row["gone"])


def position_of(row: Row) -> SyncPosition:
    """Return the position in a row with the columns POSITION."""
    return SyncPosition(row["beginning"], row["revision"])


def _state(user: UserQuerySet, sql: Writer) -> str:
    return sql(user.columns(**STATE))


def _position(user: UserQuerySet, sql: Writer) -> str:
    return sql(user.columns(**POSITION))


def _exported(user: UserQuerySet, sql: Writer) -> str:
    return f"SELECT row_to_json(fields)::text AS document FROM ({sql(user.columns(**EXPORTED))}) AS fields"  # noqa: S608 - constants only
