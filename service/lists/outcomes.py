"""Translate the outcomes of the functions that write lists to errors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from service.errors import (
    DoableError,
    FieldError,
    InvalidInputError,
    ListNotFoundError,
    ListQuotaError,
    TaskQuotaError,
    TrashFullError,
    UidInTrashError,
)

MAXIMUM_LISTS = 500  # live lists of one user
DONE = frozenset({"done", "known"})
ANCHOR = "names no list of yours; send the id or uid of another list, or null"


class Quotas(NamedTuple):
    """The maximum number of live tasks of one user, and of tasks and lists in the trash."""

    tasks: int
    trash: int


def error(outcome: str, values: Mapping[str, object], number: int | None, *, quotas: Quotas) -> DoableError:
    """Return the error for an outcome that is not in DONE.

    `values` are the columns of the write. `number` is the version of the list, or the number of its tasks.
    """
    if outcome == "missing":
        return ListNotFoundError()
    if outcome == "full_lists":
        return ListQuotaError(MAXIMUM_LISTS)
    if outcome == "full":
        return TaskQuotaError(quotas.tasks) if number is None else TrashFullError(quotas.trash)
    if outcome == "in_trash":
        return UidInTrashError("list")
    if outcome == "has_tasks":
        tasks = "a task" if number == 1 else f"{number:,} tasks"
        them = "it" if number == 1 else "them"
        return InvalidInputError([
            FieldError("tasks", f"is required, because the list has {tasks}: inbox moves {them} to the inbox, trash "
                       f"moves {them} to the trash"),
        ])  # fmt: skip
    return InvalidInputError([FieldError(str(values["placed"]), ANCHOR)])
