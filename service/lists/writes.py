"""One user's lists, read as a queryset and written by database functions.

As with tasks, each write is one call of a function that locks the owner's row, reads, decides, writes, and advances the
owner's revision (see `service.tasks.writes`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from typing import Literal

from service.database.expected import Expected
from service.database.functions import call, call_by
from service.database.items import Reference, StoredItem
from service.database.operations import MAXIMUM_LISTS, Quotas
from service.database.scoping import Connection, Row
from service.database.uids import new_uid
from service.errors import ListNotFoundError
from service.lists import outcomes
from service.lists.outcomes import NO_QUOTAS
from service.lists.queryset import ListQuerySet, stored
from service.users.queryset import PAGE

CREATE = call("create_list", 11)
UPDATE = call_by("update_list", 12, place=4, find="list_id_of")
DELETE = call_by("delete_list", 8, place=4, find="list_id_of")
RESTORE = call_by("restore_list", 6, place=4, find="list_id_of")
DESTROY = call_by("destroy_lists", 5, place=2, find="list_id_of")

# Valid values by name: name, color, archived; `placed` and `place`, which `seat_list.sql` describes; for a new list,
# the `uid` that the client chose.
ListChanges = Mapping[str, object]


class UserLists(ListQuerySet):
    """The lists of one user, and their writes. A write must not follow a verb of the queryset.

    A write raises UnavailableError if the database is not available. It is never performed in part, but it may have
    been performed if its response was lost.
    """

    __slots__ = ()

    @property
    def _unnarrowed(self) -> Connection:
        """The connection, for a write. Raises TypeError after a verb, because the database function would ignore it."""
        if self._shape != ():
            raise TypeError("a write names its lists itself; call it without a verb before it")
        return self._connection

    def _call(self, text: str, *arguments: object) -> Awaitable[Row]:
        """Call a database function for the owner."""
        return self._unnarrowed.call(text, *self._owner, *arguments)

    async def create(self, values: ListChanges) -> StoredItem:
        """Create a list; `values` must contain a name.

        If a live list has the uid in `values`, returns that list as it is. Raises UidInTrashError if a deleted one has
        it, ListQuotaError if there are MAXIMUM_LISTS, and InvalidInputError for a neighbour that is not there.
        """
        sent = values.get
        uid = sent("uid")
        row = await self._call(
            CREATE, MAXIMUM_LISTS, uid or new_uid(), uid is not None, values["name"], sent("color"),
            values.get("archived", False), sent("placed"), sent("place"),
        )  # fmt: skip
        if row["outcome"] not in outcomes.DONE:
            raise _error(row, values)
        return stored(row)._replace(known=row["outcome"] == "known")

    async def update(  # type: ignore[override]  # reason: Tortoise's method would bypass the function
        self, list_id: Reference, changes: ListChanges, expected: Expected | None = None
    ) -> StoredItem:
        """Set the columns in `changes`. If nothing changes, the version and the time stay the same.

        Raises ListNotFoundError, VersionMismatchError if the list's version is not as `expected`, and InvalidInputError
        for a neighbour that is not there.
        """
        sent = changes.get
        row = await self._write(
            UPDATE, list_id, expected, sent("name"), "color" in changes, sent("color"), sent("archived"),
            sent("placed"), sent("place"),
        )  # fmt: skip
        if row["outcome"] != "done":
            raise _error(row, changes)
        return stored(row)

    async def delete(  # type: ignore[override]  # reason: as with `update`
        self,
        list_id: Reference,
        expected: Expected | None = None,
        *,
        tasks: Literal["inbox", "trash"] | None,
        trash_quota: int,
    ) -> None:
        """Move the list to the trash, and its tasks to the inbox or to the trash.

        Raises the errors of `update`, InvalidInputError if the list has tasks and `tasks` is None, and TrashFullError.
        """
        row = await self._write(DELETE, list_id, expected, tasks, trash_quota)
        if row["outcome"] != "done":
            raise _error(row, {}, Quotas(0, trash_quota))

    async def restore(self, list_id: Reference, *, task_quota: int) -> StoredItem:
        """Restore the list from the trash, with the tasks that were deleted together with it.

        Raises ListNotFoundError, ListQuotaError, and TaskQuotaError if there would be more than `task_quota` tasks.
        """
        row = await self._call(RESTORE[type(list_id)], list_id, MAXIMUM_LISTS, task_quota)
        if row["outcome"] != "done":
            raise _error(row, {}, Quotas(task_quota, 0))
        return stored(row)

    async def destroy(self, list_id: Reference) -> None:
        """Permanently remove the list. Raises ListNotFoundError if it is not in the trash."""
        if not await self._destroy(list_id):
            raise ListNotFoundError

    async def destroy_all(self) -> int:
        """Permanently remove all lists in the trash. Returns their number."""
        destroyed = removed = await self._destroy(None)
        while removed == PAGE:
            destroyed += (removed := await self._destroy(None))
        return destroyed

    async def _destroy(self, list_id: Reference | None) -> int:
        text = DESTROY[str if isinstance(list_id, str) else int]
        row = await self._unnarrowed.call(text, self.user_id, list_id, PAGE, None, True)  # noqa: FBT003 - the owner requested it
        return int(row["destroyed"])

    async def _write(
        self, texts: Mapping[type, str], list_id: Reference, expected: Expected | None, *values: object
    ) -> Row:
        """Call a database function that writes one list. Raises ListNotFoundError and VersionMismatchError."""
        versions, excluded = expected.arrays if expected else (None, None)
        row = await self._call(texts[type(list_id)], list_id, versions, excluded, *values)
        if row["outcome"] == "missing":
            raise ListNotFoundError
        if row["outcome"] == "mismatch":
            assert expected is not None  # noqa: S101 - only an expected version can mismatch
            raise expected.mismatch(row["list_version"], row["document"], "list")
        return row


def _error(row: Row, values: ListChanges, quotas: Quotas = NO_QUOTAS) -> Exception:
    return outcomes.error(row["outcome"], values, row["list_version"], quotas=quotas)
