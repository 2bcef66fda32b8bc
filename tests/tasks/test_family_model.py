"""Random writes of all kinds, by several clients of several users: the service and a small model always agree."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Iterator
from datetime import date

import pytest

from service.database import functions
from service.database.expected import Expected
from service.database.operations import Operation, Quotas
from service.errors import (
    BatchFailedError,
    DoableError,
    InvalidInputError,
    ListNotFoundError,
    NothingToSkipError,
    SuccessorChangedError,
    SyncPositionGoneError,
    TaskNotFoundError,
    TaskQuotaError,
    TrashFullError,
    UidInTrashError,
    VersionMismatchError,
)
from service.lists import outcomes as outcomes_of_lists
from service.lists.models import List
from service.sync.changes import ITEMS, TASKS, Feed, changes_since
from service.tasks import outcomes
from service.tasks.batch.writes import Outcome, Written
from service.tasks.models import Task
from service.tasks.selection import Lists, TaskQuery
from service.users.queryset import START, SyncPosition
from service.web.text import with_keys
from tests.tasks.keys import between
from tests.tasks.model import NO_SERIES, NONE, Answer, Item, Model, TaskRow, Write

QUOTAS = Quotas(tasks=16, trash=14)
UIDS = [f"019aceef-9a40-7c1e-8f3a-{number:012x}" for number in range(12)]
RULES = {error.message: rule for rule, error in outcomes.SEATS.items()}
RULES |= {outcomes.ANCHOR: "no_anchor", outcomes_of_lists.ANCHOR: "no_anchor"}
ERRORS = {
    TaskNotFoundError: "missing", ListNotFoundError: "missing", TaskQuotaError: "full", TrashFullError: "full",
    UidInTrashError: "in_trash", NothingToSkipError: "skip",
}  # fmt: skip
TASK = (
    "id", "uid", "title", "completed", "priority", "due_date", "list_id", "parent_id", "position", "version",
    *NO_SERIES,
)  # fmt: skip
LIST = ("id", "uid", "name", "archived", "position", "version")
SINGLE = {"toggle", "destroy", "destroy_list", "delete_many", "empty", "empty_lists"}  # not in a batch
VERBS = {
    "create": 24, "update": 30, "complete": 10, "toggle": 8, "delete": 6, "restore": 8, "destroy": 2,
    "delete_many": 0.7, "empty": 0.3, "create_list": 3, "update_list": 5, "delete_list": 2.5, "restore_list": 3,
    "destroy_list": 0.6, "empty_lists": 0.2,
}  # fmt: skip
NULL_DATE = {False: "9999", True: "0000"}  # tasks without a date come last in both directions
ORDERS = {
    "created": lambda task, _: task.id,
    "updated": lambda task, _: task.version,
    "title": lambda task, _: (task.title, task.id),
    "priority": lambda task, _: (task.priority, task.id),
    "position": lambda task, _: (task.position, task.id),
    "due_date": lambda task, last: (task.due_date.isoformat() if task.due_date else NULL_DATE[last], task.id),
}
STORED = f"""
SELECT id, uid::text, title, completed_at, list_id, parent_id, coalesce(position, position_of_id(id)) AS position,
       version, deleted_at IS NOT NULL AS deleted, document IS NULL OR document = {functions.BUILT} AS sound
FROM tasks WHERE user_id = $1 ORDER BY id
"""
STORED_LISTS = """
SELECT id, uid::text, name, archived, coalesce(position, position_of_id(id)) AS position, version,
       deleted_at IS NOT NULL AS deleted
