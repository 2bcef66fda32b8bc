"""Lists of one user's tasks: the filters, the orders, and the SQL that builds a page of JSON from a queryset.

Pages use a keyset, not an offset. The position after a page is the sort key and the id of its last task. A page costs
the same at any depth, and an insertion or deletion between two pages neither repeats nor skips a task. The order is
always `(sort key, id)` in one direction. The order of creation is that of the primary key. Each other order sorts the
tasks of one user, at most 10,000 by default; an index for it would cost every write more than it saves a read.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from pypika_tortoise.terms import Term
from tortoise.expressions import Q, RawSQL

from service.database.expressions import Sql, Writer, where
from service.database.items import Reference
from service.database.keyset import Page, Position
from service.users.queryset import NEVER_WRITTEN, STATE

if TYPE_CHECKING:
    from service.database.scoping import Row
    from service.tasks.queryset import TaskQuerySet

# A due day ends with its last microsecond in UTC, because it has no time zone; a due time counts as it is. Tasks that
# are never due come last in both directions.
DUE = "coalesce(tasks.due_at, ((tasks.due_date + 1)::timestamp - interval '1 microsecond') AT TIME ZONE 'UTC')"
DUE_ASCENDING = f"coalesce({DUE}, timestamptz 'infinity')"
DUE_DESCENDING = f"coalesce({DUE}, timestamptz '-infinity')"

# A JSON array of the listed tasks, in their order.
ARRAY = "'[' || coalesce(string_agg(document, ','), '') || ']'"
ORDERED_ARRAY = "'[' || coalesce(string_agg({}, ',' ORDER BY place), '') || ']'"

# A key as text that does not depend on the session's DateStyle and TimeZone.
PORTABLE = {
    "timestamptz": "CASE WHEN isfinite(key) THEN to_char(key AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US+00') "
    "ELSE key::text END",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Walk:
    """An order of a user's tasks: by `key`, then by id.

    `key` is an SQL expression of the `type`. It is `unique` if no two tasks have the same key; the id is not needed
    then. The walk is `indexed` if an index has its order.
    """

    key: str
    type: str
    descending: bool
    unique: bool = False
    indexed: bool = False

    @property
    def order(self) -> list[str]:
        """The arguments of `order_by`; a queryset in this order has the annotation `key`."""
        sign = "-" if self.descending else ""
        return [f"{sign}key"] if self.unique else [f"{sign}key", f"{sign}id"]

    @property
    def place(self) -> str:
        """The expression for the number of a task in this order, from 1.

        It repeats the order, because PostgreSQL evaluates window functions before the ORDER BY of their SELECT.
        """
        direction = "DESC" if self.descending else "ASC"
        return f"row_number() OVER (ORDER BY {self.key} {direction}, tasks.id {direction})"

    def beyond(self, key: Term, identity: Term) -> Q:
        """Return the condition that a task comes after the position of `key`, a term of the `type`, and `identity`."""
        sign = "<" if self.descending else ">"
        if self.unique:
            return where(f"{self.key} {sign} {{}}", key)
        return where(f"({self.key}, tasks.id) {sign} ({{}}, {{}})", key, identity)


# `created` sorts by id and `updated` by version. Both are assigned under the same lock as the timestamps, so they have
# the same order, but without ties. Only imported tasks differ: an import keeps their timestamps, and assigns the id and
# the version.
# The position of a task that has none of its own puts a newer task before all older ones.
POSITION = '(coalesce(tasks.position, position_of_id(tasks.id)) COLLATE "C")'
KEYS = {
    "created": ("tasks.id", "tasks.id", "bigint"),
    "updated": ("tasks.version", "tasks.version", "bigint"),
    "title": ("tasks.title_key", "tasks.title_key", "text"),
    "due_date": (DUE_ASCENDING, DUE_DESCENDING, "timestamptz"),
    "priority": ("tasks.priority", "tasks.priority", "smallint"),
    "position": (POSITION, POSITION, 'text COLLATE "C"'),
}
UNIQUE = frozenset({"created", "updated"})
SORTS = {
    (sort, descending): Walk(
        key=keys[descending], type=keys[2], descending=descending, unique=sort in UNIQUE, indexed=sort == "created"
    )
    for sort, keys in KEYS.items()
    for descending in (False, True)
}
NEWEST_FIRST = SORTS["created", True]
LAST_DELETED_FIRST = Walk(key="tasks.deleted_at", type="timestamptz", descending=True, indexed=True)


AT_TOP_LEVEL = "none"


class Lists(NamedTuple):
    """The lists to which a query is restricted, and whether the inbox is among them."""

    ids: tuple[int, ...]
    uids: tuple[str, ...]
    inbox: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskQuery:
    """The filters and the order of a list of live tasks. All values are valid; `tags` and `text` are folded."""

    completed: bool | None = None
    lists: Lists | None = None  # None: all but the archived ones
    parent: Reference | None = None  # an id, a uid or AT_TOP_LEVEL
    priorities: tuple[int, ...] = ()
    tags: tuple[str, ...] = ()
    due_before: datetime | None = None
    due_after: datetime | None = None
    overdue: bool = False
    text: str | None = None
    sort: str = "created"
    descending: bool = True
    limit: int | None = None
    after: Position | None = None
    count: bool = False

    def given(self) -> dict[str, Any]:
        """Return the parts that differ from their defaults, by name."""
        return {part.name: value for part in fields(self) if (value := getattr(self, part.name)) != part.default}


def page_of(row: Row) -> Page:
    """Convert a row of one of the SQL texts below."""
    position = Position(row["key"], row["id"]) if row["more"] else None
    return Page(row["document"], position, row["total"], row["state"] or NEVER_WRITTEN)


def whole(tasks: TaskQuerySet, sql: Writer, *, counted: bool) -> str:
    """Build the SQL text that reads all `tasks`. If `counted`, the text also counts them."""
    tasks, _ = _ordered(tasks)
    return f"""
        SELECT {ARRAY} AS document, {_total(tasks, sql, counted=counted)} AS total,
               ({owner_state(tasks, sql)}) AS state, NULL AS more
        FROM ({sql(tasks.columns(document=tasks.document))}) AS listed
    """  # noqa: S608 - values are arguments, all else is ours


def first_page(tasks: TaskQuerySet, sql: Writer, limit: Term, *, counted: bool) -> str:
    """Build the SQL text that reads the first `limit` of `tasks`."""
    tasks, walk = _ordered(tasks)
    return _page(walk, tasks, tasks, sql, limit, counted=counted)


def next_page(tasks: TaskQuerySet, sql: Writer, limit: Term, key: Term, identity: Term, *, counted: bool) -> str:  # noqa: PLR0913 - the parts of a page
    """Build the SQL text that reads the first `limit` of `tasks` after `key`, as text, and `identity`."""
    tasks, walk = _ordered(tasks)
    listed = tasks.filter(walk.beyond(Sql(f"{{}}::text::{walk.type}", key), Sql("{}", identity)))
    return _page(walk, tasks, listed, sql, limit, counted=counted)


def _ordered(tasks: TaskQuerySet) -> tuple[TaskQuerySet, Walk]:
    """Return `tasks` in their order, newest first if they have none, and the order."""
    return (tasks, tasks.walk) if tasks.walk else (tasks.along(NEWEST_FIRST), NEWEST_FIRST)


def _page(  # noqa: PLR0913 - the parts of a page
    walk: Walk, tasks: TaskQuerySet, listed: TaskQuerySet, sql: Writer, limit: Term, *, counted: bool
) -> str:
    """Build the SQL text of a page of `listed`, which is a part of all `tasks`."""
    frame = _along_an_index if walk.indexed else _sorted
    return frame(walk, tasks, listed, sql, limit, _total(tasks, sql, counted=counted))


def _along_an_index(  # noqa: PLR0913, PLR0917 - the parts of a page
    walk: Walk, tasks: TaskQuerySet, listed: TaskQuerySet, sql: Writer, limit: Term, total: str
) -> str:
    # Only a full page can have a next one. One more step along the index shows whether there is one. To read one more
    # row and remove it again took a quarter longer.
    size = f"{sql(limit)}::int"
    page = listed.limited(limit)
    if walk.unique:
        documents = page.columns(key=walk.key, document=tasks.document)
        last = f"CASE WHEN count(*) = {size} THEN {'min' if walk.descending else 'max'}(key) END"
        end = f"{last} AS key, {last} AS id"
    else:
        documents = page.columns(id="tasks.id", key=walk.key, document=tasks.document, place=walk.place)
        end = f"max(key) FILTER (WHERE place = {size}) AS key, max(id) FILTER (WHERE place = {size}) AS id"
    following = tasks.filter(walk.beyond(RawSQL("page.key"), RawSQL("page.id"))).limited(RawSQL("1"))
    return f"""
        SELECT document, {PORTABLE.get(walk.type, "key::text")} AS key, id, {total} AS total,
               ({owner_state(tasks, sql)}) AS state, ({sql(following.columns(more="true"))}) AS more
        FROM (SELECT {ARRAY} AS document, {end} FROM ({sql(documents)}) AS listed) AS page
    """  # noqa: S608 - values are arguments, all else is ours


def _sorted(  # noqa: PLR0913, PLR0917 - the parts of a page
    walk: Walk, tasks: TaskQuerySet, listed: TaskQuerySet, sql: Writer, limit: Term, total: str
) -> str:
    # Sort only keys and ids, and one more than the page needs: the additional one shows whether there is a next page.
    size = f"{sql(limit)}::int"
    keys = listed.limited(Sql("{}::int + 1", limit)).columns(id="tasks.id", key=walk.key)
    return f"""
        WITH page AS MATERIALIZED (SELECT id, key, row_number() OVER () AS place FROM ({sql(keys)}) AS listed)
        SELECT (SELECT {ORDERED_ARRAY.format(tasks.document)} FROM page JOIN tasks
                ON tasks.user_id = {sql(tasks.owner_term)} AND tasks.id = page.id AND place <= {size}) AS document,
               {PORTABLE.get(walk.type, "key::text")} AS key, id, {total} AS total,
               ({owner_state(tasks, sql)}) AS state, size > {size} AS more
        FROM (SELECT count(*) AS size FROM page) AS counted
        LEFT JOIN page ON page.place = {size}
    """  # noqa: S608 - values are arguments, all else is ours


def owner_state(tasks: TaskQuerySet, sql: Writer) -> str:
    """Return the SELECT of the state of the owner of `tasks`, for SQL texts that read both in one snapshot."""
    return sql(tasks.owner.columns(**STATE))


def _total(tasks: TaskQuerySet, sql: Writer, *, counted: bool) -> str:
    return f"({sql(tasks.count())})" if counted else "NULL"
