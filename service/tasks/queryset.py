"""One user's tasks as a queryset: verbs that compose, and what the service reads.

A verb is written with Tortoise's own methods, and runs once for each shape (see `querysets`). A read is a terminal: a
function that makes the SQL text of a queryset, and a method that runs it and returns what it found.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self

from pypika_tortoise.terms import Term
from tortoise.expressions import RawSQL, Subquery

from service.database.expressions import Sql, Writer, where
from service.database.functions import DOCUMENT, TRASHED_DOCUMENT
from service.database.querysets import OwnedQuerySet, Step, verb
from service.errors import TaskNotFoundError
from service.tasks.selection import (
    DUE,
    LAST_DELETED_FIRST,
    SORTS,
    Page,
    Position,
    TaskQuery,
    Walk,
    first_page,
    next_page,
    owner_state,
    page_of,
    whole,
)
from service.users.models import User
from service.users.queryset import NEVER_WRITTEN, UserQuerySet

if TYPE_CHECKING:
    from service.database.scoping import Row
    from service.tasks.models import Task  # noqa: F401 - as a string, below

# The columns of a StoredTask; the database functions return the same.
STORED = {
    "task_id": "tasks.id", "task_version": "tasks.version", "task_uid": "tasks.uid::text", "document": DOCUMENT,
}  # fmt: skip
ANY_DOCUMENT = f"CASE WHEN tasks.deleted_at IS NULL THEN {DOCUMENT} ELSE {TRASHED_DOCUMENT} END"


class StoredTask(NamedTuple):
    """A task as the database holds it: its JSON `document` and what the answer's headers are made of."""

    id: int
    version: int
    uid: str
    document: str


class Summary(NamedTuple):
    """How many live tasks there are, by state; and the state of the owner that was counted (`UserQuerySet.state`)."""

    state: str
    total: int
    pending: int
    completed: int
    overdue: int
    due_today: int


