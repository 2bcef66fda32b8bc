"""Plans: what a write of a repeating task does to its series.

PostgreSQL does not compute the slots of a series. If a write would complete, reopen or move a repeating task, its
function writes nothing, and returns the task with the outcome `unplanned`. The service then computes a plan from that
version of the task. `update_task` accepts it at that version only; otherwise the task is `unplanned` again.
`arrange_task.sql` describes the elements of a plan.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timezone
from types import MappingProxyType
from typing import Any, cast

import msgspec
from msgspec import Struct

from service.database.operations import Operation, Quotas
from service.errors import DoableError, FieldError, InvalidInputError, NothingToSkipError
from service.tasks import series
from service.tasks.series import Recurrence, Repeat

Plan = list[str | None]

UNPLANNED = "unplanned"  # the outcome of a write that needs a plan
TRIES = 100  # of a write with a plan; only another write of the same task makes one more necessary
NONE = ""  # no recurrence
REFUSED = "refused"  # the outcome of a write that has no possible plan, and the plan itself
# The column of a write that always needs a plan. No task has the version 0.
TO_BE_PLANNED: Mapping[str, Sequence[str]] = MappingProxyType({"plan": ("0",)})
# Columns with the same names and values as members of a task's JSON.
SHOWN = frozenset({"title", "description", "tags", "completed", "due_date", "due_at"})


class Planned(Struct):
    """The members of a task's JSON from which its plan is computed."""

    version: int
    completed: bool
    due_date: date | None
    due_at: str | None
    repeat: Repeat | None

    @property
    def moment(self) -> datetime | None:
        """The due time in UTC, if there is one."""
        return None if self.due_at is None else series.read_moment(self.due_at)


def plan_new(repeat: Repeat, columns: Mapping[str, object]) -> Plan:
    """Return the plan of a new task with these columns. Raises InvalidInputError as `series.begin`."""
    if columns.get("completed"):
        raise InvalidInputError([
            FieldError("completed", "cannot be true for a new task that repeats; create it, then complete it"),
        ])  # fmt: skip
    return [None, series.begin(repeat, _due(columns), _now()).text]


def planned(operation: Operation, document: str | None, quotas: Quotas) -> Operation:
    """Return `operation`, an update, completion or skip, with all columns that it sets, and a plan.

    `document` is the JSON of the task. Raises InvalidInputError as `series.begin`, and NothingToSkipError.
    """
    task, place = msgspec.json.decode(document or "", type=Planned), None
    if task.repeat is not None:
        place = msgspec.json.decode(document or "", type=Recurrence)
    if operation.verb == "skip":
        columns, plan = _skip(task, place)
    else:
        columns = dict(operation.changes)
        columns.setdefault("completed", task.completed if operation.verb == "update" else not task.completed)
        plan = _write(task, place, columns, quotas)
    return operation._replace(changes={**columns, "plan": [str(task.version), *plan]})


def performed(operation: Operation, task: Mapping[str, Any]) -> dict[str, Any]:
    """Return the members of the JSON of `task` after `operation`, which has a plan, as far as they are in SHOWN."""
    place = cast("Plan", operation.changes["plan"])[1]
    members = {name: value for name, value in task.items() if name not in Recurrence.__struct_fields__}
    for name in SHOWN & operation.changes.keys():
        value = operation.changes[name]
        members[name] = series.text_of(value) if isinstance(value, date) else value
    return members | (msgspec.json.decode(place) if place else {"repeat": None})


def refused(operation: Operation, version: int | None) -> Operation:
    """Return `operation` with a plan that says, for this version of the task, that none is possible."""
    return operation._replace(changes={"plan": [str(version), REFUSED]})


def reason(operation: Operation, document: str | None, quotas: Quotas) -> DoableError:
    """Return the error that `planned` raises for an operation that was refused."""
    try:
        planned(operation, document, quotas)
    except DoableError as error:
        return error
    return NothingToSkipError("The series had no further occurrence when the request was performed.")


def _skip(task: Planned, place: Recurrence | None) -> tuple[dict[str, object], Plan]:
    """Return the columns of the task at its next slot, and the rest of its plan."""
    if place is None:
        raise NothingToSkipError("This task does not repeat, so there is no occurrence to skip.")
    if task.completed:
        raise NothingToSkipError("This occurrence is completed; skip the task that follows it in the series.")
    following = place.skipped(_now())
    if following is None:
        raise NothingToSkipError("This is the last occurrence of the series; complete or delete the task instead.")
    following = following.followed(_now(), completed=False)[0]
    is_day = not isinstance(following.due, datetime)
    due: dict[str, object] = {
        "due_date": following.due if is_day else None,
        "due_at": None if is_day else following.due,
    }
    return due, [following.text]


def _write(task: Planned, was: Recurrence | None, columns: Mapping[str, object], quotas: Quotas) -> Plan:
    """Return the rest of the plan of a write that sets `columns`."""
    due = _due({"due_date": task.due_date, "due_at": task.moment, **columns})
    wanted, now = columns.get("repeat", was and was.repeat), _now()
    if not isinstance(wanted, Repeat):
        place = None
    elif was is not None and wanted == was.repeat:
        series.check_due(wanted, due)
        place = was
    elif task.completed and columns["completed"]:  # it would have no successor
        raise InvalidInputError([
            FieldError("repeat", "cannot change on a completed task; reopen it, or change the open task of its series"),
        ])  # fmt: skip
    else:
        place = series.begin(wanted, due, now)
    after: Plan = []
    if columns["completed"] and not task.completed and place is not None:
        place, following = place.followed(now, completed=True)
        if following is not None:
            after = _succession(place, following.followed(now, completed=False)[0], quotas)
    # A task that leaves its series while it is reopened lets the successor continue it.
    elif task.completed and not columns["completed"] and was and was.next_due and place is not None:
        after = [was.uid_of(was.next_due), None, None, None, *map(str, quotas), None, None]
    return [NONE if place is None else place.text, *after]


def _succession(done: Recurrence, following: Recurrence, quotas: Quotas) -> Plan:
    """Return the elements of a plan that create a successor: see `find_successor.sql`."""
    due = following.due
    is_day = not isinstance(due, datetime)
    days, seconds = following.distance_from(done)
    return [
        done.uid_of(following.occurrence), due.isoformat() if is_day else None, None if is_day else due.isoformat(),
        following.text, *map(str, quotas), str(days), str(seconds),
    ]  # fmt: skip


def _due(columns: Mapping[str, object]) -> date | datetime | None:
    """Return the due in valid columns: a day, or an aware time."""
    due = columns.get("due_date") or columns.get("due_at")
    return due if isinstance(due, date) else None


def _now() -> datetime:
    return datetime.now(timezone.utc)
