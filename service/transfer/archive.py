"""Read all tasks of one user, page by page, for an export."""

from __future__ import annotations

from collections.abc import AsyncIterator

from pypika_tortoise.terms import Term

from service.database.expressions import Writer
from service.tasks.queryset import TaskQuerySet

PAGE_SIZE = 250  # tasks; a page of the longest tasks has 2 MB


async def pages(tasks: TaskQuerySet) -> AsyncIterator[str]:
    """Read `tasks` in the order of their ids. Yields pages of 1 to PAGE_SIZE tasks, as comma-separated JSON.

    Each page is one statement; no connection is held between two pages. The result may contain a concurrent change or
    miss it, but it contains no task twice. Deleted tasks have a `deleted_at`. Raises UnavailableError if the database
    is not available.
    """
    after, more = 0, True
    while more:
        rows = await tasks.fetch_rows(_page, after, PAGE_SIZE)
        if rows:
            after = rows[-1]["id"]
            yield ",".join([row["document"] for row in rows])
        more = len(rows) == PAGE_SIZE


def _page(tasks: TaskQuerySet, sql: Writer, after: Term, size: Term) -> str:
    page = tasks.not_erased().filter(id__gt=after).order_by("id").limited(size)
    return sql(page.columns(id="tasks.id", document=tasks.document))
