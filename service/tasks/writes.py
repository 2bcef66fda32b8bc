"""One user's tasks: every write is one call of a database function that names the owner; see `task_sql`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import NamedTuple

from service.database.expected import Expected
from service.database.scoping import Row, UserScope
from service.database.uids import new_uid
from service.errors import TaskNotFoundError, TaskQuotaError, TrashFullError
from service.sync import changes
from service.sync.changes import ChangePage, SyncPosition
from service.tasks import statements as sql
from service.tasks.batch import writes as batch
from service.tasks.selection import Page, TaskQuery, page_of, statement
from service.transfer import writes as importing

# Values by column name: title, description, completed, priority (0 to 3), tags, due_date, due_at, and the keys of the
# texts among them (`service.web.text.with_keys`). Already valid.
TaskChanges = Mapping[str, object]


class StoredTask(NamedTuple):
    """A task as the database holds it: its JSON `document` and what the answer's headers are made of."""

    id: int
    version: int
    uid: str
    document: str


class Summary(NamedTuple):
    """How many live tasks there are, by state; and the state of the owner (see `UserTasks.state`) that was counted."""

    state: str
    total: int
    pending: int
    completed: int
    overdue: int
    due_today: int


class UserTasks(UserScope):
    """The tasks of one user, and nobody else's.

    Every method raises UnavailableError when the database cannot answer now; nothing is half-written then, though
    a write whose answer got lost may have been done.
    """

    async def create(self, values: TaskChanges, *, quota: int) -> StoredTask:
        """Create a task; `values` holds at least a title. Raises TaskQuotaError at `quota` live tasks."""
        row = await self._connection.call(
            sql.CREATE, *self._owner, quota, new_uid(),
            values["title"], values["title_key"], values.get("description"), values.get("description_key"),
            values.get("completed", False), values.get("priority", 0), values.get("tags", ()),
            values.get("tag_keys", ()), _text(values.get("due_date")), _text(values.get("due_at")),
        )  # fmt: skip
        if row["outcome"] == "full":
            raise TaskQuotaError(quota)
        return _stored(row)

    async def add_all(self, tasks: bytearray, count: int, *, quotas: batch.Quotas, skip_known: bool) -> importing.Added:
        """Create the `count` tasks of a JSON array, or none of them. Raises as `importing.add_tasks` does."""
        return await importing.add_tasks(
            self._connection, self._owner, tasks, count, quotas=quotas, skip_known=skip_known
        )

    async def find(self, task_id: int) -> StoredTask:
        """The task with this id. Raises TaskNotFoundError."""
        row = await self._connection.fetch_first(sql.FIND, self.user_id, task_id)
        if row is None:
            raise TaskNotFoundError
        return _stored(row)

    async def update(self, task_id: int, changes: TaskChanges, expected: Expected | None = None) -> StoredTask:
        """Set the columns in `changes`; what holds already moves neither version nor time.

        Raises TaskNotFoundError, and VersionMismatchError for a task that is not as `expected`.
        """
        if not changes:
            found = await self.find(task_id)
            if expected and not expected.admits(found.version):
                raise expected.mismatch(found.version, found.document)
            return found
        sent = changes.get
        return _stored(await self._write(
            sql.UPDATE, task_id, expected,
            sent("title"), sent("title_key"),
            "description" in changes, sent("description"), sent("description_key"),
            sent("completed"), sent("priority"), sent("tags"), sent("tag_keys"),
            "due_date" in changes, _text(sent("due_date")), "due_at" in changes, _text(sent("due_at")),
        ))  # fmt: skip

    async def toggle(self, task_id: int, expected: Expected | None = None) -> StoredTask:
        """Complete a pending task or reopen a completed one. Raises as `update` does."""
        return _stored(await self._write(sql.COMPLETE, task_id, expected, None))

    async def complete(self, task_id: int, completed: bool, expected: Expected | None = None) -> StoredTask:  # noqa: FBT001 - what it sets
        """Complete the task, or reopen it, unless it is so already. Raises as `update` does."""
        return _stored(await self._write(sql.COMPLETE, task_id, expected, completed))

    async def delete(self, task_id: int, expected: Expected | None = None, *, trash_quota: int) -> None:
        """Move the task to the trash. Raises as `update` does, and TrashFullError at `trash_quota` tasks there."""
        row = await self._write(sql.DELETE, task_id, expected, trash_quota)
        if row["outcome"] == "full":
            raise TrashFullError(trash_quota)

    async def _write(self, text: str, task_id: int, expected: Expected | None, *values: object) -> Row:
        """Call a function that writes one task; raise TaskNotFoundError and VersionMismatchError."""
        versions, excluded = expected.arrays if expected else (None, None)
        row = await self._connection.call(text, *self._owner, task_id, versions, excluded, *values)
        if row["outcome"] == "missing":
            raise TaskNotFoundError
        if row["outcome"] == "mismatch":
            assert expected is not None  # noqa: S101 - without versions nothing can mismatch
            raise expected.mismatch(row["task_version"], row["document"])
        return row

    async def perform(
        self, operations: Sequence[batch.Operation], *, atomic: bool, quotas: batch.Quotas
    ) -> list[batch.Outcome]:
        """Do many writes in one transaction; what it gives and raises is told in `batch.perform`."""
        return await batch.perform(self._connection, self._owner, operations, atomic=atomic, quotas=quotas)

    async def delete_many(self, *, completed: bool | None, trash_quota: int) -> int:
        """Move all tasks, or only those with this completion, to the trash; return how many.

        Raises TrashFullError, and moves none, when there would be more than `trash_quota` tasks in the trash.
        """
        row = await self._connection.call(sql.DELETE_MANY, *self._owner, completed, trash_quota)
        if row["deleted"] < row["wanted"]:
            raise TrashFullError(trash_quota)
        return int(row["deleted"])

    async def list(self, query: TaskQuery) -> Page:
        """The live tasks that match `query`, in its order."""
        text, arguments = statement(self.user_id, query)
        row = await self._connection.fetch_one(text, *arguments)
        return page_of(row)

    async def state(self) -> str:
        """A word for what the tasks are now: as long as it is the same, so are they. Reads one row."""
        row = await self._connection.fetch_first(sql.STATE, self.user_id)
        return row["state"] if row else sql.NEVER_WRITTEN

    async def changes(self, since: SyncPosition, limit: int) -> ChangePage:
        """Return what changed after `since`, at most `limit` tasks of it. Raises SyncPositionGoneError."""
        return await changes.read_changes(self._connection, self.user_id, since, limit)

    async def position(self) -> SyncPosition:
        """Return the position of the last write; `changes.START` before the first."""
        return await changes.read_position(self._connection, self.user_id)

    async def summarise(self, today: date, starts: datetime, ends: datetime) -> Summary:
        """Count the live tasks; `today` runs from `starts` until before `ends`, in the caller's time zone."""
        row = await self._connection.fetch_one(sql.SUMMARY, self.user_id, today, starts, ends)
        return Summary(row["state"] or sql.NEVER_WRITTEN, *(row[column] for column in Summary._fields[1:]))


def _text(value: object) -> object:
    """A day or a moment as text: asyncpg takes the calendar's first and last for minus and plus infinity."""
    return value.isoformat() if isinstance(value, date) else value


def _stored(row: Row) -> StoredTask:
    return StoredTask(row["task_id"], row["task_version"], row["task_uid"], row["document"])