class TaskQuerySet(OwnedQuerySet["Task"]):
    """The tasks of one user, trash included; the verbs narrow them, and can be chained in any order.

    Every read raises UnavailableError when the database cannot answer now.
    """

    __slots__ = ("document", "walk")

    own_state: ClassVar[tuple[str, ...]] = ("document", "walk")
    document: str  # the SQL expression of a task's JSON
    walk: Walk | None  # the order of a list, once there is one

    def _begin(self) -> None:
        super()._begin()
        self.document, self.walk = ANY_DOCUMENT, None

    @property
    def owner(self) -> UserQuerySet:
        """The user whose tasks these are."""
        return UserQuerySet(User, self._connection, self._owner)

    @property
    def owner_term(self) -> Any:  # noqa: ANN401 - an id, or the term that stands for one
        """The owner's id, as terminals write it into a text."""
        return self._owner[0]

    @verb()
    def live(self) -> Self:
        """Only tasks that are not in the trash."""
        made = self.filter(deleted_at__isnull=True)
        made.document = DOCUMENT
        return made

    @verb()
    def trashed(self) -> Self:
        """Only tasks in the trash, last deleted first; not those whose erasure has begun."""
        made = self.not_erased().filter(deleted_at__isnull=False).along(LAST_DELETED_FIRST)
        made.document = TRASHED_DOCUMENT
        return made

    @verb()
    def not_erased(self) -> Self:
        """Leave out the tasks that an erasure has still to remove (see `users`)."""
        return self.filter(version__gt=Subquery(self.owner.values("erased")))

    @verb()
    def with_id(self, task_id: int) -> Self:
        """Only the task with this id."""
        return self.filter(id=task_id)

    @verb()
    def pending(self) -> Self:
        """Only tasks that are not completed."""
        return self.filter(completed=False)

    @verb()
    def completed(self) -> Self:
        """Only completed tasks."""
        return self.filter(completed=True)

    @verb(list)
    def with_priority(self, priorities: Sequence[int]) -> Self:
        """Only tasks of one of these priorities, numbers from 0 to 3."""
        return self.filter(where("tasks.priority = ANY ({}::smallint[])", priorities))

    @verb(list)
    def tagged(self, tags: Sequence[str]) -> Self:
        """Only tasks with all of these tags, which are folded (`web.text`)."""
        return self.filter(where("tasks.tag_keys @> {}::text[]", tags))

    @verb()
    def containing(self, text: str) -> Self:
        """Only tasks with this text, which is folded, in the title or the description; `%` and `_` are characters."""
        return self.filter(where("strpos(tasks.title_key, {0}) > 0 OR strpos(tasks.description_key, {0}) > 0", text))

    # As text: asyncpg takes the calendar's first and last moment for minus and plus infinity.
    @verb(datetime.isoformat)
    def due_before(self, moment: datetime) -> Self:
        """Only tasks that are due before `moment`; a day ends with its last microsecond in UTC."""
        return self.filter(where(f"{DUE} < {{}}::text::timestamptz", moment))

    @verb(datetime.isoformat)
    def due_after(self, moment: datetime) -> Self:
        """Only tasks that are due after `moment`."""
        return self.filter(where(f"{DUE} > {{}}::text::timestamptz", moment))

    @verb()
    def overdue(self) -> Self:
        """Only pending tasks whose due day (in UTC) or moment has passed."""
        return self.pending().filter(where(f"{DUE} < now()"))

    def sorted_by(self, sort: str, *, descending: bool) -> Self:
        """In the order of created, updated, title, due_date or priority; the last call counts."""
        return self.then(ORDERS[sort, descending])

    def along(self, walk: Walk) -> Self:
        """In the order of `walk`; no verb, so it leaves no shape."""
        made = self.annotate(key=RawSQL(walk.key)).order_by(*walk.order)
        made.walk = walk
        return made

    def matching(self, query: TaskQuery) -> Self:
        """The live tasks that `query` asks for, in its order."""
        tasks = self.live()
        if query.completed is not None:
            tasks = tasks.completed() if query.completed else tasks.pending()
        if query.priorities:
            tasks = tasks.with_priority(query.priorities)
        if query.tags:
            tasks = tasks.tagged(query.tags)
        if query.due_before:
            tasks = tasks.due_before(query.due_before)
        if query.due_after:
            tasks = tasks.due_after(query.due_after)
        if query.overdue:
            tasks = tasks.overdue()
        if query.text:
            tasks = tasks.containing(query.text)
        return tasks.sorted_by(query.sort, descending=query.descending)

    async def find(self, task_id: int) -> StoredTask:
        """Return the live task with this id. Raises TaskNotFoundError."""
        row = await self.fetch_first(_found, task_id)
        if row is None:
            raise TaskNotFoundError
        return stored(row)

    async def page(self, limit: int | None = None, after: Position | None = None, *, count: bool = False) -> Page:
        """Return the JSON of the tasks: of all, or of the `limit` first, or of the `limit` first after a position.

        `count` counts all of them, too.
        """
        if limit is None:
            row = await self.fetch_one(WHOLE[count])
        elif after is None:
            row = await self.fetch_one(FIRST_PAGE[count], limit)
        else:
            row = await self.fetch_one(NEXT_PAGE[count], limit, *after)
        return page_of(row)

    async def summarise(self, today: date, starts: datetime, ends: datetime) -> Summary:
        """Count the live tasks; `today` runs from `starts` until before `ends`, in the caller's time zone."""
        row = await self.fetch_one(_summary, today, starts, ends)
        return Summary(row["state"] or NEVER_WRITTEN, *(row[column] for column in Summary._fields[1:]))


def stored(row: Row) -> StoredTask:
    """Return the task in a row with the columns STORED."""
    return StoredTask(row["task_id"], row["task_version"], row["task_uid"], row["document"])


# One object for each, so that a shape finds its text by identity.
ORDERS = {name: Step(partial(TaskQuerySet.along, walk=walk)) for name, walk in SORTS.items()}
WHOLE, FIRST_PAGE, NEXT_PAGE = (
    {counted: partial(terminal, counted=counted) for counted in (False, True)}
    for terminal in (whole, first_page, next_page)
)


def _found(tasks: TaskQuerySet, sql: Writer, task_id: Term) -> str:
    return sql(tasks.live().filter(id=task_id).columns(**STORED))


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
