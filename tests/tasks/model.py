"""A small model of one user's lists and tasks: the rules of the reference, in memory, for the tests that compare both.

It knows no SQL. It computes outcome, versions and order keys of each write in advance.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from types import MappingProxyType
from typing import Any, NamedTuple

from service.database.operations import Quotas
from service.tasks.selection import Lists
from tests.tasks.keys import between, key_of, key_of_id

LONGEST = 100
NONE = "none"
NO_SERIES = dict.fromkeys(("series", "occurrence", "next_due"))


class Write(NamedTuple):
    """One write. The verbs are the methods of `Model`, most of them those of `Operation`."""

    verb: str
    reference: int | str | None = None
    changes: Mapping[str, Any] = MappingProxyType({})
    expected: int | None = None


class Answer(NamedTuple):
    """The outcome of a write, and the item as JSON or the number of removed tasks."""

    outcome: str
    result: dict | int | None = None


@dataclass
class Item:
    """What tasks and lists have in common. `deletion` is the same for all that one write deleted."""

    id: int
    uid: str
    version: int
    own: str | None  # its position, if it has one of its own
    deletion: int | None = None

    @property
    def position(self) -> str:
        return self.own or key_of_id(self.id)


@dataclass
class TaskRow(Item):
    title: str = ""
    priority: int = 0
    due_date: date | None = None
    completion: int | None = None  # the same for all that one write completed
    list_id: int | None = None
    parent_id: int | None = None
    place: Any = None  # in a series: see `test_series_model.py`

    @property
    def document(self) -> dict:
        return {
            "id": self.id, "uid": self.uid, "title": self.title, "completed": self.completion is not None,
            "priority": ("none", "low", "medium", "high")[self.priority],
            "due_date": self.due_date and self.due_date.isoformat(), "list_id": self.list_id,
            "parent_id": self.parent_id, "position": self.position, "version": self.version,
            **(self.place.document if self.place else NO_SERIES),
        }  # fmt: skip


@dataclass
class ListRow(Item):
    name: str = ""
    archived: bool = False

    @property
    def document(self) -> dict:
        return {
            "id": self.id, "uid": self.uid, "name": self.name, "archived": self.archived, "position": self.position,
            "version": self.version,
        }  # fmt: skip


class Refused(Exception):  # noqa: N818 - it is an outcome
    """A write that the rules do not allow."""

    def __init__(self, outcome: str, result: dict | None = None):
        self.answer = Answer(outcome, result)


def by_id(item: Item) -> int:
    return item.id


def apart(keys: list[str], gap: int) -> list[str]:
    """Return the sorted keys with changes, so that another one fits after the first `gap` of them.

    Of equal keys at the gap, those on the shorter side change, or else the upper ones.
    """
    fresh, ends = [None, *keys, None], [None, *keys, None]  # by place, from 1; both ends are open
    if ends[gap] is not None and ends[gap] == ends[gap + 1]:
        tied = [place for place, key in enumerate(ends) if key == ends[gap]]
        below, above = [place for place in tied if place <= gap], [place for place in tied if place > gap]
        if len(above) <= len(below):
            for place in above:
                fresh[place] = between(fresh[place - 1], ends[above[-1] + 1])
        else:
            for place in reversed(below):
                fresh[place] = between(ends[below[0] - 1], fresh[place + 1])
    if max(map(len, [between(fresh[gap], fresh[gap + 1]), *fresh[1:-1]])) > LONGEST:
        return [*map(key_of, range(len(keys)))]
    return fresh[1:-1]


@dataclass
class Model:
    """One user's data."""

    quotas: Quotas
    revision: int = 0
    writes: int = 0  # a number for each write, as a moment
    tasks: dict[int, TaskRow] = field(default_factory=dict)
    lists: dict[int, ListRow] = field(default_factory=dict)
    newest: int | None = None  # within a batch: the last id that the client can know

    def copy(self) -> Model:
        tasks = {id_: replace(task) for id_, task in self.tasks.items()}
        return replace(self, tasks=tasks, lists={id_: replace(one) for id_, one in self.lists.items()})

    def live(self, kept: Callable[[TaskRow], bool] = lambda _: True) -> list[TaskRow]:
        """Return the live tasks for which `kept` is true, in the order of ids."""
        return sorted((one for one in self.tasks.values() if one.deletion is None and kept(one)), key=by_id)

    @property
    def live_lists(self) -> list[ListRow]:
        return [one for one in self.lists.values() if one.deletion is None]

    @property
    def trash_count(self) -> int:
        return len(self.tasks) + len(self.lists) - len(self.live()) - len(self.live_lists)

    def perform(self, write: Write, uid: str = "") -> Answer:
        """Perform a write and return its answer. `uid` is that of a new item that the service chooses."""
        self.writes += 1
        verb = getattr(self, write.verb)
        try:
            if write.verb in {"create", "create_list"}:
                return verb(write.changes, uid)
            if write.verb in {"delete_many", "empty", "empty_lists"}:
                return verb(**write.changes)
            item = self._named(write)
            if write.expected not in {None, item.version}:
                raise Refused("mismatch", item.document)  # noqa: TRY301 - one of many
            done = verb(item, write.changes) if "update" in write.verb else verb(item, **write.changes)
            return done or Answer("done", item.document)
        except Refused as refused:
            return refused.answer

    def batch(self, writes: list[Write], uids: Iterator[str], *, atomic: bool) -> list[Answer]:
        """Perform a batch. Returns the answers, of an atomic batch up to the first one that fails."""
        before = self.copy()
        self.newest, answers = self.revision, []
        for write in writes:
            answers.append(self.perform(write, next(uids, "")))
            if atomic and answers[-1].outcome not in {"done", "known"}:
                self.__dict__.update(before.__dict__)
                break
        self.newest = None
        return answers

    # Finding

    def _find(self, items: Mapping[int, Any], reference: int | str) -> Any:
        """Return the item, also from the trash. A reference in a body is a text."""
        if isinstance(reference, int) or reference.isdigit():
            known = self.newest is None or int(reference) <= self.newest
            return items.get(int(reference)) if known else None
        return next((item for item in items.values() if item.uid == reference), None)

    def _named(self, write: Write) -> Any:
        item = self._find(self.lists if write.verb.endswith("_list") else self.tasks, write.reference or 0)
        in_trash = write.verb.split("_")[0] in {"restore", "destroy"}
        if item is None or (item.deletion is None) == in_trash:
            raise Refused("missing")
        return item

    def _live(self, items: Mapping[int, Any], reference: str, outcome: str) -> Any:
        item = self._find(items, reference)
        if item is None or item.deletion is not None:
            raise Refused(outcome)
        return item

    def _children(self, task: TaskRow) -> list[TaskRow]:
        return self.live(lambda one: one.parent_id == task.id)

    # Writing

    def _write(self, *items: Item, **values: object) -> None:
        """Set these values of each item, which takes a revision."""
        for item in items:
            self.revision += 1
            item.version = self.revision
            for name, value in values.items():
                setattr(item, name, value)

    def _follow(self, *items: Item, **values: object) -> None:
        """Write items that only follow others: their siblings, their parent or their list."""
        self._write(*items, **values)

    def _seat(self, task: TaskRow | None, changes: Mapping[str, Any]) -> dict[str, Any]:
        """Return the list, parent and position that the changes request."""
        of, parent_id, own = (task.list_id, task.parent_id, task.own) if task else (None, None, None)
        if (parent := changes.get("parent_id")) == NONE:
            parent_id = None
        elif parent is not None:
            above = self._live(self.tasks, parent, "no_parent")
            if above is task:
                raise Refused("own_parent")
            if above.parent_id is not None:
                raise Refused("deep_parent")
            if task and self._children(task):
                raise Refused("has_children")
            parent_id, of = above.id, above.list_id
        if (wanted := changes.get("list_id")) is not None:
            there = None if wanted == NONE else self._live(self.lists, wanted, "no_list").id
            if parent_id is not None and there != of:
                raise Refused("child_list")
            of = there
        siblings = self.live(lambda one: (one.list_id, one.parent_id) == (of, parent_id))
        return {"list_id": of, "parent_id": parent_id, "own": self._place(task, own, siblings, changes, self.tasks)}

    def _place(
        self, moved: Item | None, own: str | None, siblings: list[Any], changes: Mapping[str, Any],
        items: Mapping[int, Any],
    ) -> str | None:  # fmt: skip
        """Return the position among the siblings that the changes request."""
        if "placed" not in changes:
            return own
        position, side = changes["place"], changes["placed"]
        if side != "at":
            siblings = sorted((one for one in siblings if one is not moved), key=lambda one: (one.position, one.id))
            at = len(siblings) if side == "after" else 0
            if position is not None:
                anchor = self._live(items, position, "no_anchor")
                if anchor not in siblings:
                    raise Refused("no_anchor")
                at = siblings.index(anchor) + (side == "after")
            position = self._between(siblings, at, moved.position if moved else None)
        return own if moved and moved.position == position else position

    def _between(self, siblings: list[Item], at: int, present: str | None) -> str:
        for _ in range(2):
            low = siblings[at - 1].position if at else None
            high = siblings[at].position if at < len(siblings) else None
            if present and (low is None or low < present) and (high is None or present < high):
                return present
            if None in {low, high} or low < high:
                key = between(low, high)
                if len(key) <= LONGEST:
                    return key
            keys = [one.position for one in siblings]
            for sibling, was, fresh in zip(siblings, keys, apart(keys, at), strict=True):
                if fresh != was:
                    self._follow(sibling, own=fresh)
        raise AssertionError("after new keys there is room")

    def _carry(self, task: TaskRow, was: TaskRow | None) -> None:
        if task.parent_id is None:
            for child in self._children(task):
                turns = was and (task.completion is None) != (was.completion is None)
                completion = task.completion if turns and child.completion == was.completion else child.completion
                if (completion, task.list_id) != (child.completion, child.list_id):
                    self._follow(child, completion=completion, list_id=task.list_id)
        elif task.completion is None and self.tasks[task.parent_id].completion is not None:
            self._write(self.tasks[task.parent_id], completion=None)

    # The verbs of tasks

    def create(self, changes: Mapping[str, Any], chosen: str) -> Answer:
        if known := self._known(self.tasks, changes):
            return known
        if len(self.live()) >= self.quotas.tasks:
            raise Refused("full")
        seat = self._seat(None, changes)
        task = TaskRow(self.revision + 1, changes.get("uid") or chosen, 0, **seat)
        self.tasks[task.id] = task
        plain = {name: changes[name] for name in ("title", "priority", "due_date") if name in changes}
        self._write(task, completion=self.writes if changes.get("completed") else None, **plain)
        self._carry(task, None)
        return Answer("done", task.document)

    def _known(self, items: Mapping[int, Any], changes: Mapping[str, Any]) -> Answer | None:
        known = next((one for one in items.values() if one.uid == changes.get("uid")), None)
        if known is None:
            return None
        if known.deletion is not None:
            raise Refused("in_trash")
        return Answer("known", known.document)

    def update(self, task: TaskRow, changes: Mapping[str, Any]) -> Answer | None:
        was = replace(task)
        values = self._seat(task, changes)
        if "completed" in changes and changes["completed"] != (task.completion is not None):
            values["completion"] = self.writes if changes["completed"] else None
        values |= {name: changes[name] for name in ("title", "priority", "due_date") if name in changes}
        if any(getattr(task, name) != value for name, value in values.items()):
            self._write(task, **values)
            self._carry(task, was)
        return None

    def toggle(self, task: TaskRow) -> Answer | None:
        return self.complete(task, completed=task.completion is None)

    def complete(self, task: TaskRow, *, completed: bool) -> Answer | None:
        was = replace(task)
        if completed != (task.completion is not None):
            self._write(task, completion=self.writes if completed else None)
            self._carry(task, was)
        return None

    def delete(self, task: TaskRow) -> Answer:
        gone = [task, *self._children(task)]
        if self.trash_count + len(gone) > self.quotas.trash:
            raise Refused("full")
        self._write(task, deletion=self.writes)
        self._follow(*gone[1:], deletion=self.writes)
        return Answer("done")

    def delete_many(self, *, completed: bool | None, lists: Lists | None) -> Answer:
        chosen = self.live(lambda one: completed in {None, one.completion is not None} and self._within(one, lists))
        gone = {one.id for one in chosen}
        family = self.live(lambda one: one.id in gone or one.parent_id in gone)
        if self.trash_count + len(family) > self.quotas.trash and family:
            raise Refused("full")
        family.sort(key=lambda one: (one.parent_id or one.id, one.parent_id is not None, one.id))
        self._write(*family, deletion=self.writes)
        return Answer("done", len(family))

    def _within(self, task: TaskRow, lists: Lists | None) -> bool:
        """Tell whether the task is in one of the lists; by default, in any but an archived one."""
        of = self.lists.get(task.list_id or 0)
        if of is None:
            return lists is None or lists.inbox
        return not of.archived if lists is None else of.id in lists.ids or of.uid in lists.uids

    def _deleted_with(self, task: TaskRow) -> list[TaskRow]:
        return sorted(
            (one for one in self.tasks.values() if one.parent_id == task.id and one.deletion == task.deletion),
            key=by_id,
        )

    def restore(self, task: TaskRow) -> Answer | None:
        children = self._deleted_with(task)
        if len(self.live()) + 1 + len(children) > self.quotas.tasks:
            raise Refused("full")
        of = self.lists.get(task.list_id or 0)
        list_id = of.id if of and of.deletion is None else None
        self._write(task, deletion=None, list_id=list_id, parent_id=None)
        self._follow(*children, deletion=None, list_id=list_id)
        return None

    def destroy(self, task: TaskRow) -> Answer:
        for one in [task, *self._deleted_with(task)]:
            del self.tasks[one.id]
        self.revision += 1
        return Answer("done")

    def empty(self) -> Answer:
        """Destroy all deleted tasks."""
        kept = {one.id: one for one in self.live()}
        gone = len(self.tasks) - len(kept)
        self.tasks, self.revision = kept, self.revision + (gone > 0)
        return Answer("done", gone)

    # The verbs of lists

    def create_list(self, changes: Mapping[str, Any], chosen: str) -> Answer:
        if known := self._known(self.lists, changes):
            return known
        own = self._place(None, None, self.live_lists, changes, self.lists)
        made = ListRow(self.revision + 1, changes.get("uid") or chosen, 0, own)
        self.lists[made.id] = made
        self._write(made, name=changes["name"], archived=changes.get("archived", False))
        return Answer("done", made.document)

    def update_list(self, one: ListRow, changes: Mapping[str, Any]) -> Answer | None:
        values = {"own": self._place(one, one.own, self.live_lists, changes, self.lists)}
        values |= {name: changes[name] for name in ("name", "archived") if name in changes}
        if any(getattr(one, name) != value for name, value in values.items()):
            self._write(one, **values)
        return None

    def delete_list(self, one: ListRow, *, contents: str | None) -> Answer:
        members = self.live(lambda task: task.list_id == one.id)
        if members and contents is None:
            raise Refused("has_tasks")
        if self.trash_count + 1 + (len(members) if contents == "trash" else 0) > self.quotas.trash:
            raise Refused("full")
        members.sort(key=lambda task: (task.parent_id or 0, task.id))
        self._write(one, deletion=self.writes)
        self._follow(*members, **({"deletion": self.writes} if contents == "trash" else {"list_id": None}))
        return Answer("done")

    def restore_list(self, one: ListRow) -> Answer | None:
        members = [task for task in self.tasks.values() if task.deletion == one.deletion]
        if members and len(self.live()) + len(members) > self.quotas.tasks:
            raise Refused("full")
        self._write(one, deletion=None)
        self._follow(*sorted(members, key=by_id), deletion=None)
        return None

    def destroy_list(self, one: ListRow) -> Answer:
        del self.lists[one.id]
        self.revision += 1
        return Answer("done")

    def empty_lists(self) -> Answer:
        """Destroy all deleted lists."""
        kept = {one.id: one for one in self.live_lists}
        gone = len(self.lists) - len(kept)
        self.lists, self.revision = kept, self.revision + (gone > 0)
        return Answer("done", gone)
