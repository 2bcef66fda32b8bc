"""One user's tasks as a queryset, with verbs that can be combined in any order.

A verb uses Tortoise's own methods, and runs once for each shape (see `database.querysets`). A read consists of a
terminal, which is a function that builds the SQL text, and a method that executes the text and returns the result.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pypika_tortoise.terms import Term
from tortoise.expressions import RawSQL, Subquery

from service.database.expressions import Writer, where
from service.database.functions import DOCUMENT, TRASHED_DOCUMENT
from service.database.items import Reference, StoredItem
from service.database.keyset import Page, Position
from service.database.querysets import OwnedQuerySet, Step, Verbs, verb
from service.errors import TaskNotFoundError
from service.tasks.selection import (
    AT_TOP_LEVEL,
    DUE,
    LAST_DELETED_FIRST,
    SORTS,
    Lists,
    TaskQuery,
    Walk,
    first_page,
    next_page,
    page_of,
    whole,
)
from service.users.models import User
from service.users.queryset import UserQuerySet

if TYPE_CHECKING:
    from service.database.scoping import Row
    from service.tasks.models import Task  # noqa: F401 - as a string, below

# The columns of a task as a StoredItem. The database functions return columns with the same names.
STORED = {
    "task_id": "tasks.id", "task_version": "tasks.version", "task_uid": "tasks.uid::text", "document": DOCUMENT,
}  # fmt: skip
ARCHIVED = "lists.archived AND lists.deleted_at IS NULL"
ANY_DOCUMENT = f"CASE WHEN tasks.deleted_at IS NULL THEN {DOCUMENT} ELSE {TRASHED_DOCUMENT} END"


class TaskQuerySet(OwnedQuerySet["Task"]):
    """The tasks of one user, including the trash.

    Every read raises UnavailableError if the database is not available.
    """

    __slots__ = ("document", "walk")

    own_state: ClassVar[tuple[str, ...]] = ("document", "walk")
    document: str  # the SQL expression of a task's JSON
    walk: Walk | None  # the order of a list, if it has one

    def _begin(self) -> None:
        super()._begin()
        self.document, self.walk = ANY_DOCUMENT, None

    @property
    def owner(self) -> UserQuerySet:
        """The owner of these tasks."""
        return UserQuerySet(User, self._connection, self._owner)

    def state(self) -> Awaitable[str]:
        """Return the owner's state (see `UserQuerySet.state`)."""
        return self.owner.state()

    @property
    def owner_term(self) -> Any:  # noqa: ANN401 - an id or a term
        """The owner's id, for the SQL texts of terminals."""
        return self._owner[0]

    @verb
    def live(self) -> Self:
        """Select tasks that are not in the trash."""
        made = self.filter(deleted_at__isnull=True)
        made.document = DOCUMENT
        return made

    @verb
    def trashed(self) -> Self:
        """Select tasks in the trash, in the order of deletion, newest first. Erased tasks are excluded."""
        made = self.not_erased().filter(deleted_at__isnull=False).along(LAST_DELETED_FIRST)
        made.document = TRASHED_DOCUMENT
        return made

    @verb
    def not_erased(self) -> Self:
        """Exclude erased tasks that are still to be removed (see `users.queryset`)."""
        return self.filter(version__gt=Subquery(self.owner.values("erased")))

    @verb
    def in_shown_lists(self) -> Self:
        """Exclude the tasks of archived lists."""
        archived = f"SELECT lists.id FROM lists WHERE lists.user_id = {{}} AND {ARCHIVED}"  # noqa: S608 - a constant
        owner = self.owner_term
        return self.filter(where(f"tasks.list_id IS NULL OR tasks.list_id <> ALL (ARRAY({archived}))", owner))

    def of_lists(self, lists: Lists | None) -> Self:
        """Select the tasks of these lists; by default, of all lists but the archived ones, and those without a list."""
        return self.in_shown_lists() if lists is None else self._in_lists([*lists.ids], [*lists.uids], lists.inbox)

    @verb
    def _in_lists(self, ids: list[int], uids: list[str], inbox: bool) -> Self:  # noqa: FBT001 - a value of a statement
        named = "SELECT lists.id FROM lists WHERE lists.user_id = {} AND lists.uid = ANY ({}::uuid[])"
        return self.filter(where(
            f"tasks.list_id = ANY ({{}}::bigint[]) OR tasks.list_id = ANY (ARRAY({named})) "
            "OR ({}::boolean AND tasks.list_id IS NULL)",
            ids, self.owner_term, uids, inbox,
        ))  # fmt: skip

    def of_parent(self, parent: Reference) -> Self:
        """Select the subtasks of the task with this id or uid, or with AT_TOP_LEVEL the tasks without a parent."""
        if parent == AT_TOP_LEVEL:
            return self.at_top_level()
        return self.under(parent) if isinstance(parent, int) else self.under_uid(parent)

    @verb
    def at_top_level(self) -> Self:
        """Select the tasks without a parent."""
        return self.filter(parent_id__isnull=True)

    @verb
    def under(self, parent_id: int) -> Self:
        """Select the subtasks of the task with this id."""
        return self.filter(parent_id=parent_id)

    @verb
    def under_uid(self, uid: str) -> Self:
        """Select the subtasks of the task with this uid."""
        # Not `task_id_of`: on Citus, a function within a read must not read a table itself.
        parent = "SELECT tasks.id FROM tasks WHERE tasks.user_id = {} AND tasks.uid = {}::uuid"
        return self.filter(where(f"tasks.parent_id = ({parent})", self.owner_term, uid))

    @verb
    def pending(self) -> Self:
        """Select tasks that are not completed."""
        return self.filter(completed=False)

    @verb
    def completed(self) -> Self:
        """Select completed tasks."""
        return self.filter(completed=True)

    def with_priority(self, *priorities: int) -> Self:
        """Select tasks with one of these priorities, numbers from 0 to 3."""
        return self._with_priority([*priorities])

    @verb
    def _with_priority(self, priorities: list[int]) -> Self:
        return self.filter(where("tasks.priority = ANY ({}::smallint[])", priorities))

    def tagged(self, *tags: str) -> Self:
        """Select tasks with all of these tags, which must be folded (`web.text`)."""
        return self._tagged([*tags])

    @verb
    def _tagged(self, tags: list[str]) -> Self:
        return self.filter(where("tasks.tag_keys @> {}::text[]", tags))

    @verb
    def containing(self, text: str) -> Self:
        """Select tasks with `text`, which must be folded, in the title or the description. It has no wildcards."""
        return self.filter(where("strpos(tasks.title_key, {0}) > 0 OR strpos(tasks.description_key, {0}) > 0", text))

    def due_before(self, moment: datetime) -> Self:
        """Select tasks that are due before `moment`. A due day ends with its last microsecond in UTC."""
        return self._due_before(moment.isoformat())

    def due_after(self, moment: datetime) -> Self:
        """Select tasks that are due after `moment`."""
        return self._due_after(moment.isoformat())

    # The time is sent as text, because asyncpg sends the first and the last time of the calendar as infinity.
    @verb
    def _due_before(self, moment: str) -> Self:
        return self.filter(where(f"{DUE} < {{}}::text::timestamptz", moment))

    @verb
    def _due_after(self, moment: str) -> Self:
        return self.filter(where(f"{DUE} > {{}}::text::timestamptz", moment))

    @verb
    def overdue(self) -> Self:
        """Select pending tasks whose due day (in UTC) or due moment has passed."""
        return self.pending().filter(where(f"{DUE} < now()"))

    def sorted_by(self, sort: str, *, descending: bool) -> Self:
        """Sort by created, updated, title, due_date, priority or position. The last of several calls applies."""
        return self.then(ORDERS[sort, descending])

    def along(self, walk: Walk) -> Self:
        """Sort in the order of `walk`. This is not a verb: the result has no shape."""
        made = self.annotate(key=RawSQL(walk.key)).order_by(*walk.order)
        made.walk = walk
        return made

    def matching(self, query: TaskQuery) -> Self:
        """Select live tasks with the filters of `query`, in its order."""
        tasks = self.live().of_lists(query.lists)
        for name, value in query.given().items():
            if name not in NO_FILTERS:
                tasks = FILTERS[name](tasks, value)
        return tasks.sorted_by(query.sort, descending=query.descending)

    async def find(self, task_id: Reference) -> StoredItem:
        """Read the live task with this id or uid. Raises TaskNotFoundError."""
        row = await self.fetch_first(_found if isinstance(task_id, int) else _found_by_uid, task_id)
        if row is None:
            raise TaskNotFoundError
        return stored(row)

    async def page(self, limit: int | None = None, after: Position | None = None, *, count: bool = False) -> Page:
        """Read the tasks as JSON: all of them, or the first `limit`, or the first `limit` after a position.

        The order is that of `sorted_by`; by default the newest task is first. `count` also counts all of the tasks.
        """
        if limit is None:
            row = await self.fetch_one(WHOLE[count])
        elif after is None:
            row = await self.fetch_one(FIRST_PAGE[count], limit)
        else:
            row = await self.fetch_one(NEXT_PAGE[count], limit, *after)
        return page_of(row)


