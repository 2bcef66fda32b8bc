"""Random writes of repeating tasks: the service and a small model of their series always agree.

All days are far in the future, so no slot depends on today.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import Any, NamedTuple
from uuid import UUID, uuid4, uuid5

import pytest

from service.database.expected import Expected
from service.tasks import plans
from service.tasks.series import Repeat
from tests.tasks import test_family_model as family
from tests.tasks.model import Answer, Item, Model, Refused, TaskRow, Write
from tests.tasks.test_family_model import QUOTAS, UIDS, User, play, searches

RULES = {
    "FREQ=DAILY": (1, None), "FREQ=WEEKLY": (7, None), "FREQ=DAILY;COUNT=3": (1, 3), "FREQ=DAILY;INTERVAL=2": (2, None),
}  # fmt: skip
DAYS = [date(2090, 1, 5), date(2090, 1, 6), date(2090, 2, 1)]


class Place(NamedTuple):
    """The place of a task in a series. The UUID of a copied subtask's series is unknown until it is read."""

    series: str | None
    rule: str
    slot: date
    number: int = 1

    @property
    def next(self) -> Place | None:
        days, count = RULES[self.rule]
        return None if self.number == count else self._replace(
            slot=self.slot + timedelta(days=days), number=self.number + 1)  # fmt: skip

    @property
    def uid(self) -> str:
        return str(uuid5(UUID(self.series), self.slot.isoformat()))

    @property
    def document(self) -> dict:
        following = self.next
        return {
            "series": self.series, "occurrence": self.slot.isoformat(),
            "next_due": following and following.slot.isoformat(),
        }  # fmt: skip


