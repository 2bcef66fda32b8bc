"""Import the lists and tasks of a file with one call of a database function: all of them, or none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec
from msgspec import Struct

from service.database.functions import call
from service.database.operations import MAXIMUM_LISTS, Quotas
from service.database.scoping import Connection
from service.errors import ListQuotaError, TaskQuotaError, TrashFullError
from service.idempotency.models import KeyedScope

# The arrays are sent as bytes: in a Python `str`, a single emoji makes every character take four bytes.
IMPORT = call("import_tasks", 11)
IMPORT_ONCE = call("import_once", 18)


class Sent(NamedTuple):
    """A valid file as the arguments of `import_tasks`, which describes them."""

    lists: bytearray
    tasks: bytearray
    list_refs: Sequence[str | None]
    parent_refs: Sequence[str | None]


class Added(NamedTuple):
    """The number of created tasks, and the number of skipped ones."""

    imported: int
    skipped: int


class UserImport:
    """The lists and tasks of one user, imported without an idempotency key."""

    __slots__ = ("_connection", "_owner")

    def __init__(
        self, user_id: str, connection: Connection, *, email: str | None = None, name: str | None = None
    ) -> None:
        """Bind to the owner and to the connection. `email` and `name` refresh the user's row."""
        self._owner = (user_id, email, name)
        self._connection = connection

    async def add_all(self, sent: Sent, *, quotas: Quotas, skip_known: bool) -> Added:
        """Create the lists and tasks of a file: all of them, or none.

        With `skip_known`, lists and tasks that the owner has already are skipped.

        Returns the number of created and skipped tasks. Raises TaskQuotaError, ListQuotaError or TrashFullError if the
        owner would have more live tasks, live lists or deleted ones than `quotas` and MAXIMUM_LISTS allow. Raises
        ReferenceFaultError for a reference to a list or task that is not there or not possible.
        """
        row = await self._connection.call(IMPORT, *self._owner, *quotas, MAXIMUM_LISTS, skip_known, *sent)
        return _added(_Answer(row["outcome"], row["imported"], row["place"]), sent, quotas)


class KeyedImport(KeyedScope):
    """The lists and tasks of one user, imported under one idempotency key."""

    async def add_all(self, sent: Sent, *, quotas: Quotas, skip_known: bool) -> Added:
        """Import as `UserImport.add_all` does. Raises its errors."""
        answer = await self._once(IMPORT_ONCE, *quotas, MAXIMUM_LISTS, skip_known, *sent)
        return _added(msgspec.json.decode(answer, type=_Answer), sent, quotas)


class ReferenceFaultError(Exception):
    """The reference of the task at `place` in the file, counted from 1, is not valid. `outcome` says why."""

    def __init__(self, outcome: str, place: int) -> None:
        """Keep both for the caller, who knows the file."""
        self.outcome = outcome
        self.place = place
        super().__init__(outcome)


class _Answer(Struct):
    """The result of `import_tasks`, as `import_once` stores it."""

    outcome: str
    imported: int
    place: int | None = None


def _added(answer: _Answer, sent: Sent, quotas: Quotas) -> Added:
    """Convert the result of `import_tasks`. Raises the errors of `UserImport.add_all`."""
    if answer.outcome == "done":
        return Added(answer.imported, len(sent.parent_refs) - answer.imported)
    if answer.outcome == "full":
        raise TaskQuotaError(quotas.tasks)
    if answer.outcome == "full_lists":
        raise ListQuotaError(MAXIMUM_LISTS)
    if answer.outcome == "trash_full":
        raise TrashFullError(quotas.trash)
    raise ReferenceFaultError(answer.outcome, answer.place or 0)
