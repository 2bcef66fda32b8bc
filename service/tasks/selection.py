"""Listing one user's tasks: what can be asked, and the one statement that answers it.

Pages follow a keyset, not an offset: the position after a page is its last task's sort key and id, so a page costs
the same at any depth, and inserting or deleting between two pages repeats nothing and skips nothing. The order is
always `(sort key, id)` in one direction. By creation that is the order of the primary key; any other one is a sort of
one user's tasks, of which there are 10,000 at most: an index for each would cost every write more than it saves a read.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import NamedTuple, Protocol

from service.database.functions import DOCUMENT
from service.database.scoping import Row
from service.tasks.statements import NEVER_WRITTEN, STATE

# A calendar day lasts until its last microsecond (in UTC, as it has no zone of its own); a moment is itself. Tasks
# that are never due come last in both directions.
DUE = "coalesce(due_at, ((due_date + 1)::timestamp - interval '1 microsecond') AT TIME ZONE 'UTC')"
DUE_ASCENDING = f"coalesce({DUE}, timestamptz 'infinity')"
DUE_DESCENDING = f"coalesce({DUE}, timestamptz '-infinity')"


class Sort(NamedTuple):
    """One order of a list: its key when it ascends and when it descends, the key's type, the natural direction."""

    ascending: str
    descending: str
    type: str
    naturally_descending: bool


# `created` is the id and `updated` the version: both follow the same lock as the timestamps they stand for, in the
# same order, without ties. `tasks.priority` is the number; the bare name would be the word in the answer.
SORTS = {
    "created": Sort("id", "id", "bigint", naturally_descending=True),
    "updated": Sort("version", "version", "bigint", naturally_descending=True),
    "title": Sort("title_key", "title_key", "text", naturally_descending=False),
    "due_date": Sort(DUE_ASCENDING, DUE_DESCENDING, "timestamptz", naturally_descending=False),
    "priority": Sort("tasks.priority", "tasks.priority", "smallint", naturally_descending=True),
}

UNIQUE = frozenset({"id", "version"})

# A JSON array of what is listed, in its order.
ARRAY = "'[' || coalesce(string_agg(document, ','), '') || ']'"
ORDERED_ARRAY = "'[' || coalesce(string_agg({document}, ',' ORDER BY place), '') || ']'"

# A key as text that reads the same whatever the session's DateStyle and TimeZone are.
PORTABLE = {
    "timestamptz": "CASE WHEN isfinite(key) THEN to_char(key AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US+00') "
    "ELSE key::text END",
}


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

    `state` is the owner's (see `UserTasks.state`), of the same snapshot.
    """

    document: str
    next: Position | None
    total: int | None
    state: str


class Argument(Protocol):
    """Takes a value and gives the `$n` that stands for it."""

    def __call__(self, value: object, /) -> str:
        """Register `value`."""


def statement(user_id: str, query: TaskQuery) -> tuple[str, tuple[object, ...]]:
    """The SQL that answers `query`, and its arguments, the owner first."""
    text, arguments = _compiled(query)
    return text, (user_id, *arguments)


@lru_cache(maxsize=250)  # the same few lists are asked for again and again
def _compiled(query: TaskQuery) -> tuple[str, tuple[object, ...]]:
    arguments: list[object] = []

    def argument(value: object) -> str:
        arguments.append(value)
        return f"${len(arguments) + 1}"

    matching = " AND ".join(["user_id = $1", "deleted_at IS NULL", *_filters(query, argument)])
    sort = SORTS[query.sort]
    walk = Walk(sort.descending if query.descending else sort.ascending, sort.type, descending=query.descending,
                indexed=sort.ascending == "id")  # fmt: skip
    after = query.after and (argument(query.after.key), "" if walk.unique else argument(query.after.id))
    limit = None if query.limit is None else argument(query.limit)
    return select(DOCUMENT, matching, walk, limit, after, count=query.count), tuple(arguments)


class Walk(NamedTuple):
    """A way through a user's tasks in the order of `key` and the id; `indexed` where an index has that order."""

    key: str
    type: str
    descending: bool
    indexed: bool = False

    @property
    def unique(self) -> bool:
        """Whether the key has no ties, and needs no id to part them."""
        return self.key in UNIQUE

    @property
    def order(self) -> str:
        """What to sort by."""
        direction = "DESC" if self.descending else "ASC"
        return f"{self.key} {direction}" if self.unique else f"{self.key} {direction}, id {direction}"

    def beyond(self, key: str, identity: str) -> str:
        """The condition that a task lies behind the place that `key` and `identity` are."""
        sign = "<" if self.descending else ">"
        return f"{self.key} {sign} {key}" if self.unique else f"({self.key}, id) {sign} ({key}, {identity})"


