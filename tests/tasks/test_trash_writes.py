"""One user's trash under many concurrent writers: results, counts, and the revision of removed tombstones."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from functools import partial

import msgspec
import pytest

from service.errors import TaskNotFoundError, TaskQuotaError
from service.operations import retention
from service.tasks.models import Task
from service.tasks.queryset import StoredItem
from service.tasks.writes import UserTasks
from service.users import queryset as user_queryset
from service.users.models import User
from service.web.text import with_keys
from tests.locks import WAITING

QUOTA = 10_000


@pytest.fixture
def ada(pool, empty) -> UserTasks:
    return Task.objects.for_user("ada", using=pool)


@pytest.fixture
def trash(ada) -> UserTasks:
    return ada


async def make(tasks: UserTasks, *, deleted: bool = False) -> StoredItem:
    task = await tasks.create(with_keys({"title": "A task"}), quota=QUOTA)
    if deleted:
        await tasks.delete(task.id, trash_quota=QUOTA)
    return task


async def owner(connection) -> dict:
    return dict(await connection.fetchrow("SELECT * FROM users WHERE id = 'ada'"))


async def assert_sound(connection) -> None:
    """Check the invariants that hold after any number of writes in any order."""
    user = await owner(connection)
    tasks = await connection.fetch("SELECT * FROM tasks WHERE user_id = 'ada'")
    versions = [task["version"] for task in tasks]
    assert len(set(versions)) == len(versions)
    assert max([0, user["forgotten"], *versions]) <= user["revision"]
    assert user["task_count"] == sum(task["deleted_at"] is None for task in tasks)
    assert user["trash_count"] == sum(task["deleted_at"] is not None for task in tasks)


async def blocked(connection, count: int) -> None:
    """Wait until so many statements wait for a lock."""
    async with asyncio.timeout(30):
        while await connection.fetchval(WAITING) < count:
            await asyncio.sleep(0.01)


def outcome(results: list[object]) -> tuple[int, int, int]:
    """Return how many calls succeeded, found nothing, and found no room."""
    return (
        sum(not isinstance(result, BaseException) for result in results),
        sum(isinstance(result, TaskNotFoundError) for result in results),
        sum(isinstance(result, TaskQuotaError) for result in results),
    )


class TestRestoring:
    async def test_of_many_concurrent_restores_exactly_one_succeeds(self, ada, trash, connection):
        task = await make(ada, deleted=True)
        results = await asyncio.gather(
            *(trash.restore(task.id, quota=QUOTA) for _ in range(20)), return_exceptions=True
        )  # fmt: skip
        assert outcome(results) == (1, 19, 0)
        assert (await owner(connection))["task_count"] == 1
        assert (await owner(connection))["revision"] == 3
        await assert_sound(connection)

    async def test_concurrent_restores_never_exceed_the_quota(self, ada, trash, connection):
        gone = [await make(ada, deleted=True) for _ in range(12)]
        results = await asyncio.gather(
            *(trash.restore(task.id, quota=5) for task in gone),
            *(ada.create(with_keys({"title": "New"}), quota=5) for _ in range(12)),
            return_exceptions=True,
        )
        assert outcome(results) == (5, 0, 19)
        assert (await owner(connection))["task_count"] == 5
        await assert_sound(connection)

    async def test_a_refused_restore_leaves_the_task_in_the_trash_and_takes_no_revision(self, ada, trash, connection):
        task, _ = await make(ada, deleted=True), await make(ada)
        before = await owner(connection)
        with pytest.raises(TaskQuotaError, match="1 tasks"):
            await trash.restore(task.id, quota=1)
        assert await owner(connection) == before
        assert (await trash.restore(task.id, quota=2)).version == before["revision"] + 1

    async def test_a_restore_advances_time_and_version_and_changes_nothing_else(self, ada, trash, connection):
        made = await ada.create(
            with_keys({"title": "A", "description": "b", "completed": True, "priority": 3, "tags": ["x"]}), quota=QUOTA
        )
        await ada.delete(made.id, trash_quota=QUOTA)
        restored = await trash.restore(made.id, quota=QUOTA)
        before, after = msgspec.json.decode(made.document), msgspec.json.decode(restored.document)
        assert after.pop("updated_at") > before.pop("updated_at")
        assert (before.pop("version"), after.pop("version")) == (1, 3)
        assert before == after
        assert await ada.find(made.id) == restored
        assert restored.version == (await owner(connection))["revision"]

    async def test_concurrent_deletions_and_restores_keep_the_count_exact(self, ada, trash, connection):
        made = [await make(ada, deleted=number % 2 == 0) for number in range(10)]
        writes = [
            write
            for task in made * 3
            for write in (
                ada.delete(task.id, trash_quota=QUOTA),
                trash.restore(task.id, quota=QUOTA),
                ada.toggle(task.id),
            )
        ]
        results = await asyncio.gather(
            *writes, ada.delete_many(completed=None, trash_quota=QUOTA), return_exceptions=True
        )
        assert {type(result) for result in results if isinstance(result, BaseException)} <= {TaskNotFoundError}
        await assert_sound(connection)


class TestDestroying:
    async def test_of_a_concurrent_destroy_and_restore_exactly_one_succeeds(self, ada, trash, connection):
        for number in range(10):
            task = await make(ada, deleted=True)
            verbs = [trash.destroy(task.id), trash.restore(task.id, quota=QUOTA)][:: -1 if number % 2 else 1]
            results = await asyncio.gather(*verbs, return_exceptions=True)
            assert outcome(results) == (1, 1, 0)
            await assert_sound(connection)

    async def test_of_many_concurrent_destroys_exactly_one_succeeds(self, ada, trash, connection):
        task = await make(ada, deleted=True)
        results = await asyncio.gather(*(trash.destroy(task.id) for _ in range(20)), return_exceptions=True)
        assert outcome(results) == (1, 19, 0)
        assert (await owner(connection))["revision"] == 3
        assert (await owner(connection))["forgotten"] == 2

    async def test_emptying_purging_and_restoring_at_once_count_each_task_once(
        self, pool, ada, trash, connection, monkeypatch
    ):
        monkeypatch.setattr(retention, "BATCH", 10)
        made = [await make(ada, deleted=True) for _ in range(30)]

        async def purge() -> int:
            async with pool.transaction() as session:
                purged = await retention.purge_trash(timedelta(0), session)
                return purged.rows if purged else 0

        emptied = [trash.destroy_all(within=10) for _ in range(4)]
        restored = [trash.restore(task.id, quota=QUOTA) for task in made[::3]]
        results = await asyncio.gather(*restored, purge(), purge(), *emptied, return_exceptions=True)
        assert outcome(results[:10])[2] == 0
        assert all(emptying.done for emptying in results[12:]), results
        assert outcome(results[:10])[0] + sum(results[10:12]) + sum(one.deleted for one in results[12:]) == 30
        await assert_sound(connection)

    async def test_forgotten_is_the_newest_destroyed_version_and_never_decreases(self, ada, trash, connection):
        first, second, third = [await make(ada) for _ in range(3)]
        for task in (second, third, first):
            await ada.delete(task.id, trash_quota=QUOTA)  # the versions 4, 5 and 6
        seen = []
        for task in (third, second, first):
            await trash.destroy(task.id)
            seen.append((await owner(connection))["forgotten"])
        assert seen == [5, 5, 6]
        assert (await owner(connection))["revision"] == 9

    async def test_a_destroy_without_a_task_takes_no_revision(self, ada, trash, connection):
        task = await make(ada)
        before = await owner(connection)
        assert await trash.destroy_all(within=10) == (0, True)
        for verb in (trash.destroy(task.id), trash.destroy(task.id + 1), trash.restore(task.id, quota=QUOTA)):
            with pytest.raises(TaskNotFoundError):
                await verb
        assert await owner(connection) == before


class TestErasing:
    async def test_emptying_the_trash_during_writes_removes_all_earlier_tasks(self, pool, ada, connection):
        made = [await make(ada) for _ in range(20)]
        writes = [
            write
            for task in made
            for write in (ada.toggle(task.id), ada.update(task.id, with_keys({"title": "B"})), make(ada))
        ]
        erasure = User.objects.for_user("ada", using=pool).erase(within=10)
        results = await asyncio.gather(*writes, erasure, return_exceptions=True)
        assert {type(result) for result in results if isinstance(result, BaseException)} <= {TaskNotFoundError}
        left = await connection.fetch("SELECT uid::text FROM tasks WHERE user_id = 'ada'")
        # Compare uids: a creation after the end of the erasure creates the user again, and its ids start from 1.
        assert {row["uid"] for row in left}.isdisjoint(task.uid for task in made)
        if left:
            await assert_sound(connection)

    async def test_emptying_the_trash_waits_for_no_other_user(self, pool, ada, connection):
        await make(ada)
        await make(Task.objects.for_user("bob", using=pool))
        async with connection.transaction():
            await connection.execute("SELECT FROM users WHERE id = 'bob' FOR UPDATE")
            async with asyncio.timeout(20):
                await User.objects.for_user("ada", using=pool).erase(within=10)
        assert await connection.fetch("SELECT id FROM users") == [("bob",)]

    @pytest.mark.one_database(reason="locks")
    async def test_a_restore_that_waits_for_the_owner_during_an_erasure_restores_nothing(
        self, pool, ada, trash, connection
    ):
        for verb in ("restore", "destroy", "purge", "empty"):
            task = await make(ada, deleted=True)
            await connection.execute("BEGIN")
            await connection.execute("SELECT FROM users WHERE id = 'ada' FOR NO KEY UPDATE")
            writes = {
                "restore": partial(trash.restore, task.id, quota=QUOTA),
                "destroy": partial(trash.destroy, task.id),
                "purge": partial(retention.purge_trash, timedelta(0), pool),
                "empty": partial(trash.destroy_all, within=10),
            }
            writing = asyncio.ensure_future(writes[verb]())
            await blocked(connection, 1)
            await connection.fetchval(user_queryset.ERASE, "ada")
            await connection.execute("COMMIT")
            result = (await asyncio.gather(writing, return_exceptions=True))[0]
            nothing = {0, (0, True), ("ada", 0, True)}
            assert isinstance(result, (TaskNotFoundError, TaskQuotaError)) or result in nothing, result
            assert await User.objects.for_user("ada", using=pool).erase(within=10)
            assert await connection.fetch("SELECT id FROM tasks WHERE user_id = 'ada'") == []
