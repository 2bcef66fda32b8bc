"""Read all lists and tasks of one user, page by page, for an export."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from pypika_tortoise.terms import Term

from service.database.expressions import Sql, Writer
from service.database.functions import LIST_DOCUMENT, TRASHED_LIST_DOCUMENT
from service.database.querysets import OwnedQuerySet, Terminal
from service.lists.queryset import ListQuerySet
from service.tasks.queryset import TaskQuerySet

if TYPE_CHECKING:
    from service.database.scoping import Row

PAGE_SIZE = 250  # lists or tasks; a page of the longest tasks has 2 MB
ANY_LIST = f"CASE WHEN lists.deleted_at IS NULL THEN {LIST_DOCUMENT} ELSE {TRASHED_LIST_DOCUMENT} END"
# The name of the task's live list, and the uid of its parent, as JSON. Each value is the owner. Most tasks have none.
# The CASE saves them a lookup, which reads the whole table if it was small when PostgreSQL made the plan.
LIST_NAME = """CASE WHEN tasks.list_id IS NOT NULL THEN (
    SELECT to_json(lists.name)::text FROM lists
    WHERE lists.user_id = {} AND lists.id = tasks.list_id AND lists.deleted_at IS NULL) END"""
PARENT = """CASE WHEN tasks.parent_id IS NOT NULL THEN (
    SELECT to_json(above.uid)::text FROM (SELECT tasks.id, tasks.uid FROM tasks WHERE tasks.user_id = {}) AS above
    WHERE above.id = tasks.parent_id) END"""


class Archive(NamedTuple):
    """The lists and tasks of one user, with the trash."""

    lists: ListQuerySet
    tasks: TaskQuerySet


async def pages(items: ListQuerySet | TaskQuerySet) -> AsyncIterator[str]:
    """Read `items` in the order of their ids. Yields pages of 1 to PAGE_SIZE of them, as comma-separated JSON.

    Each page is one statement; no connection is held between two pages. The result may contain a concurrent change or
    miss it, but it contains nothing twice. Deleted items have a `deleted_at`. Raises UnavailableError if the database
    is not available.
    """
    async for rows in _rows(items, _page_of_lists if isinstance(items, ListQuerySet) else _page):
        yield ",".join([row["document"] for row in rows])


async def pages_with_names(tasks: TaskQuerySet) -> AsyncIterator[str]:
    """Read `tasks` as `pages` does. Each is an array: the task, the name of its live list, and the uid of its parent.

    The name or the uid is null if there is none.
    """
    async for rows in _rows(tasks, _page_with_names):
        yield ",".join([f"[{row['document']},{row['list'] or 'null'},{row['parent'] or 'null'}]" for row in rows])


async def _rows(items: OwnedQuerySet[Any], terminal: Terminal) -> AsyncIterator[Sequence[Row]]:
    after, more = 0, True
    while more:
        rows = await items.fetch_rows(terminal, after, PAGE_SIZE)
        if rows:
            after = rows[-1]["id"]
            yield rows
        more = len(rows) == PAGE_SIZE


def _page_of_lists(lists: ListQuerySet, sql: Writer, after: Term, size: Term) -> str:
    page = lists.filter(id__gt=after).order_by("id").limited(size)
    return sql(page.columns(id="lists.id", document=ANY_LIST))


def _page(tasks: TaskQuerySet, sql: Writer, after: Term, size: Term) -> str:
    return sql(_first(tasks, after, size).columns(id="tasks.id", document=tasks.document))


def _page_with_names(tasks: TaskQuerySet, sql: Writer, after: Term, size: Term) -> str:
    return sql(_first(tasks, after, size).columns(
        id="tasks.id", document=tasks.document,
        list=Sql(LIST_NAME, tasks.owner_term), parent=Sql(PARENT, tasks.owner_term),
    ))  # fmt: skip


def _first(tasks: TaskQuerySet, after: Term, size: Term) -> TaskQuerySet:
    return tasks.not_erased().filter(id__gt=after).order_by("id").limited(size)