def select(  # noqa: PLR0913 - what makes up a list
    document: str, matching: str, walk: Walk, limit: str | None, after: tuple[str, str] | None, *, count: bool
) -> str:
    """The SQL that lists the `document` of what is `matching` on its `walk`.

    `limit`, and `after`, a key and an id, are `$n`s.
    """
    total = f"(SELECT count(*) FROM tasks WHERE {matching})" if count else "NULL"  # noqa: S608 - values are arguments
    listed = matching
    if after:
        listed += f" AND {walk.beyond(f'{after[0]}::text::{walk.type}', after[1])}"
    if limit is None:
        return f"""
            SELECT {ARRAY} AS document, {total} AS total, ({STATE}) AS state, NULL AS more
            FROM (SELECT {document} AS document FROM tasks WHERE {listed} ORDER BY {walk.order}) AS listed
        """  # noqa: S608 - values are arguments, all else is ours
    key = PORTABLE.get(walk.type, "key::text")
    if not walk.indexed:
        # Keys and ids alone are sorted, one more than the page has: that one tells whether there is a next page.
        return f"""
            WITH page AS MATERIALIZED (
                SELECT id, key, row_number() OVER () AS place
                FROM (
                    SELECT id, {walk.key} AS key FROM tasks WHERE {listed} ORDER BY {walk.order} LIMIT {limit}::int + 1
                ) AS listed
            )
            SELECT (SELECT {ORDERED_ARRAY.format(document=document)} FROM page JOIN tasks
                    ON tasks.user_id = $1 AND tasks.id = page.id AND place <= {limit}::int) AS document,
                   {key} AS key, id, {total} AS total, ({STATE}) AS state, size > {limit}::int AS more
            FROM (SELECT count(*) AS size FROM page) AS counted
            LEFT JOIN page ON page.place = {limit}::int
        """  # noqa: S608 - values are arguments, all else is ours
    # Only behind a full page can there be a next one: then one more step along the index tells. A page that held a
    # row more, to be cut off again, took a quarter longer.
    return f"""
        SELECT document, {key} AS key, id, {total} AS total, ({STATE}) AS state,
               (SELECT true FROM tasks WHERE {matching} AND {walk.beyond("page.key", "page.id")}
                ORDER BY {walk.order} LIMIT 1) AS more
        FROM (
            SELECT {ARRAY} AS document, (array_agg(key))[{limit}::int] AS key, (array_agg(id))[{limit}::int] AS id
            FROM (
                SELECT id, {walk.key} AS key, {document} AS document FROM tasks
                WHERE {listed} ORDER BY {walk.order} LIMIT {limit}::int
            ) AS listed
        ) AS page
    """  # noqa: S608 - values are arguments, all else is ours


def page_of(row: Row) -> Page:
    """What `select` has found."""
    position = Position(row["key"], row["id"]) if row["more"] else None
    return Page(row["document"], position, row["total"], row["state"] or NEVER_WRITTEN)


def _filters(query: TaskQuery, argument: Argument) -> list[str]:
    conditions = []
    if query.completed is not None:
        conditions.append(f"completed = {argument(query.completed)}")
    if query.priorities:
        conditions.append(f"priority = ANY ({argument(list(query.priorities))}::smallint[])")
    if query.tags:
        conditions.append(f"tag_keys @> {argument(list(query.tags))}::text[]")
    # As text: asyncpg takes the calendar's first and last moment for minus and plus infinity.
    if query.due_before:
        conditions.append(f"{DUE} < {argument(query.due_before.isoformat())}::text::timestamptz")
    if query.due_after:
        conditions.append(f"{DUE} > {argument(query.due_after.isoformat())}::text::timestamptz")
    if query.overdue:
        conditions.append(f"NOT completed AND {DUE} < now()")
    if query.text:
        text = argument(query.text)
        # strpos takes the text as it is, so '%' and '_' are only characters.
        conditions.append(f"(strpos(title_key, {text}) > 0 OR strpos(description_key, {text}) > 0)")
    return conditions