@dataclass
class SeriesModel(Model):
    """The rules of `docs/reference/recurrence.md`."""

    chosen: str | None = None  # the UUID of the series that the next write begins
    created: dict[int, int] = field(default_factory=dict)  # the write that created a task
    changed: dict[int, int] = field(default_factory=dict)

    def copy(self) -> SeriesModel:
        return replace(super().copy(), created=dict(self.created), changed=dict(self.changed))

    def _write(self, *items: Item, **values: object) -> None:
        super()._write(*items, **values)
        for item in items:
            self.created.setdefault(item.id, self.writes)
            self.changed[item.id] = self.writes

    def _follow(self, *items: Item, **values: object) -> None:
        changed = dict(self.changed)
        super()._follow(*items, **values)
        self.changed = changed

    def _carry(self, task: TaskRow, was: TaskRow | None) -> None:
        parent = self.tasks.get(task.parent_id or 0)
        reopens = parent and task.completion is None and parent.completion is not None
        super()._carry(task, was)
        if reopens:
            parent.place = None

    def begin(self, rule: str | None, due: date | None) -> Place | None:
        if rule is None:
            return None
        if due is None:
            raise Refused("repeat")
        return Place(self.chosen or str(uuid4()), rule, due)

    def create(self, changes: Mapping[str, Any], chosen: str) -> Answer:
        known = next((one for one in self.tasks.values() if one.uid == changes.get("uid")), None)
        made = super().create({name: value for name, value in changes.items() if name != "repeat"}, chosen)
        if known is None and isinstance(made.result, dict):
            task = self.tasks[made.result["id"]]
            task.place = self.begin(changes.get("repeat"), task.due_date)
            return Answer("done", task.document)
        return made

    def update(self, task: TaskRow, changes: Mapping[str, Any]) -> Answer | None:
        was, done = replace(task), task.completion is not None
        place, completed = task.place, changes.get("completed", done)
        if "repeat" in changes or (task.place and ("due_date" in changes or completed != done)):
            wanted, due = changes.get("repeat", place and place.rule), changes.get("due_date", task.due_date)
            if wanted and place and wanted == place.rule:
                if due is None:
                    raise Refused("repeat")
            elif wanted and done and completed:
                raise Refused("repeat")
            else:
                place = self.begin(wanted, due)
        following = None
        if completed and not done:
            following = place and place.next
        elif done and not completed and place and was.place:
            following = was.place.next
        former = following and self._allowed(task, following, changes.get("parent_id"))
        values = self._seat(task, changes)
        if completed != done:
            values["completion"] = self.writes if completed else None
        values |= {name: changes[name] for name in ("title", "priority", "due_date") if name in changes}
        if any(getattr(task, name) != value for name, value in values.items()) or place != was.place:
            self._write(task, place=place, **values)
            self._carry(task, was)
            if following:
                self._succeed(task, following, former)
        return None

    def _allowed(self, task: TaskRow, following: Place, parent: str | None) -> TaskRow | None:
        """Return the successor, or the task in the trash with its uid."""
        former = next((one for one in self.tasks.values() if one.uid == following.uid), None)
        is_live = former is not None and former.deletion is None
        if task.completion is None:
            copied = [one for one in self._children(task) if not (one.place and one.completion is not None)]
            if not is_live and len(self.live()) + 1 + len(copied) > self.quotas.tasks:
                raise Refused("full")
        elif is_live:
            born = self.created[former.id]
            family = [former, *(one for one in self.tasks.values() if one.parent_id == former.id)]
            copies = [one for one in self.tasks.values() if self.created[one.id] == born]
            if (
                former.completion is not None
                or any(self.changed[one.id] > born for one in family)
                or any(one not in family for one in copies)
                or (former.place and former.place.series) != task.place.series
                or parent in {str(former.id), former.uid}
            ):
                raise Refused("touched", former.document)
            if self.trash_count + 1 + len(self._children(former)) > self.quotas.trash:
                raise Refused("full")
        return former

    def _succeed(self, task: TaskRow, following: Place, former: TaskRow | None) -> None:
        """Create the successor, or take it back."""
        is_live = former is not None and former.deletion is None
        if task.completion is None:
            if is_live:
                self._write(former, *self._children(former), deletion=self.writes)
            return
        if is_live:
            return
        days = (following.slot - task.place.slot).days
        children = [one for one in self._children(task) if one.place is None or one.completion == task.completion]
        gone = iter([former, *self._deleted_with(former)] if former else ())
        for one in (task, *children):
            reused = next(gone, None)
            id_, uid = (reused.id, reused.uid) if reused else (self.revision + 1, "")
            made = replace(one, id=id_, uid=uid, own=one.position, completion=None)
            self.created[id_] = self.writes
            if one is task:
                former = made
                made.uid, made.place, made.due_date = following.uid, following, following.slot
            else:
                made.parent_id = former.id
                made.place = made.place and made.place._replace(series=None)
                if made.due_date and not made.place:
                    made.due_date += timedelta(days=days)
            self.tasks[id_] = made
            self._write(made)
        if former.parent_id is not None:
            self._carry(former, None)

    def complete(self, task: TaskRow, *, completed: bool) -> Answer | None:
        return self.update(task, {"completed": completed})

    def toggle(self, task: TaskRow) -> Answer | None:
        return self.update(task, {"completed": task.completion is None})

    def skip(self, task: TaskRow) -> Answer | None:
        following = task.place and task.completion is None and task.place.next
        if not following:
            raise Refused("skip")
        self._write(task, place=following, due_date=following.slot)
        return None


