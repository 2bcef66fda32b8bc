"""Import many tasks of one user with one call of a database function: all of them, or none."""

from __future__ import annotations

from typing import NamedTuple

import msgspec
from msgspec import Struct

from service.database.functions import call
from service.database.operations import Quotas
from service.database.scoping import Connection
from service.errors import TaskQuotaError, TrashFullError
from service.idempotency.models import KeyedScope

# The array is sent as bytes: in a Python `str`, a single emoji makes every character take four bytes.
IMPORT = call("import_tasks", 7)
IMPORT_ONCE = call("import_once", 14)


class Added(NamedTuple):
    """The number of created tasks, and the number of skipped ones."""

    imported: int
    skipped: int


class UserImport:
    """The tasks of one user, imported without an idempotency key."""

    __slots__ = ("_connection", "_owner")

    def __init__(
        self, user_id: str, connection: Connection, *, email: str | None = None, name: str | None = None
    ) -> None:
        """Bind to the owner and to the connection. `email` and `name` refresh the user's row."""
        self._owner = (user_id, email, name)
        self._connection = connection

    async def add_all(self, tasks: bytearray, count: int, *, quotas: Quotas, skip_known: bool) -> Added:
        """Create the `count` tasks of the JSON array `tasks`: all of them, or none.

        `tasks` is validated JSON in UTF-8: one object for each task, with the column names as keys and a `uid`. With
        `skip_known`, a task is skipped if the owner has a live or deleted task with the same title and `created_at`.
        Returns the number of created and skipped tasks. Raises TaskQuotaError or TrashFullError if the owner would
        have more live or deleted tasks than `quotas` allow.
        """
        row = await self._connection.call(IMPORT, *self._owner, *quotas, skip_known, tasks)
        return _added(row["outcome"], row["imported"], count, quotas)


class KeyedImport(KeyedScope):
    """The tasks of one user, imported under one idempotency key."""

    async def add_all(self, tasks: bytearray, count: int, *, quotas: Quotas, skip_known: bool) -> Added:
        """Import as `UserImport.add_all` does. Raises its errors."""
        answer = msgspec.json.decode(await self._once(IMPORT_ONCE, *quotas, skip_known, tasks), type=_Answer)
        return _added(answer.outcome, answer.imported, count, quotas)


class _Answer(Struct):
    """The result of `import_tasks`, as `import_once` stores it."""

    outcome: str
    imported: int


def _added(outcome: str, imported: int, count: int, quotas: Quotas) -> Added:
    """Convert the result of `import_tasks`. Raises the errors of `UserImport.add_all`."""
    if outcome == "full":
        raise TaskQuotaError(quotas.tasks)
    if outcome == "trash_full":
        raise TrashFullError(quotas.trash)
    return Added(imported, count - imported)