FROM lists WHERE user_id = $1 ORDER BY id
"""


def shown(document: str) -> dict:
    """Return the members of a task or list that the model knows."""
    sent = json.loads(document)
    found = {name: sent[name] for name in (TASK if "title" in sent else LIST)}
    assert "title" not in sent or (sent["completed_at"] is not None) == sent["completed"]
    return found


class Replica:
    """A client's copy of a user's items, from a change feed."""

    def __init__(self, user: User, feed: Feed):
        self.user, self.feed = user, feed
        self.position: SyncPosition = START
        self.copy: dict[int, dict] = {}  # ids are revisions, so a list and a task never have the same one

    async def follow(self) -> None:
        """Read the changes since the last time, or begin again if the feed says so."""
        more, again = True, False
        while more:
            limit = self.user.chance.choice([1, 2, 5, 100])
            try:
                page = await changes_since(self.user.tasks, self.position, limit, self.feed)
            except SyncPositionGoneError:
                assert not again
                self.position, self.copy, again = START, {}, True
                continue
            for change in page.changes:
                document = json.loads(change.document)
                assert document["version"] == change.version > 0
                self.copy[document["id"]] = document
            self.position, more = page.next, page.has_more

    @property
    def live(self) -> dict[int, dict]:
        """The live items by id."""
        return {id_: shown(json.dumps(one)) for id_, one in self.copy.items() if "deleted" not in one}


class User:
    """A user of the service, with a model of the user's data, and clients that follow the change feeds."""

    def __init__(self, name: str, pool, connection, seed: int):
        self.name, self.pool, self.connection = name, pool, connection
        self.chance = random.Random(f"{seed} {name}")
        self.model = Model(QUOTAS)
        self.tasks = Task.objects.for_user(name, using=pool)
        self.lists = List.objects.for_user(name, using=pool)
        self.replicas = [Replica(self, TASKS), Replica(self, ITEMS)]
        self.steps: list[object] = []  # what was done, for a message

    # Drawing writes

    def batch(self, length: int) -> list[Write]:
        return [self.draw(batched=True) for _ in range(length)]

    def draw(self, *, batched: bool = False) -> Write:
        """Return a write that often, but not always, is possible."""
        chance = self.chance
        verbs = [verb for verb in VERBS if not (batched and verb in SINGLE)]
        (verb,) = chance.choices(verbs, [VERBS[verb] for verb in verbs])
        if verb in {"empty", "empty_lists"}:
            return Write(verb)
        if verb == "delete_many":
            of = chance.choice([*self.model.lists.values(), None])
            named = [Lists((), (), inbox=True)]
            if of:
                named += [Lists((of.id,), (), inbox=False), Lists((), (of.uid,), inbox=True)]
            lists = chance.choice([None, None, *named])
            return Write(verb, changes={"completed": chance.choice([True, True, False, None]), "lists": lists})
        if verb in {"create", "create_list"}:
            return Write(verb, changes=self._changes(verb, None))
        of_list = verb.endswith("_list")
        in_trash = verb.startswith(("restore", "destroy"))
        items = (self.model.lists if of_list else self.model.tasks).values()
        able = [one for one in items if (one.deletion is not None) == in_trash]
        parents = [] if of_list else [one for one in able if one.id in self._parents()]
        item = chance.choice([*3 * able, *3 * parents, *items, None])
        if item is None:
            reference = chance.choice([self.model.revision + 1, 2**60, *UIDS])
        else:
            reference = chance.choice([item.id, item.id, item.uid])
        changes = {}
        if verb.startswith("update"):
            changes = self._changes(verb, item)
        elif verb == "complete":
            changes = {"completed": chance.random() < 0.6}
        elif verb == "delete_list":
            changes = {"contents": chance.choice([None, "inbox", "trash"])}
        expected = None
        if item and not in_trash and chance.random() < 0.15:
            expected = chance.choice([item.version, item.version, self.model.revision + 1])
        return Write(verb, reference, changes, expected)

    def _changes(self, verb: str, item: Item | None) -> dict:
        """Draw the fields of a new or changed item."""
        chance, fields = self.chance, {}

        def maybe(name: str, probability: float, value: object) -> None:
            if chance.random() < probability:
                fields[name] = value

        new = verb.startswith("create")
        if verb.endswith("_list"):
            maybe("name", 1 if new else 0.5, chance.choice("abc"))
            maybe("archived", 0.3, chance.random() < 0.4)
        else:
            maybe("title", 1 if new else 0.3, chance.choice("abcde"))
            maybe("completed", 0.2, chance.random() < 0.5)
            maybe("priority", 0.2, chance.randrange(4))
            maybe("due_date", 0.2, chance.choice([None, date(2026, 12, 24), date(2026, 12, 25)]))
            maybe("list_id", 0.15, self._named(self.model.lists))
            parents = {id_: self.model.tasks[id_] for id_ in sorted(self._parents())}
            maybe("parent_id", 0.6 if new else 0.25, self._named(chance.choice([parents, parents, self.model.tasks])))
        if new:
            maybe("uid", 0.5, chance.choice(UIDS))
            fields = {name: value for name, value in fields.items() if value != NONE}
        if chance.random() < 0.4:
            items = self.model.lists if verb.endswith("_list") else self.model.tasks
            if isinstance(item, TaskRow) and chance.random() < 0.8:  # most moves are among siblings
                place = (item.list_id, item.parent_id)
                items = {id_: one for id_, one in items.items() if (one.list_id, one.parent_id) == place}
            fields["placed"] = chance.choice(["at", "after", "before"])
            anchor = self._named(items)
            if fields["placed"] == "at":
                fields["place"] = chance.choice(["a0", "a0", "a1", "Zz", between(None, "a0"), self._position(items)])
            else:
                fields["place"] = None if anchor == NONE else anchor
        return fields

    def _parents(self) -> set[int]:
        """Return the ids of the tasks that have subtasks."""
        return {task.parent_id for task in self.model.tasks.values() if task.parent_id in self.model.tasks}

    def _named(self, items: dict) -> str:
        """Draw a reference, as a text, to a live item, to any other one, or NONE."""
        live = [one for one in items.values() if one.deletion is None]
        item = self.chance.choice([*live, *live, *live, *items.values(), None])
        unknown = self.chance.random() < 0.03
        if item is None or unknown:
            return self.chance.choice([str(self.model.revision + 1), UIDS[0]]) if unknown else NONE
        return self.chance.choice([str(item.id), item.uid])

    def _position(self, items: dict) -> str:
        return self.chance.choice([one.position for one in items.values()] or ["a2"])

    # Performing them

    async def send(self, write: Write) -> Answer:
        """Perform one write with the service."""
        try:
            return await self._send(write)
        except DoableError as error:
            return answer(error)

    async def _send(self, write: Write) -> Answer:  # noqa: C901, PLR0912 - one branch for each verb
        of_list = write.verb.endswith("_list")
        place, changes = self.lists if of_list else self.tasks, dict(write.changes)
        expected = Expected([write.expected]) if write.expected else None
        result: object = None
        match write.verb.removesuffix("_list"):
            case "create" if of_list:
                result = await self.lists.create(changes)
            case "create":
                result = await self.tasks.create(with_keys(changes), quota=QUOTAS.tasks)
            case "update":
                result = await place.update(write.reference, changes if of_list else with_keys(changes), expected)
            case "complete":
                result = await self.tasks.complete(write.reference, changes["completed"], expected)
            case "toggle":
                result = await self.tasks.toggle(write.reference, expected)
            case "delete" if of_list:
                await self.lists.delete(write.reference, expected, tasks=changes["contents"], trash_quota=QUOTAS.trash)
            case "delete":
                await self.tasks.delete(write.reference, expected, trash_quota=QUOTAS.trash)
            case "restore" if of_list:
                result = await self.lists.restore(write.reference, task_quota=QUOTAS.tasks)
            case "restore":
                result = await self.tasks.restore(write.reference, quota=QUOTAS.tasks)
            case "destroy":
                await place.destroy(write.reference)
            case "delete_many":
                return Answer("done", await self.tasks.delete_many(trash_quota=QUOTAS.trash, **changes))
            case "empty":
                return Answer("done", (await self.tasks.destroy_all(within=60)).deleted)
            case "empty_lists":
                return Answer("done", await self.lists.destroy_all())
        if result is None:
            return Answer("done")
        return Answer("known" if result.known else "done", shown(result.document))

    def columns(self, write: Write) -> dict:
        """Return the columns that the service takes."""
        return dict(write.changes) if write.verb.endswith("_list") else with_keys(dict(write.changes))

    async def send_batch(self, writes: list[Write], *, atomic: bool) -> tuple[int | None, list[Answer]]:
        """Perform a batch with the service. Returns the number of the failed write, and the answers that are known."""
        operations = [
            Operation(
                write.verb, write.reference, self.columns(write),
                Expected([write.expected]) if write.expected else None,
            )
            for write in writes
        ]  # fmt: skip
        try:
            done = await self.tasks.perform(operations, atomic=atomic, quotas=QUOTAS)
        except BatchFailedError as failed:
            return failed.index, [answer(failed.cause)]
        return None, [*map(answer, done)]

    # Comparing

    async def one(self, write: Write) -> None:
        """Perform a write with both."""
        self.steps.append(write)
        observed = await self.send(write)
        assert self.expect(self.model, write, observed) == observed, self.story()

    @staticmethod
    def expect(model: Model, write: Write, observed: Answer) -> Answer:
        uid = observed.result["uid"] if isinstance(observed.result, dict) else ""
        return model.perform(write, uid)

    async def several(self, writes: list[Write], *, atomic: bool) -> None:
        """Perform a batch with both."""
        self.steps.append((writes, atomic))
        observed = await self.send_batch(writes, atomic=atomic)
        assert self.expect_batch(self.model, writes, observed, atomic=atomic) == observed, self.story()

    @staticmethod
    def expect_batch(
        model: Model, writes: list[Write], observed: tuple[int | None, list[Answer]], *, atomic: bool
    ) -> tuple[int | None, list[Answer]]:  # fmt: skip
        failed, answers = observed
        uids = iter([] if failed is not None else [one.result["uid"] if one.result else "" for one in answers])
        expected = model.batch(writes, uids, atomic=atomic)
        if atomic and expected[-1].outcome not in {"done", "known"}:
            return len(expected) - 1, expected[-1:]
        return None, expected

    def story(self) -> str:
        return "\n".join(f"{self.name}: {step}" for step in self.steps[-12:])

    async def check(self) -> None:
        """Compare the lists in every order, the replayed feed and the rows with the model."""
        await self.check_rows()
        await self.check_lists()
        for replica in self.replicas:
            await replica.follow()
        task_replica, item_replica = (replica.live for replica in self.replicas)
        assert task_replica == {task.id: task.document for task in self.model.live()}, self.story()
        lists = {one.id: one.document for one in self.model.live_lists}
        assert item_replica == task_replica | lists, self.story()

    async def state(self) -> tuple[list[dict], list[dict]]:
        """Return the stored rows, with their moments of completion as numbers."""
        tasks = [dict(row) for row in await self.connection.fetch(STORED, self.name)]
        lists = [dict(row) for row in await self.connection.fetch(STORED_LISTS, self.name)]
        moments = sorted({task["completed_at"] for task in tasks if task["completed_at"]})
        for task in tasks:
            assert task.pop("sound"), "the stored document is that of the row"
            moment = task.pop("completed_at")
            task["completed"] = moments.index(moment) if moment else None
        return tasks, lists

    @staticmethod
    def state_of(model: Model) -> tuple[list[dict], list[dict]]:
        moments = sorted({task.completion for task in model.tasks.values() if task.completion is not None})
        tasks = [
            {name: task.document[name] for name in TASK if name not in {"priority", "due_date", *NO_SERIES}}
            | {
                "completed": None if task.completion is None else moments.index(task.completion),
                "deleted": task.deletion is not None,
            }
            for _, task in sorted(model.tasks.items())
        ]
        lists = [one.document | {"deleted": one.deletion is not None} for _, one in sorted(model.lists.items())]
        return tasks, lists

    async def check_rows(self) -> None:
        assert await self.state() == self.state_of(self.model), self.story()
        model, live = self.model, self.model.live()
        row = await self.connection.fetchrow("SELECT * FROM users WHERE id = $1", self.name)
        counts = (row["revision"], row["task_count"], row["trash_count"], row["list_count"]) if row else (0, 0, 0, 0)
        assert counts == (model.revision, len(live), model.trash_count, len(model.live_lists)), self.story()
        versions = [item.version for item in (*model.tasks.values(), *model.lists.values())]
        assert len(set(versions)) == len(versions)
        for task in live:
            parent = model.tasks.get(task.parent_id or 0)
            if task.parent_id is not None:
                assert parent
                assert parent.deletion is None
                assert parent.parent_id is None
                assert parent.list_id == task.list_id
                assert parent.completion is None or task.completion is not None
            assert task.list_id is None or model.lists[task.list_id].deletion is None

    async def check_lists(self) -> None:
        model = self.model
        lists = sorted(model.live_lists, key=lambda one: (one.position, one.id))
        page = await self.lists.live().in_order()
        assert [shown(json.dumps(one)) for one in json.loads(page.document)] == [one.document for one in lists]
        archived = {one.id for one in lists if one.archived}
        queries = [
            ({}, lambda task: task.list_id not in archived),
            ({"parent": NONE, "lists": Lists((), (), inbox=True)},
             lambda task: (task.list_id, task.parent_id) == (None, None)),
            *(({"lists": Lists((one.id,), (), inbox=False)}, lambda task, one=one: task.list_id == one.id)
              for one in lists[:1]),
            *(({"lists": Lists((), (one.uid,), inbox=True)}, lambda task, one=one: task.list_id in {None, one.id})
              for one in lists[-1:]),
            *(({"parent": parent},
               lambda task, parent=parent: task.parent_id == parent and task.list_id not in archived)
              for parent in sorted({task.parent_id for task in model.live() if task.parent_id})[:1]),
        ]  # fmt: skip
        for sort, key in ORDERS.items():
            for descending in (False, True):
                values, kept = self.chance.choice(queries)
                expected = sorted(model.live(kept), key=lambda task: key(task, descending), reverse=descending)
                await self.check_page({**values, "sort": sort, "descending": descending}, expected)

    async def check_page(self, values: dict, expected: list[TaskRow]) -> None:
        tasks, limit = self.tasks.matching(TaskQuery(**values)), self.chance.choice([None, 1, 3])
        page = await tasks.page(limit, count=True)
        assert page.total == len(expected)
        found = json.loads(page.document)
        while page.next:
            page = await tasks.page(limit, page.next)
            found += json.loads(page.document)
        assert [shown(json.dumps(task)) for task in found] == [task.document for task in expected], values

    # Concurrent writes

    async def at_once(self, number: int) -> list[tuple]:
        """Perform writes and batches at the same time. Returns them with their answers."""
        sent: list[tuple[Write | list[Write], bool]] = []
        for _ in range(number):
            write = self.batch(self.chance.randint(1, 3)) if self.chance.random() < 0.4 else self.draw()
            sent.append((write, self.chance.random() < 0.5))
        self.steps.append(("at once", sent))
        observed = await asyncio.gather(
            *(
                self.send_batch(write, atomic=atomic) if isinstance(write, list) else self.send(write)
                for write, atomic in sent
            )
        )
        return [(write, atomic, answered) for (write, atomic), answered in zip(sent, observed, strict=True)]

    async def judge(self, done: list[tuple]) -> None:
        """Check that the answers and the rows are those of some order of the writes, one after another."""
        state = await self.state()
        revision = await self.connection.fetchval("SELECT revision FROM users WHERE id = $1", self.name)
        for model in self.orders(self.model, done):
            self.learn(model, state)
            if model.revision == (revision or 0) and self.state_of(model) == state:
                self.model = model
                return
        raise AssertionError(f"no order gives these answers: {done}\n{self.story()}")

    def learn(self, model: Model, state: tuple[list[dict], list[dict]]) -> None:
        """Take over what the service has chosen."""

    @classmethod
    def orders(cls, model: Model, left: list[tuple]) -> Iterator[Model]:
        """Yield the model after each order of the writes in which it gives the observed answers."""
        if not left:
            yield model
        for place, (write, atomic, observed) in enumerate(left):
            after = model.copy()
            if isinstance(write, list):
                expected: object = cls.expect_batch(after, write, observed, atomic=atomic)
            else:
                expected = cls.expect(after, write, observed)
            if expected == observed:
                yield from cls.orders(after, left[:place] + left[place + 1 :])


