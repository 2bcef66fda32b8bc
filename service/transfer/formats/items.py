"""The lists and tasks of a file: their types, and their conversion to columns by the rules for new ones."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, NamedTuple, NoReturn

import msgspec
from msgspec import UNSET, Meta, UnsetType

from service.database.expected import MAXIMUM_BIGINT
from service.errors import FieldError, InvalidInputError
from service.lists import schemas as lists
from service.lists.schemas import ListDraft, Name
from service.tasks.schemas import columns_of
from service.tasks.series import Recurrence
from service.transfer.formats.recurrences import RepeatingDraft, read_recurrence
from service.web import moments, validation
from service.web.fields import Cleaner, clean

UNPLACED = "cannot be used in a file; use position"


def _refuse(_sent: object) -> NoReturn:
    raise ValueError(UNPLACED)


def _moment(sent: str | None) -> object:
    return None if sent is None else moments.read_moment(sent)


Moment = Annotated[
    Annotated[str, Meta(extra_json_schema={"format": "date-time"})] | UnsetType | None,
    Meta(extra={"rule": f"{moments.RULE}, or null", "read": moments.read_moment}),
]
Unsupported = Annotated[Any, Meta(extra={"rule": "left out", "read": _refuse}, extra_json_schema={"not": {}})]
KEPT: Mapping[str, Cleaner] = MappingProxyType(
    dict.fromkeys(("created_at", "updated_at", "deleted_at", "completed_at"), _moment)
)
KEPT_OF_LISTS: Mapping[str, Cleaner] = MappingProxyType(
    {name: read for name, read in KEPT.items() if name != "completed_at"}
)
NAMES: Mapping[str, Cleaner] = MappingProxyType({"list": lists.CLEANERS["name"]})


class ImportedTask(RepeatingDraft, kw_only=True, forbid_unknown_fields=True):
    """A task of a file: a new task that keeps its timestamps and its place in a series.

    With `deleted_at`, it is created in the trash. `list_id` and `parent_id` are ids in the file, or uids in the file or
    of your own lists and tasks.
    """

    after: Unsupported = UNSET
    before: Unsupported = UNSET
    completed_at: Moment = UNSET
    created_at: Moment = UNSET
    updated_at: Moment = UNSET
    deleted_at: Moment = UNSET


class ImportedRow(ImportedTask, kw_only=True, forbid_unknown_fields=True):
    """A task of a table, which can name its list."""

    list: Name | UnsetType = UNSET


class ImportedList(ListDraft, kw_only=True, forbid_unknown_fields=True):
    """A list of a file: a new list that keeps its timestamps. With `deleted_at`, it is created in the trash."""

    after: Unsupported = UNSET
    before: Unsupported = UNSET
    created_at: Moment = UNSET
    updated_at: Moment = UNSET
    deleted_at: Moment = UNSET


class Item(NamedTuple):
    """A list or task: its columns, its id and uid in the file, and what it refers to.

    `list_ref` and `parent_ref` are an id in decimal digits, or a uid. `list_name` is the name of a list.
    """

    columns: dict[str, Any]
    id: int | None
    uid: str | None
    list_ref: str | None = None
    parent_ref: str | None = None
    list_name: str | None = None
    recurrence: Recurrence | None = None

    @property
    def is_deleted(self) -> bool:
        """Whether the item is in the trash."""
        return "deleted_at" in self.columns


def read_task(value: bytes | dict[str, Any]) -> Item:
    """Read a task: JSON text, or the members of an object from a table. Raises the errors of `validation.decode`."""
    task = (
        validation.convert(value, ImportedRow, strict=True)
        if isinstance(value, dict)
        else validation.decode(value, ImportedTask)
    )
    _require_no_neighbour(task)
    columns = _columns(columns_of(msgspec.structs.replace(task, repeat=UNSET)), task, KEPT)
    recurrence = read_recurrence(task, columns)
    list_id, parent = columns.pop("list_id", None), columns.pop("parent_id", None)
    list_name = _columns({}, task, NAMES).get("list") if isinstance(task, ImportedRow) else None
    if list_id and list_name:
        raise InvalidInputError([FieldError("list_id", "cannot be set together with list; leave one of them empty")])
    return Item(columns, _id(task.id), columns.pop("uid", None), list_id, parent, list_name, recurrence)


def read_list(value: bytes) -> Item:
    """Read a list from its JSON text. Raises the errors of `validation.decode`."""
    sent = validation.decode(value, ImportedList)
    _require_no_neighbour(sent)
    columns = _columns(lists.columns_of(sent), sent, KEPT_OF_LISTS)
    return Item(columns, _id(sent.id), columns.pop("uid", None))


def _columns(
    columns: Mapping[str, object], sent: ImportedTask | ImportedList, cleaners: Mapping[str, Cleaner]
) -> dict[str, Any]:
    """Return `columns` with those of `cleaners`, and with `position`. Raises InvalidInputError."""
    more, faults = clean(sent, cleaners)
    found: dict[str, Any] = {name: value for name, value in (*columns.items(), *more.items()) if value is not None}
    if faults:
        raise InvalidInputError(faults)
    if found.pop("placed", None):
        found["position"] = found.pop("place")
    return found


def _require_no_neighbour(sent: ImportedTask | ImportedList) -> None:
    faults = [FieldError(name, UNPLACED) for name in ("after", "before") if getattr(sent, name) is not UNSET]
    if faults:
        raise InvalidInputError(faults)


def _id(sent: object) -> int | None:
    return sent if type(sent) is int and 1 <= sent <= MAXIMUM_BIGINT else None
