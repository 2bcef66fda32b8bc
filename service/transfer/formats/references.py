"""The references of a file: which list each task is in, and which task it is a subtask of.

The ids of a file belong to the account and the time of its export, so an id has a meaning only within the file. A uid
can also name a list or task that the user has already; the database finds it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from service.errors import FieldError, InvalidInputError
from service.tasks.outcomes import SEATS
from service.transfer.formats.items import Item

MAXIMUM_NAMES = 500  # of lists in a table
# The faults of a reference, by the outcome of `import_tasks`. The field comes after the place of the task.
FAULTS = {
    "no_list": FieldError("list_id", "names no list in the file, and no list of yours by its uid; add the list to the "
                          "file, or leave the field empty for the inbox"),
    "two_lists": FieldError("list_id", "names several lists in the file; give each an id of its own"),
    "many_lists": FieldError("list", "is the name of several of your lists; rename one of them, or write the uid of "
                             "the list in the column list_id"),
    "no_parent": FieldError("parent_id", "names no task in the file, and no task of yours by its uid; add the task to "
                            "the file, or leave the field empty"),
    "two_parents": FieldError("parent_id", "names several tasks in the file; give each an id of its own"),
    "deep_parent": SEATS["deep_parent"],
}  # fmt: skip


class Places:
    """The places of lists or tasks in the file, counted from 1, by their ids and uids."""

    def __init__(self, noun: str) -> None:
        """Start with an empty file. `noun` is for errors."""
        self.count = 0
        self._noun = noun
        self._places: dict[str, int] = {}  # 0 for an id that several items have

    def add(self, item: Item) -> int:
        """Return the place of the next item. Raises InvalidInputError if an item before it has the same uid."""
        self.count += 1
        if item.uid is not None:
            if item.uid in self._places:
                raise InvalidInputError([FieldError("uid", f"is the uid of another {self._noun} in the file")])
            self._places[item.uid] = self.count
        if item.id is not None:
            text = str(item.id)
            self._places[text] = 0 if text in self._places else self.count
        return self.count

    def find(self, reference: str) -> int | None:
        """Return the place of an id or uid: 0 if several items have the id, and None if no item has it."""
        return self._places.get(reference)


class Link(NamedTuple):
    """The references of a task, as in the file."""

    label: str  # the place of the task in errors
    list_ref: str | None
    parent_ref: str | None
    is_deleted: bool


class References:
    """The references of all tasks of a file. The arrays `lists` and `parents` are those of `import_tasks`."""

    def __init__(self) -> None:
        """Start with an empty file."""
        self.list_places = Places("list")
        self.task_places = Places("task")
        self.names: dict[str, int] = {}  # the places of the lists that a table names
        self.lists: list[str | None] = []
        self.parents: list[str | None] = []
        self._links: dict[int, Link] = {}

    def add_task(self, item: Item, label: str) -> None:
        """Add the next task. Raises InvalidInputError for a uid or a list's name that cannot be added."""
        place = self.task_places.add(item)
        self.lists.append(None)
        self.parents.append(None)
        if item.list_name is not None:
            if item.list_name not in self.names and len(self.names) == MAXIMUM_NAMES:
                raise InvalidInputError([FieldError("list", f"must be one of at most {MAXIMUM_NAMES} names")])
            self.lists[-1] = str(self.names.setdefault(item.list_name, len(self.names) + 1))
        if item.list_ref or item.parent_ref or item.list_name:
            self._links[place] = Link(label, item.list_ref, item.parent_ref, item.is_deleted)

    def resolve(self) -> Iterator[FieldError | None]:
        """Fill the arrays. Yields the fault of each reference, or None.

        The caller may yield to the event loop in between. A deleted task keeps a reference only if the file contains
        the list, or the parent as a top-level task, because the trash may refer to what has been destroyed since.
        """
        for place, link in self._links.items():
            yield self._resolve_list(place, link)
            yield self._resolve_parent(place, link)

    def fault(self, outcome: str, place: int) -> FieldError:
        """Return the fault of the task at `place`: `outcome` is a key of FAULTS."""
        fault = FAULTS[outcome]
        return fault._replace(field=self._links[place].label + fault.field)

    def _resolve_list(self, place: int, link: Link) -> FieldError | None:
        if link.list_ref is None:
            return None
        found = self.list_places.find(link.list_ref)
        if found:
            self.lists[place - 1] = str(found)
        elif not link.is_deleted:
            if found == 0 or link.list_ref.isdecimal():
                return self.fault("no_list" if found is None else "two_lists", place)
            self.lists[place - 1] = link.list_ref
        return None

    def _resolve_parent(self, place: int, link: Link) -> FieldError | None:
        if link.parent_ref is None:
            return None
        found = self.task_places.find(link.parent_ref)
        if found and not self._is_subtask(found):
            self.parents[place - 1] = str(found)
        elif not link.is_deleted:
            if found:
                return self.fault("deep_parent", place)
            if found == 0 or link.parent_ref.isdecimal():
                return self.fault("no_parent" if found is None else "two_parents", place)
            self.parents[place - 1] = link.parent_ref
        return None

    def _is_subtask(self, place: int) -> bool:
        link = self._links.get(place)
        return link is not None and link.parent_ref is not None
