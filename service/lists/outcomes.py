"""Translate the outcomes of the functions that write lists to errors."""

from __future__ import annotations

from collections.abc import Mapping

from service.database.operations import MAXIMUM_LISTS, Operation, Quotas, Result
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

DONE = frozenset({"done", "known"})
ANCHOR = "names no list of yours; send the id or uid of another list, or null"


NO_QUOTAS = Quotas(0, 0)  # of a write that they do not limit


def of_operation(operation: Operation, quotas: Quotas, result: Result) -> DoableError:
    """Return the error of an operation on a list whose outcome is not in DONE."""
    if result.outcome == "mismatch":
        assert operation.expected is not None  # noqa: S101 - only an expected version can mismatch
        assert result.version is not None and result.document is not None  # noqa: S101, PT018 - they are the list's
        return operation.expected.mismatch(result.version, result.document, "list")
    return error(result.outcome, operation.changes, result.version, quotas=quotas)


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
