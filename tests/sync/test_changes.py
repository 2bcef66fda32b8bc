"""The change feed under concurrent writers: a reader of page after page misses nothing and gets nothing twice."""

from __future__ import annotations

import asyncio
import json
import random

import asyncpg

from service.errors import TaskNotFoundError
from service.sync.changes import TASKS, changes_since, positions_of_several_users
from service.tasks.models import Task
from service.tasks.writes import UserTasks
from service.users.queryset import START, SyncPosition
from service.web.text import with_keys

WRITERS = 16
WRITES = 480  # `make trials` does 10,000 over HTTP


async def write(tasks: UserTasks, number: int, writes: int, committed: dict[int, int]) -> None:
    """Create, change, complete and delete tasks; record each version once its commit is known."""
    mine, choice = [], random.Random(number)
    for turn in range(writes):
        verb = choice.choice(("create", "create", "update", "toggle", "delete")) if mine else "create"
        try:
            if verb == "create":
                stored = await tasks.create(with_keys({"title": f"{number}.{turn}"}), quota=100_000)
                mine.append(stored.id)
            elif verb == "update":
                stored = await tasks.update(choice.choice(mine), with_keys({"title": f"{number}.{turn} changed"}))
            elif verb == "toggle":
                stored = await tasks.toggle(choice.choice(mine))
            else:
                await tasks.delete(mine.pop(choice.randrange(len(mine))), trash_quota=100_000)
                continue
        except TaskNotFoundError:
            raise AssertionError("nobody else deletes these") from None
        committed[stored.version] = stored.id


class Reader:
    """A client that polls `since=next`, and reads the committed versions over another connection."""

    def __init__(self, tasks: UserTasks, watcher: asyncpg.Connection):
        self._tasks = tasks
        self._watcher = watcher
        self.position = START
        self._chance = random.Random(20261126)
        self.versions: list[int] = []
        self.copy: dict[int, dict] = {}

    async def read(self) -> bool:
        """Read a page; return whether there is more."""
        page = await changes_since(self._tasks, self.position, self._chance.randint(1, 60), TASKS)
        newest = await self._watcher.fetchval("SELECT revision FROM users WHERE id = 'alice'")
        for change in page.changes:
            assert change.version <= newest, "what is not committed was seen"
            document = json.loads(change.document)
            assert document["version"] == change.version
            self.copy[document["id"]] = document
        self.versions += [change.version for change in page.changes]
        assert page.next.revision >= self.position.revision
        self.position = page.next
        return page.has_more


async def test_a_reader_misses_no_commit_of_sixteen_writers_and_sees_versions_strictly_ascend(pool, empty, connection):
    committed: dict[int, int] = {}
    tasks = Task.objects.for_user("alice", using=pool)
    reader = Reader(tasks, connection)
    writing = asyncio.gather(*(write(tasks, number, WRITES // WRITERS, committed) for number in range(WRITERS)))
    # Each write acknowledged before a poll is before the position of its response, or in later changes.
    while not writing.done():
        acknowledged = max(committed, default=0)
        while await reader.read():
            pass
        assert reader.position.revision >= acknowledged
    await writing
    while await reader.read():
        pass
    assert reader.versions == sorted(set(reader.versions)), "versions strictly ascend over all pages"
    assert reader.position.revision == WRITES
    rows = await connection.fetch("SELECT id, version, deleted_at IS NOT NULL AS deleted FROM tasks "
                                  "WHERE user_id = 'alice'")  # fmt: skip
    stored = {row["id"]: (row["version"], row["deleted"]) for row in rows}
    # A task that was deleted before the end of the first page need not appear.
    unseen = {task_id for task_id, (_, deleted) in stored.items() if deleted} - set(reader.copy)
    assert {task_id: (seen["version"], seen.get("deleted", False)) for task_id, seen in reader.copy.items()} == {
        task_id: state for task_id, state in stored.items() if task_id not in unseen
    }
    print(f"{WRITES} writes, {len(reader.versions)} changes read, {len(unseen)} unseen")


async def test_the_position_of_a_user_who_never_wrote_is_the_start(pool, empty):
    for user_id in ("alice", "bob"):
        await Task.objects.for_user(user_id, using=pool).create(with_keys({"title": "A"}), quota=10)
    alice = await Task.objects.for_user("alice", using=pool).owner.position()
    assert alice == SyncPosition(alice.beginning, 1)
    assert await positions_of_several_users(pool, ["alice", "carol"]) == {"alice": alice, "carol": START}
