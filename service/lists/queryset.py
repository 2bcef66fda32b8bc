"""One user's lists as a queryset, with verbs that can be combined in any order (see `database.querysets`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Self

from pypika_tortoise.terms import Term
from tortoise.expressions import RawSQL

from service.database.expressions import Writer, where
from service.database.functions import LIST_DOCUMENT, TRASHED_LIST_DOCUMENT
from service.database.items import Reference, StoredItem
from service.database.querysets import OwnedQuerySet, verb
from service.errors import ListNotFoundError
from service.users.models import User
from service.users.queryset import NEVER_WRITTEN, STATE, UserQuerySet

if TYPE_CHECKING:
    from service.database.scoping import Row
    from service.lists.models import List  # noqa: F401 - as a string, below

# The columns of a list as a StoredItem. The database functions return columns with the same names.
STORED = {
    "list_id": "lists.id", "list_version": "lists.version", "list_uid": "lists.uid::text", "document": LIST_DOCUMENT,
}  # fmt: skip
POSITION = '(coalesce(lists.position, position_of_id(lists.id)) COLLATE "C")'


class ListPage(NamedTuple):
    """Lists as a JSON array, and the state of their owner in the same snapshot (see `UserQuerySet.state`)."""

    document: str
    state: str


class ListQuerySet(OwnedQuerySet["List"]):
    """The lists of one user, including the trash.

    Every read raises UnavailableError if the database is not available.
    """

    __slots__ = ()

    @property
    def owner(self) -> UserQuerySet:
        """The owner of these lists."""
        return UserQuerySet(User, self._connection, self._owner)

    @verb
    def live(self) -> Self:
        """Select lists that are not in the trash."""
        return self.filter(deleted_at__isnull=True)

    @verb
    def trashed(self) -> Self:
        """Select lists in the trash."""
        return self.filter(deleted_at__isnull=False)

    @verb
    def archived(self) -> Self:
        """Select archived lists."""
        return self.filter(archived=True)

    @verb
    def active(self) -> Self:
        """Select lists that are not archived."""
        return self.filter(archived=False)

    async def find(self, list_id: Reference) -> StoredItem:
        """Read the live list with this id or uid. Raises ListNotFoundError."""
        row = await self.fetch_first(_found if isinstance(list_id, int) else _found_by_uid, list_id)
        if row is None:
            raise ListNotFoundError
        return stored(row)

    async def in_order(self) -> ListPage:
        """Read the lists in manual order."""
        row = await self.fetch_one(_in_order)
        return ListPage(row["document"], row["state"] or NEVER_WRITTEN)

    async def last_deleted_first(self) -> str:
        """Read the lists, which must be in the trash, as a JSON array; the last deletion comes first."""
        row = await self.fetch_one(_last_deleted_first)
        return str(row["document"])


def stored(row: Row) -> StoredItem:
    """Convert a row with the columns STORED."""
    return StoredItem(row["list_id"], row["list_version"], row["list_uid"], row["document"])


def _found(lists: ListQuerySet, sql: Writer, list_id: Term) -> str:
    return sql(lists.live().filter(id=list_id).columns(**STORED))


def _found_by_uid(lists: ListQuerySet, sql: Writer, uid: Term) -> str:
    return sql(lists.live().filter(where("lists.uid = {}::uuid", uid)).columns(**STORED))


def _in_order(lists: ListQuerySet, sql: Writer) -> str:
    ordered = lists.annotate(key=RawSQL(POSITION)).order_by("key", "id")
    return _array(ordered, sql, LIST_DOCUMENT)


def _last_deleted_first(lists: ListQuerySet, sql: Writer) -> str:
    return _array(lists.order_by("-deleted_at", "-id"), sql, TRASHED_LIST_DOCUMENT)


def _array(lists: ListQuerySet, sql: Writer, document: str) -> str:
    return f"""
        SELECT '[' || coalesce(string_agg(document, ','), '') || ']' AS document,
               ({sql(lists.owner.columns(**STATE))}) AS state
        FROM ({sql(lists.columns(document=document))}) AS listed
    """  # noqa: S608 - values are arguments, all else is ours