class Repeater(User):
    """A user with repeating tasks."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.model = SeriesModel(QUOTAS)

    def draw(self, *, batched: bool = False) -> Write:
        write = super().draw(batched=batched)
        repeating = [one for one in self.model.live() if one.place]
        if repeating and self.chance.random() < 0.45:
            one = self.chance.choice(repeating)
            reference = self.chance.choice([one.id, one.uid or one.id])
            if one.place.series and one.place.next and self.chance.random() < 0.15:
                turned = {"completed": one.completion is None, "parent_id": one.place.next.uid}  # below its successor
                return Write("update", reference, turned)
            verb = self.chance.choice(["complete", "complete", "complete", "skip", "update", "delete"])
            changes = {"complete": {"completed": self.chance.random() < 0.6}}.get(verb, {})
            return Write(verb, reference, self._changes(verb, one) if verb == "update" else changes)
        guessed = isinstance(write.reference, int) and self.model.revision < write.reference < 2**60
        return write._replace(reference=UIDS[0]) if guessed else write  # it may be a copy with an unknown uid

    def _changes(self, verb: str, item: Item | None) -> dict:
        fields = super()._changes(verb, item)
        if verb.endswith("_list"):
            return fields
        chance = self.chance
        if fields.get("due_date"):
            fields["due_date"] = chance.choice(DAYS)
        if chance.random() < (0.6 if verb == "create" else 0.25):
            fields["repeat"] = chance.choice([*RULES] if verb == "create" else [*RULES, None])
            if verb == "create":
                fields["due_date"] = chance.choice(DAYS)
                fields.pop("completed", None)
        repeating = [one for one in self.model.live() if one.place and one.place.series and one.place.next]
        if "uid" in fields and repeating and chance.random() < 0.2:  # the client takes the uid of a successor
            fields["uid"] = chance.choice(repeating).place.next.uid
        return fields

    def columns(self, write: Write) -> dict:
        columns = super().columns(write)
        if write.verb == "skip":
            return dict(plans.TO_BE_PLANNED)
        if "repeat" in columns:
            rule = columns.pop("repeat")
            repeat = rule and Repeat(rule, "schedule")
            if write.verb == "create":
                columns["plan"] = plans.plan_new(repeat, columns)
            else:
                columns |= {"repeat": repeat, **plans.TO_BE_PLANNED}
        return columns

    async def _send(self, write: Write) -> Answer:
        expected = Expected([write.expected]) if write.expected else None
        columns, tasks = self.columns(write), self.tasks
        match write.verb:
            case "create":
                result = await tasks.create(columns, quota=QUOTAS.tasks)
            case "update":
                result = await tasks.update(write.reference, columns, expected, quotas=QUOTAS)
            case "complete":
                result = await tasks.complete(write.reference, columns["completed"], expected, quotas=QUOTAS)
            case "toggle" | "skip":
                result = await getattr(tasks, write.verb)(write.reference, expected, quotas=QUOTAS)
            case _:
                return await super()._send(write)
        return Answer("known" if result.known else "done", family.shown(result.document))

    async def state(self) -> tuple[list[dict], list[dict]]:
        found = await super().state()
        rows = await self.connection.fetch(
            "SELECT id, recurrence::json ->> 'series' AS series FROM tasks WHERE user_id = $1", self.name
        )
        self.series = {row["id"]: row["series"] for row in rows}
        return found

    def learn(self, model: Model, state: tuple[list[dict], list[dict]]) -> None:
        """Take over the uids and series of copied subtasks."""
        uids = {row["id"]: row["uid"] for row in state[0]}
        known = {task.place.series for task in model.tasks.values() if task.place}
        for id_, task in model.tasks.items():
            task.uid = task.uid or uids.get(id_, "")
            if task.place and task.place.series is None:
                assert self.series.get(id_) not in known - {None}, "a copy begins a series of its own"
                task.place = task.place._replace(series=self.series.get(id_))

    @staticmethod
    def expect(model: Model, write: Write, observed: Answer) -> Answer:
        model.chosen = observed.result.get("series") if isinstance(observed.result, dict) else None
        return User.expect(model, write, observed)

    @classmethod
    def expect_batch(cls, model, writes, observed, *, atomic):
        failed, answers = observed
        series = [(one.result or {}).get("series") for one in answers]
        # The last answer of a failed batch may show a task in a series that the batch itself has begun.
        chosen: Iterator = iter(series) if failed is None else itertools.repeat(series[-1] if series else None)
        perform = model.perform

        def next_one(write: Write, uid: str = "") -> Answer:
            model.chosen = next(chosen, None)
            return perform(write, uid)

        model.__dict__["perform"] = next_one
        try:
            return User.expect_batch(model, writes, observed, atomic=atomic)
        finally:
            model.__dict__.pop("perform", None)

    async def one(self, write: Write) -> None:
        await super().one(write)
        self.learn(self.model, await self.state())

    async def several(self, writes: list[Write], *, atomic: bool) -> None:
        await super().several(writes, atomic=atomic)
        self.learn(self.model, await self.state())


@searches
@pytest.mark.parametrize("seed", [37, 48])  # of many seeds, these lead to most kinds of writes and answers
async def test_repeating_tasks_do_what_the_model_does(pool, empty, connection, seed):
    await play(pool, connection, seed, 5, Repeater)


@searches
@pytest.mark.trial
@pytest.mark.parametrize("seed", range(2, 12))
async def test_repeating_tasks_do_what_the_model_does_for_longer(pool, empty, connection, seed):
    await play(pool, connection, seed, 60, Repeater)
