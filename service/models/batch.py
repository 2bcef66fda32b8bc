"""Many writes of one user's in one transaction: in the order in which they were asked for, a statement for each run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Literal, NamedTuple

import msgspec

from service.errors import (
    BatchFailedError,
    DoableError,
    TaskNotFoundError,
    TaskQuotaError,
    TrashFullError,
    VersionMismatchError,
)
from service.models import batch_sql as sql
from service.models.scoping import Speaker

Owner = tuple[str, str | None, str | None]  # id, e-mail, name
# What became of an operation: the task's JSON, None for one that went to the trash, or why nothing was done.
Outcome = str | None | DoableError

STATEMENTS = {"update": sql.UPDATE, "delete": sql.DELETE, "restore": sql.RESTORE}


class Quotas(NamedTuple):
    """How many tasks one user may have: live ones, and in the trash."""

    tasks: int
    trash: int


class Operation(NamedTuple):
    """One write: of a new task, or of the one with `task_id` if that is at the version `expected`, where one is.

    `changes` are values by column, already valid, as in `UserTasks.create` and `update`.
    """

    verb: Literal["create", "update", "delete", "restore"]
    task_id: int | None = None
    changes: Mapping[str, object] = MappingProxyType({})
    expected: int | None = None


async def perform(
    session: Speaker, owner: Owner, operations: Sequence[Operation], *, atomic: bool, quotas: Quotas
) -> list[Outcome]:
    """Do `operations` within a transaction that has locked nothing yet; what became of each, in their order.

    Each sees what those before it did. With `atomic`, raises BatchFailedError for the first that cannot be done; the
    transaction must then be undone. A task that is created meanwhile is not there, not even one of this batch's own.
    """
    named = {operation.task_id for operation in operations} - {None}
    locked = await session.fetch_row(sql.LOCK_TASKS, owner[0], [*named]) if named else None
    there = frozenset(locked["ids"] or ()) if locked else frozenset()
    await session.fetch_row(sql.LOCK_OWNER, *owner)
    outcomes: list[Outcome] = []
    for run in _runs(operations):
        if run[0].verb == "create":
            outcomes += await _create(session, owner, run, quotas.tasks)
        else:
            outcomes += await _write(session, owner, run, there, quotas)
        if atomic:
            _refuse_failures(outcomes)
    return outcomes


def _runs(operations: Sequence[Operation]) -> Iterator[list[Operation]]:
    """The operations, cut where the verb changes or a task is named again: what one statement can do at once."""
    run: list[Operation] = []
    named: set[int] = set()
    for operation in operations:
        if run and (operation.verb != run[0].verb or operation.task_id in named):
            yield run
            run, named = [], set()
        run.append(operation)
        if operation.task_id is not None:
            named.add(operation.task_id)
    if run:
        yield run


async def _create(session: Speaker, owner: Owner, run: list[Operation], quota: int) -> list[Outcome]:
    drafts = _json([operation.changes for operation in run])
    row = await session.fetch_row(sql.CREATE, *owner, quota, drafts)
    made: list[str] = (row and row["documents"]) or []
    return [*made, *(TaskQuotaError(quota) for _ in run[len(made) :])]


async def _write(
    session: Speaker, owner: Owner, run: list[Operation], there: frozenset[int], quotas: Quotas
) -> list[Outcome]:
    verb = run[0].verb
    sent = [
        {"id": operation.task_id, "expected": operation.expected, "sent": [*operation.changes], **operation.changes}
        for operation in run
        if operation.task_id in there
    ]
    full: dict[str, DoableError] = {"delete": TrashFullError(quotas.trash), "restore": TaskQuotaError(quotas.tasks)}
    limits = {"delete": (quotas.trash,), "restore": (quotas.tasks,)}.get(verb, ())
    row = await session.fetch_row(STATEMENTS[verb], *owner, _json(sent), *limits) if sent else None
    answers = [row[column] or () for column in ("ids", "fits", "room", "versions", "documents")] if row else [()] * 5
    found: dict[int, Outcome] = {}
    for task_id, fits, room, version, document in zip(*answers, strict=True):
        if not fits:
            found[task_id] = VersionMismatchError(version, document)
        elif not room:
            found[task_id] = full[verb]
        else:
            found[task_id] = None if verb == "delete" else document
    return [found.get(operation.task_id or 0, TaskNotFoundError()) for operation in run]


def _refuse_failures(outcomes: list[Outcome]) -> None:
    for index, outcome in enumerate(outcomes):
        if isinstance(outcome, DoableError):
            raise BatchFailedError(index, outcome)


def _json(rows: Sequence[Mapping[str, object]]) -> str:
    return msgspec.json.encode(rows).decode()