def answer(outcome: Outcome) -> Answer:
    """Return what the model calls this outcome."""
    if isinstance(outcome, Written):
        document = None if outcome.document is None else shown(outcome.document)
        return Answer("known" if outcome.known else "done", document)
    if isinstance(outcome, SuccessorChangedError):
        return Answer("touched", shown(outcome.document))
    if isinstance(outcome, VersionMismatchError):
        return Answer("mismatch", shown(outcome.document))
    if isinstance(outcome, InvalidInputError):
        (error,) = outcome.errors
        if error.field == "repeat":
            return Answer("repeat")
        return Answer("has_tasks" if error.field == "tasks" else RULES[error.message])
    return Answer(ERRORS[type(outcome)])


async def play(pool, connection, seed: int, rounds: int, kind: type[User] = User) -> None:
    """Perform random writes of two users, who use the same uids, and compare all that can be read after each round."""
    users = [kind(name, pool, connection, seed) for name in ("ada", "bob")]
    chance = random.Random(seed)
    for _ in range(rounds):
        for user in users:
            for _ in range(chance.randint(1, 6)):
                if chance.random() < 0.75:
                    await user.one(user.draw())
                else:
                    await user.several(user.batch(chance.randint(1, 6)), atomic=chance.random() < 0.5)
        done = await asyncio.gather(*(user.at_once(chance.randint(2, 4)) for user in users))
        for user, answered in zip(users, done, strict=True):
            await user.judge(answered)
            await user.check()


searches = pytest.mark.blocks_the_loop(
    seconds=0.5, reason="the model looks for an order of the writes in the same loop"
)


@searches
async def test_the_service_does_what_the_model_does(pool, empty, connection):
    await play(pool, connection, 33, 10)  # of many seeds, this one leads to most kinds of writes and answers


@searches
@pytest.mark.trial
@pytest.mark.parametrize("seed", range(2, 12))
async def test_the_service_does_what_the_model_does_for_longer(pool, empty, connection, seed):
    await play(pool, connection, seed, 100)
