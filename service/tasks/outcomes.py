"""Translate the outcomes of the functions that write tasks to errors."""

from __future__ import annotations

from collections.abc import Mapping

from service.database.operations import Quotas
from service.errors import (
    DoableError,
    FieldError,
    InvalidInputError,
    SuccessorChangedError,
    TaskNotFoundError,
    TaskQuotaError,
    TrashFullError,
    UidInTrashError,
)

DONE = frozenset({"done", "known"})
NO_QUOTAS = Quotas(0, 0)  # of a write that they do not limit
ANCHOR = "names no task in the same list and with the same parent; send the id or uid of a sibling, or null"
# The outcomes of `seat_task`: the field, and the message.
SEATS = {
    "no_list": FieldError("list_id", "names no list of yours; create the list first, or send null for the inbox"),
    "child_list": FieldError("list_id", "cannot be set on a subtask, because it is in the list of its parent; move "
                             "the parent"),
    "no_parent": FieldError("parent_id", "names no task of yours; create the task first, or send null for none"),
    "own_parent": FieldError("parent_id", "must name another task; send null for a top-level task"),
    "deep_parent": FieldError("parent_id", "must name a top-level task, because a subtask cannot have subtasks"),
    "has_children": FieldError("parent_id", "cannot be set on a task that has subtasks; move those first"),
}  # fmt: skip


def error(
    outcome: str, values: Mapping[str, object], quotas: Quotas = NO_QUOTAS, document: str | None = None
) -> DoableError:
    """Return the error for an outcome that is not in DONE. `values` are the columns of the write.

    `document` is the JSON in the result of the function, if there is one.
    """
    if outcome in SEATS:
        return InvalidInputError([SEATS[outcome]])
    if outcome == "no_anchor":
        return InvalidInputError([FieldError(str(values["placed"]), ANCHOR)])
    others: dict[str, DoableError] = {
        "missing": TaskNotFoundError(), "in_trash": UidInTrashError("task"),
        "full": TaskQuotaError(quotas.tasks), "trash_full": TrashFullError(quotas.trash),
        "touched": SuccessorChangedError(document or ""),
    }  # fmt: skip
    return others[outcome]
