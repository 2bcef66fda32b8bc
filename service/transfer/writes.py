"""Many tasks of one user, put in at once: all of them by one call of a database function, or none."""

from __future__ import annotations

from typing import NamedTuple

import msgspec
from msgspec import Struct

from service.database.functions import call
from service.database.scoping import Connection
from service.errors import TaskQuotaError, TrashFullError
from service.tasks.batch.writes import Quotas

# The array comes as bytes: as text of Python's, one emoji would make it four times as large.
IMPORT = call("import_tasks", 7)


class Added(NamedTuple):
    """How many tasks were created, and how many were there already."""

    imported: int
    skipped: int


async def add_tasks(  # noqa: PLR0913 - what the one function takes
    connection: Connection,
    owner: tuple[str, str | None, str | None],
    tasks: bytearray,
    count: int,
    *,
    quotas: Quotas,
    skip_known: bool,
) -> Added:
    """Create the `count` tasks of `tasks` for `owner`, who is an id, an e-mail address and a name.

    `tasks` is a JSON array in UTF-8 of objects by column, each with a `uid`, that is already valid; all of them are
    created, or none. With `skip_known` a task is left out when the owner has one, live or in the trash, with its title
    and `created_at`. Raises TaskQuotaError or TrashFullError when there would be more live or deleted tasks than
    `quotas` allow.
    """
    row = await connection.call(IMPORT, *owner, *quotas, skip_known, tasks)
    return read(row["outcome"], row["imported"], count, quotas)


def read(outcome: str, imported: int, count: int, quotas: Quotas) -> Added:
    """Return what became of `count` tasks, by the columns of `import_tasks`. Raises as `add_tasks` does."""
    if outcome == "full":
        raise TaskQuotaError(quotas.tasks)
    if outcome == "trash_full":
        raise TrashFullError(quotas.trash)
    return Added(imported, count - imported)


class _Answer(Struct):
    """What `import_tasks` returns, as `import_once` keeps it."""

    outcome: str
    imported: int


def read_answer(answer: str, count: int, quotas: Quotas) -> Added:
    """Do as `read` does, by the answer of `import_once`."""
    kept = msgspec.json.decode(answer, type=_Answer)
    return read(kept.outcome, kept.imported, count, quotas)
