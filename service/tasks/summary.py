"""Count one user's tasks by state."""

from __future__ import annotations

from datetime import date, datetime
from typing import NamedTuple

from pypika_tortoise.terms import Term

from service.database.expressions import Sql, Writer
from service.tasks.queryset import TaskQuerySet
from service.tasks.selection import owner_state
from service.users.queryset import NEVER_WRITTEN


class Summary(NamedTuple):
    """The numbers of live tasks, and the state of the owner in the same snapshot (see `UserQuerySet.state`)."""

    state: str
    total: int
    pending: int
    completed: int
    overdue: int
    due_today: int


async def summarise(tasks: TaskQuerySet, today: date, starts: datetime, ends: datetime) -> Summary:
    """Count the live ones of `tasks`. In the caller's time zone, `today` lasts from `starts` until before `ends`.

    Raises UnavailableError if the database is not available.
    """
    row = await tasks.fetch_one(_summary, today, starts, ends)
    return Summary(row["state"] or NEVER_WRITTEN, *(row[column] for column in Summary._fields[1:]))


def _summary(tasks: TaskQuerySet, sql: Writer, today: Term, starts: Term, ends: Term) -> str:
    overdue = "tasks.due_date < {} OR tasks.due_at < now()"
    due_today = "tasks.due_date = {} OR (tasks.due_at >= {} AND tasks.due_at < {})"
    return sql(tasks.live().columns(
        state=f"({owner_state(tasks, sql)})",
        total="count(*)",
        pending="count(*) FILTER (WHERE NOT tasks.completed)",
        completed="count(*) FILTER (WHERE tasks.completed)",
        overdue=Sql(f"count(*) FILTER (WHERE NOT tasks.completed AND ({overdue}))", today),
        due_today=Sql(f"count(*) FILTER (WHERE NOT tasks.completed AND ({due_today}))", today, starts, ends),
    ))  # fmt: skip