# How each filter of a TaskQuery selects, given its value, and the parts that are no filters. `lists` restricts every
# query. A part in neither of the two is an error, so that no filter is accepted and then ignored.
FILTERS: Mapping[str, Callable[[Any, Any], Any]] = MappingProxyType({
    "completed": lambda tasks, completed: tasks.completed() if completed else tasks.pending(),
    "parent": TaskQuerySet.of_parent,
    "priorities": lambda tasks, priorities: tasks.with_priority(*priorities),
    "tags": lambda tasks, tags: tasks.tagged(*tags),
    "due_before": TaskQuerySet.due_before,
    "due_after": TaskQuerySet.due_after,
    "overdue": lambda tasks, _true: tasks.overdue(),
    "text": TaskQuerySet.containing,
})  # fmt: skip
NO_FILTERS = frozenset({"lists", "sort", "descending", "limit", "after", "count"})


def verbs_of(query: TaskQuery) -> Verbs:
    """Return the verbs of `matching`, for `with_verbs`. They are the same for all users."""
    nobodys = TaskQuerySet(None, None, ("", None, None))  # type: ignore[arg-type]  # reason: verbs are only recorded
    return nobodys.matching(query).verbs


def stored(row: Row) -> StoredItem:
    """Convert a row with the columns STORED."""
    return StoredItem(row["task_id"], row["task_version"], row["task_uid"], row["document"])


# The objects are created once, because the cache of texts compares them by identity.
ORDERS = {name: Step(partial(TaskQuerySet.along, walk=walk)) for name, walk in SORTS.items()}
WHOLE, FIRST_PAGE, NEXT_PAGE = (
    {counted: partial(terminal, counted=counted) for counted in (False, True)}
    for terminal in (whole, first_page, next_page)
)


def _found(tasks: TaskQuerySet, sql: Writer, task_id: Term) -> str:
    return sql(tasks.live().filter(id=task_id).columns(**STORED))


def _found_by_uid(tasks: TaskQuerySet, sql: Writer, uid: Term) -> str:
    return sql(tasks.live().filter(where("tasks.uid = {}::uuid", uid)).columns(**STORED))
