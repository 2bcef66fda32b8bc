"""Lists of one user's tasks: what can be asked, in which orders, and the SQL that makes a page of JSON of a queryset.

Pages follow a keyset, not an offset: the position after a page is its last task's sort key and id, so a page costs
the same at any depth, and inserting or deleting between two pages repeats nothing and skips nothing. The order is
always `(sort key, id)` in one direction. By creation that is the order of the primary key; any other one is a sort of
one user's tasks, of which there are 10,000 at most: an index for each would cost every write more than it saves a read.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from pypika_tortoise.terms import Term
from tortoise.expressions import Q, RawSQL

from service.database.expressions import Sql, Writer, where
from service.users.queryset import NEVER_WRITTEN, STATE

if TYPE_CHECKING:
    from service.database.scoping import Row
    from service.tasks.queryset import TaskQuerySet

# A calendar day lasts until its last microsecond (in UTC, as it has no zone of its own); a moment is itself. Tasks
# that are never due come last in both directions.
DUE = "coalesce(tasks.due_at, ((tasks.due_date + 1)::timestamp - interval '1 microsecond') AT TIME ZONE 'UTC')"
DUE_ASCENDING = f"coalesce({DUE}, timestamptz 'infinity')"
DUE_DESCENDING = f"coalesce({DUE}, timestamptz '-infinity')"

# A JSON array of what is listed, in its order.
ARRAY = "'[' || coalesce(string_agg(document, ','), '') || ']'"
ORDERED_ARRAY = "'[' || coalesce(string_agg({}, ',' ORDER BY place), '') || ']'"

# A key as text that reads the same whatever the session's DateStyle and TimeZone are.
PORTABLE = {
    "timestamptz": "CASE WHEN isfinite(key) THEN to_char(key AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US+00') "
    "ELSE key::text END",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Walk:
    """A way through a user's tasks, in the order of `key` and then of the id.

    `key` is an SQL expression of the `type`. It is `unique` where it has no ties and needs no id to part them. The way
    is `indexed` where an index has that order.
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
        """Return the condition that a task comes after the place of `key`, a term of the `type`, and `identity`."""
        sign = "<" if self.descending else ">"
        if self.unique:
            return where(f"{self.key} {sign} {{}}", key)
        return where(f"({self.key}, tasks.id) {sign} ({{}}, {{}})", key, identity)


# `created` is the id and `updated` the version: both follow the same lock as the timestamps they stand for, in the
# same order, without ties.
KEYS = {
    "created": ("tasks.id", "tasks.id", "bigint"),
    "updated": ("tasks.version", "tasks.version", "bigint"),
    "title": ("tasks.title_key", "tasks.title_key", "text"),
    "due_date": (DUE_ASCENDING, DUE_DESCENDING, "timestamptz"),
    "priority": ("tasks.priority", "tasks.priority", "smallint"),
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


class Position(NamedTuple):
    """A place between two tasks of a list: the sort key, as PostgreSQL writes it, and the id of the one before."""

    key: str
    id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskQuery:
    """Which of a user's live tasks, and in what order. Everything is already valid, `tags` and `text` are folded."""

    completed: bool | None = None
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


class Page(NamedTuple):
    """A JSON array of tasks; where the next page begins, if there is one; how many match, if that was asked.

    `state` is the owner's (see `UserQuerySet.state`), of the same snapshot.
    """

    document: str
    next: Position | None
    total: int | None
    state: str


def page_of(row: Row) -> Page:
    """Return the page that one of the texts below has found."""
    position = Position(row["key"], row["id"]) if row["more"] else None
    return Page(row["document"], position, row["total"], row["state"] or NEVER_WRITTEN)


def whole(tasks: TaskQuerySet, sql: Writer, *, counted: bool) -> str:
    """The list of all `tasks`."""
    tasks, _ = _ordered(tasks)
    return f"""
        SELECT {ARRAY} AS document, {_total(tasks, sql, counted=counted)} AS total,
               ({owner_state(tasks, sql)}) AS state, NULL AS more
        FROM ({sql(tasks.columns(document=tasks.document))}) AS listed
    """  # noqa: S608 - values are arguments, all else is ours


def first_page(tasks: TaskQuerySet, sql: Writer, limit: Term, *, counted: bool) -> str:
    """The first `limit` of `tasks`."""
    tasks, walk = _ordered(tasks)
    return _page(walk, tasks, tasks, sql, limit, counted=counted)


def next_page(tasks: TaskQuerySet, sql: Writer, limit: Term, key: Term, identity: Term, *, counted: bool) -> str:  # noqa: PLR0913 - what makes up a page
    """The first `limit` of `tasks` after the position of `key`, as text, and `identity`."""
    tasks, walk = _ordered(tasks)
    listed = tasks.filter(walk.beyond(Sql(f"{{}}::text::{walk.type}", key), Sql("{}", identity)))
    return _page(walk, tasks, listed, sql, limit, counted=counted)


def _ordered(tasks: TaskQuerySet) -> tuple[TaskQuerySet, Walk]:
    """Return `tasks` in their order, newest first if they have none, and the order."""
    return (tasks, tasks.walk) if tasks.walk else (tasks.along(NEWEST_FIRST), NEWEST_FIRST)


def _page(  # noqa: PLR0913 - what makes up a page
    walk: Walk, tasks: TaskQuerySet, listed: TaskQuerySet, sql: Writer, limit: Term, *, counted: bool
) -> str:
    """A page of `listed`, as a part of all `tasks`."""
    frame = _along_an_index if walk.indexed else _sorted
    return frame(walk, tasks, listed, sql, limit, _total(tasks, sql, counted=counted))


def _along_an_index(  # noqa: PLR0913, PLR0917 - what makes up a page
    walk: Walk, tasks: TaskQuerySet, listed: TaskQuerySet, sql: Writer, limit: Term, total: str
) -> str:
    # Only behind a full page can there be a next one: then one more step along the index tells. A page that held a
    # row more, to be cut off again, took a quarter longer.
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


def _sorted(  # noqa: PLR0913, PLR0917 - what makes up a page
    walk: Walk, tasks: TaskQuerySet, listed: TaskQuerySet, sql: Writer, limit: Term, total: str
) -> str:
    # Keys and ids alone are sorted, one more than the page has: that one tells whether there is a next page.
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
    """The SELECT of the state of the owner of `tasks`, for texts that read it together with them."""
    return sql(tasks.owner.columns(**STATE))


def _total(tasks: TaskQuerySet, sql: Writer, *, counted: bool) -> str:
    return f"({sql(tasks.count())})" if counted else "NULL"
