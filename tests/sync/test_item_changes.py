"""The feed of tasks and lists under concurrent writers: at the end of each read, a copy of it equals the database."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random

from service.database.functions import DOCUMENT, LIST_DOCUMENT
from service.errors import DoableError
from service.lists.models import List
from service.lists.outcomes import Quotas
from service.lists.writes import UserLists
from service.sync.changes import ITEMS, TASKS, Feed, changes_since
from service.tasks.batch.writes import Operation
from service.tasks.models import Task
from service.tasks.writes import UserTasks
from service.users.queryset import START
from service.web.text import with_keys

WRITERS = 8
WRITES = 60  # of each writer
QUOTA = 100_000
FEEDS: dict[tuple[str, ...], Feed] = {("task", "list"): ITEMS, ("task",): TASKS}  # by the nouns of their changes
LIMITS = [1, 7, 1000]  # changes of a page


class Writer:
    """Writes at random to the tasks and lists of all writers."""

    def __init__(self, number: int, tasks: UserTasks, lists: UserLists, known: dict[str, list[int]]):
        self._chance = random.Random(number)
        self._tasks, self._lists, self._known = tasks, lists, known

    def _any(self, noun: str) -> int:
        return self._chance.choice(self._known[noun] or [0])

    async def write(self) -> None:
        """Do one write that touches from one item to a whole list. Another writer may have removed what it names."""
        verbs = [self.create, self.create, self.create_list, self.complete, self.move, self.delete, self.restore]
        verbs += [self.rename_list, self.delete_list, self.restore_list, self.batch]
        with contextlib.suppress(DoableError):
            await self._chance.choice(verbs)()

    async def create(self) -> None:
        place = self._chance.choice([{}, {"list_id": str(self._any("list"))}, {"parent_id": str(self._any("task"))}])
        stored = await self._tasks.create(with_keys({"title": "A task", **place}), quota=QUOTA)
        self._known["task"].append(stored.id)

    async def create_list(self) -> None:
        self._known["list"].append((await self._lists.create({"name": "A list"})).id)

    async def complete(self) -> None:
        await self._tasks.toggle(self._any("task"))

    async def move(self) -> None:
        to = self._chance.choice(["none", str(self._any("list"))])
        await self._tasks.update(self._any("task"), {"list_id": to})

    async def delete(self) -> None:
        await self._tasks.delete(self._any("task"), trash_quota=QUOTA)

    async def restore(self) -> None:
        await self._tasks.restore(self._any("task"), quota=QUOTA)

    async def rename_list(self) -> None:
        await self._lists.update(self._any("list"), {"name": f"List {self._chance.random()}"})

    async def delete_list(self) -> None:
        tasks = self._chance.choice(["inbox", "trash"])
        await self._lists.delete(self._any("list"), tasks=tasks, trash_quota=QUOTA)

    async def restore_list(self) -> None:
        await self._lists.restore(self._any("list"), task_quota=QUOTA)

    async def batch(self) -> None:
        operations = [
            Operation("create_list", changes={"name": "Of a batch"}),
            Operation("update", self._any("task"), {"list_id": str(self._any("list"))}),
            Operation("complete", self._any("task"), {"completed": True}),
            Operation("delete_list", self._any("list"), {"contents": "inbox"}),
        ]
        await self._tasks.perform(operations, atomic=False, quotas=Quotas(QUOTA, QUOTA))


class Reader:
    """A client that keeps a copy of the items by type and id."""

    def __init__(self, tasks: UserTasks, feed: Feed, limit: int):
        self._tasks, self._feed, self._limit = tasks, feed, limit
        self.position = START
        self.versions: list[int] = []
        self.copy: dict[tuple[str, int], dict] = {}

    async def read(self) -> None:
        """Read page after page until there is no more."""
        more = True
        while more:
            page = await changes_since(self._tasks, self.position, self._limit, self._feed)
            assert len(page.changes) <= self._limit
            for change in page.changes:
                item = json.loads(change.document)
                assert item["version"] == change.version
                assert item.get("type", "task") == change.noun
                self.copy[change.noun, item["id"]] = item
            self.versions += [change.version for change in page.changes]
            self.position, more = page.next, page.has_more

    @property
    def live(self) -> dict[tuple[str, int], dict]:
        return {key: item for key, item in self.copy.items() if "deleted" not in item}

    def assert_whole(self) -> None:
        """Check that the copy is one state of the database, in which no write is half done."""
        assert self.versions == sorted(set(self.versions)), "versions strictly ascend over all pages"
        live = self.live
        for (noun, _), item in live.items():
            if noun == "task" and item["list_id"] and self._feed is ITEMS:
                assert ("list", item["list_id"]) in live
            if noun == "task" and item["parent_id"]:
                parent = live["task", item["parent_id"]]
                assert parent["parent_id"] is None
                assert parent["list_id"] == item["list_id"]
                assert item["completed"] or not parent["completed"]


STORED = f"""
SELECT 'task' AS noun, id, version, deleted_at IS NOT NULL AS deleted, {DOCUMENT} AS document
FROM tasks WHERE user_id = 'alice'
UNION ALL
SELECT 'list', id, version, deleted_at IS NOT NULL, {LIST_DOCUMENT} FROM lists WHERE user_id = 'alice'
"""


async def test_a_copy_of_the_feed_equals_the_database_whatever_is_written_meanwhile(pool, empty, connection):
    tasks = Task.objects.for_user("alice", using=pool)
    lists = List.objects.for_user("alice", using=pool)
    known: dict[str, list[int]] = {"task": [], "list": []}

    async def write(number: int) -> None:
        writer = Writer(number, tasks, lists, known)
        for _ in range(WRITES):
            await writer.write()

    async def follow(reader: Reader) -> None:
        while not writing.done():
            await reader.read()
            reader.assert_whole()

    readers = {(nouns, limit): Reader(tasks, feed, limit) for nouns, feed in FEEDS.items() for limit in LIMITS}
    writing = asyncio.gather(*(write(number) for number in range(WRITERS)))
    await asyncio.gather(*(follow(reader) for reader in readers.values()))
    await writing
    stored = {(row["noun"], row["id"]): row for row in await connection.fetch(STORED)}
    assert {noun for noun, _ in stored} == {"task", "list"}
    for (nouns, _), reader in readers.items():
        await reader.read()
        reader.assert_whole()
        assert reader.position == await tasks.owner.position()
        assert reader.live == {
            (noun, item): ({"type": noun} if nouns == ("task", "list") else {}) | json.loads(row["document"])
            for (noun, item), row in stored.items()
            if noun in nouns and not row["deleted"]
        }
        # An item that was deleted before the end of the first page need not appear.
        gone = {key: item["version"] for key, item in reader.copy.items() if "deleted" in item}
        assert gone == {key: stored[key]["version"] for key in gone if stored[key]["deleted"]}
