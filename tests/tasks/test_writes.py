"""One user's tasks under many concurrent writers: revisions, clocks, counts, the user's row, and CHECKs."""

from __future__ import annotations

import asyncio
import re
from datetime import date, datetime, timedelta, timezone
from itertools import pairwise

import asyncpg
import msgspec
import pytest

from service.database.functions import DOCUMENT, TRASHED_DOCUMENT
from service.database.operations import Operation, Quotas
from service.database.uids import new_uid
from service.errors import BatchFailedError, TaskNotFoundError, TaskQuotaError
from service.operations import retention
from service.tasks.models import Task
from service.tasks.writes import StoredItem, UserTasks
from service.transfer.writes import Sent, UserImport
from service.users.models import User
from service.web.text import with_keys

QUOTA = 10_000
OTHER = {"id": 100, "version": 100, "uid": "019aceef-9a40-7aa0-9d52-0c4b7e1f3a86"}  # than TASK
USER = {"id": "eve", "created_at": "now()", "revision": 0, "written_at": "now()", "task_count": 0}
TASK = {
    "user_id": "ada", "id": 99, "uid": "019aceef-9a40-7c1e-8f3a-5b1d6c2e9f04", "title": "A", "title_key": "a",
    "completed": False, "priority": 0, "tags": "{}", "tag_keys": "{}", "version": 99,
    "created_at": "now()", "updated_at": "now()",
}  # fmt: skip


@pytest.fixture
def ada(pool, empty) -> UserTasks:
    return Task.objects.for_user("ada", using=pool)


def read(stored: StoredItem) -> dict:
    return msgspec.json.decode(stored.document)


async def make(tasks: UserTasks, title: str = "A task", **values: object) -> StoredItem:
    return await tasks.create(with_keys({"title": title, **values}), quota=QUOTA)


async def owner(connection, user_id: str = "ada") -> asyncpg.Record:
    return await connection.fetchrow("SELECT * FROM users WHERE id = $1", user_id)


async def stored(connection, user_id: str = "ada") -> list[asyncpg.Record]:
    """Return the user's tasks in the order of their versions, including the trash."""
    return await connection.fetch("SELECT * FROM tasks WHERE user_id = $1 ORDER BY version", user_id)


async def assert_sound(connection, user_id: str = "ada") -> None:
    """Check the invariants that hold after any number of writes in any order."""
    user, tasks = await owner(connection, user_id), await stored(connection, user_id)
    versions = [task["version"] for task in tasks]
    assert len(set(versions)) == len(versions)
    assert versions[-1] == user["revision"]
    assert max(task["updated_at"] for task in tasks) == user["written_at"]
    assert all(before["updated_at"] <= after["updated_at"] for before, after in pairwise(tasks))
    assert user["task_count"] == sum(task["deleted_at"] is None for task in tasks)


class TestRevisions:
    async def test_concurrent_toggles_each_flip_once_and_take_one_version(self, ada, connection):
        task = await make(ada)
        flipped = await asyncio.gather(*(ada.toggle(task.id) for _ in range(40)))
        assert sorted((flip.version, read(flip)["completed"]) for flip in flipped) == [
            (version, version % 2 == 0) for version in range(2, 42)
        ]
        assert (await owner(connection))["revision"] == 41
        await assert_sound(connection)

    async def test_concurrent_toggles_of_many_tasks_are_each_done_once(self, ada, connection):
        made = await asyncio.gather(*(make(ada, f"Task {number}") for number in range(8)))
        flipped = await asyncio.gather(*(ada.toggle(task.id) for task in made * 5))
        assert sorted(flip.version for flip in flipped) == list(range(9, 49))
        assert all(task["completed"] for task in await stored(connection))
        await assert_sound(connection)

    async def test_concurrent_creations_take_versions_in_the_order_of_their_ids(self, ada, connection):
        made = await asyncio.gather(*(make(ada, f"Task {number}") for number in range(30)))
        assert [task.version for task in sorted(made)] == list(range(1, 31))
        tasks = await stored(connection)
        assert all(before["id"] < after["id"] for before, after in pairwise(tasks))
        assert all(before["created_at"] < after["created_at"] for before, after in pairwise(tasks))
        await assert_sound(connection)

    async def test_concurrent_writes_of_every_kind_leave_consistent_rows(self, ada, connection):
        made = await asyncio.gather(*(make(ada, f"Task {number}", completed=number % 2 == 0) for number in range(20)))
        writes = [
            write
            for number, task in enumerate(made)
            for write in (
                ada.toggle(task.id),
                ada.update(task.id, with_keys({"title": f"Title {number}", "completed": True})),
                ada.update(task.id, with_keys({"tags": ["x"], "completed": False})),
                make(ada),
                *([ada.delete(task.id, trash_quota=QUOTA)] if number % 3 == 0 else []),
                *([ada.delete_many(completed=True, trash_quota=QUOTA)] if number == 10 else []),
            )
        ]
        results = await asyncio.gather(*writes, return_exceptions=True)
        failures = [result for result in results if isinstance(result, BaseException)]
        assert all(isinstance(failure, TaskNotFoundError) for failure in failures), failures
        await assert_sound(connection)

    async def test_two_users_do_not_wait_for_each_other_and_share_no_counter(self, pool, ada, connection):
        bob = Task.objects.for_user("bob", using=pool)
        made = await asyncio.gather(*(make(tasks) for _ in range(10) for tasks in (ada, bob)))
        assert sorted(task.version for task in made) == [version for version in range(1, 11) for _ in range(2)]
        async with connection.transaction():
            await connection.execute("SELECT FROM users WHERE id = 'bob' FOR UPDATE")
            async with asyncio.timeout(20):
                assert (await make(ada)).version == 11

    async def test_a_write_that_changes_nothing_takes_no_revision_and_no_time(self, ada, connection):
        task = await make(ada, tags=["a"], completed=True)
        before = await owner(connection)
        for changes in (
            {},
            with_keys({"title": "A task"}),
            {"tags": ["a"], "tag_keys": ["a"]},
            {"completed": True},
            {"due_at": None, "due_date": None},
        ):
            assert await ada.update(task.id, changes) == task
        assert await ada.delete_many(completed=False, trash_quota=QUOTA) == 0
        with pytest.raises(TaskNotFoundError):
            await ada.toggle(task.id + 1)
        with pytest.raises(TaskNotFoundError):
            await ada.delete(task.id + 1, trash_quota=QUOTA)
        assert await owner(connection) == before

    async def test_written_at_increases_with_each_revision_even_if_the_clock_is_behind(self, ada, connection):
        task = await make(ada)
        await connection.execute("UPDATE users SET written_at = '2999-12-31T23:59:59Z' WHERE id = 'ada'")
        seen = [(await owner(connection))["written_at"]]
        for _ in range(3):
            await ada.toggle(task.id)
            seen.append((await owner(connection))["written_at"])
        assert [(after - before).microseconds for before, after in pairwise(seen)] == [1, 1, 1]
        assert (await stored(connection))[0]["updated_at"] == seen[-1]


class TestDeleting:
    async def test_of_many_concurrent_deletions_exactly_one_succeeds_and_the_count_stays_exact(self, ada, connection):
        task, _ = await make(ada), await make(ada, "Kept")
        results = await asyncio.gather(
            *(ada.delete(task.id, trash_quota=QUOTA) for _ in range(20)), return_exceptions=True
        )
        assert results.count(None) == 1
        assert sum(isinstance(result, TaskNotFoundError) for result in results) == 19
        assert (await owner(connection))["task_count"] == 1
        assert (await owner(connection))["revision"] == 3
        await assert_sound(connection)

    async def test_concurrent_mass_deletions_delete_each_task_once(self, ada, connection):
        await asyncio.gather(*(make(ada) for _ in range(25)))
        deleted = await asyncio.gather(*(ada.delete_many(completed=None, trash_quota=QUOTA) for _ in range(8)))
        assert sum(deleted) == 25
        assert (await owner(connection))["task_count"] == 0
        assert (await owner(connection))["revision"] == 50
        await assert_sound(connection)

    async def test_a_mass_deletion_gives_each_task_its_own_version_in_the_order_of_ids(self, ada, connection):
        made = [await make(ada, completed=number % 2 == 0) for number in range(6)]
        assert await ada.delete_many(completed=True, trash_quota=QUOTA) == 3
        gone = [task for task in await stored(connection) if task["deleted_at"]]
        assert [(task["id"], task["version"]) for task in gone] == [(made[0].id, 7), (made[2].id, 8), (made[4].id, 9)]
        assert (await owner(connection))["revision"] == 9

    async def test_a_deleted_task_can_be_neither_found_nor_written(self, ada):
        task = await make(ada)
        await ada.delete(task.id, trash_quota=QUOTA)
        for verb in (
            ada.find(task.id),
            ada.toggle(task.id),
            ada.update(task.id, with_keys({"title": "B"})),
            ada.delete(task.id, trash_quota=QUOTA),
        ):
            with pytest.raises(TaskNotFoundError):
                await verb


class TestQuota:
    async def test_fifty_concurrent_creations_never_exceed_the_quota(self, ada, connection):
        results = await asyncio.gather(
            *(ada.create(with_keys({"title": "A"}), quota=10) for _ in range(50)), return_exceptions=True
        )  # fmt: skip
        assert sum(isinstance(result, StoredItem) for result in results) == 10
        assert sum(isinstance(result, TaskQuotaError) for result in results) == 40
        assert len(await stored(connection)) == 10
        assert (await owner(connection))["revision"] == 10
        await assert_sound(connection)

    async def test_a_deletion_makes_room_in_the_quota(self, ada):
        tasks = [await ada.create(with_keys({"title": "A"}), quota=2) for _ in range(2)]
        with pytest.raises(TaskQuotaError, match="2 tasks"):
            await ada.create(with_keys({"title": "A"}), quota=2)
        await ada.delete(tasks[0].id, trash_quota=QUOTA)
        await ada.create(with_keys({"title": "A"}), quota=2)
        with pytest.raises(TaskQuotaError):
            await ada.create(with_keys({"title": "A"}), quota=2)


class TestTheUsersRow:
    async def test_a_read_creates_no_row_of_the_user(self, ada, connection, caller):
        client = caller("ada", email="ada@example.com", name="Ada")
        for path in (client.path, f"{client.path}/1", f"{client.path}/summary"):
            await client.get(path)
        await client.patch(f"{client.path}/1", json={"title": "B"})
        await client.delete(f"{client.path}/1")
        assert await connection.fetchval("SELECT count(*) FROM users") == 0

    async def test_the_first_write_creates_the_users_row_from_the_claims_and_each_write_refreshes_it(
        self, connection, caller
    ):
        first = caller("ada", email="ada@example.com", name="Ada")
        task = await first.make()
        made = await owner(connection)
        assert (made["email"], made["name"]) == ("ada@example.com", "Ada")
        assert made["created_at"] == made["written_at"]
        renamed = caller("ada", email="countess@example.com", name="Ada L.")
        await renamed.get(renamed.path)
        assert await owner(connection) == made
        await renamed.patch(f"{renamed.path}/{task['id']}", json={"title": "B"})
        after = await owner(connection)
        assert (after["email"], after["name"]) == ("countess@example.com", "Ada L.")
        assert after["created_at"] == made["created_at"]
        assert after["written_at"] > made["written_at"]

    async def test_a_token_without_claims_keeps_name_and_email(self, connection, caller):
        await caller("ada", email="ada@example.com", name="Ada").make()
        await caller("ada").make()
        assert (await owner(connection))["email"] == "ada@example.com"
        assert (await owner(connection))["name"] == "Ada"

    async def test_a_claim_that_cannot_be_stored_is_ignored(self, connection, caller, subtests):
        for value in [5, [], "", "x" * 400, "a\0b", "\ud800"]:
            with subtests.test(value=value):
                await connection.execute("DELETE FROM users")
                await caller("ada", email=value, name=value).make()
                assert (await owner(connection))["email"] is None
                assert (await owner(connection))["name"] is None

    async def test_concurrent_first_writes_create_one_row_of_the_user(self, ada, connection):
        await asyncio.gather(*(make(ada) for _ in range(20)))
        assert await connection.fetchval("SELECT count(*) FROM users") == 1
        assert (await owner(connection))["task_count"] == 20


class TestTheSchema:
    """Constraints that must hold even if one of our statements is wrong."""

    @staticmethod
    async def insert(connection, table: str, values: dict) -> None:
        literals = ["NULL" if value is None else f"'{value}'" for value in values.values()]
        await connection.execute(f"INSERT INTO {table} ({', '.join(values)}) VALUES ({', '.join(literals)})")

    @pytest.mark.parametrize(
        ("wrong", "error"),
        [
            ({"title": "t" * 201}, asyncpg.StringDataRightTruncationError),
            ({"description": "d" * 1001}, asyncpg.StringDataRightTruncationError),
            ({"due_date": "2026-12-24", "due_at": "now()"}, asyncpg.CheckViolationError),
        ],
        ids=str,
    )
    async def test_a_task_that_breaks_a_rule_of_the_schema_cannot_be_stored(self, ada, connection, wrong, error):
        await make(ada)
        await self.insert(connection, "tasks", TASK)
        with pytest.raises(error):
            await self.insert(connection, "tasks", {**TASK, **OTHER, **wrong})

    @pytest.mark.one_database(reason="a mutable function in RETURNING")
    async def test_the_document_agrees_with_the_columns_whether_stored_or_built(self, ada, connection):
        await make(ada)
        moment = datetime(2026, 12, 24, 17, 0, 0, 50, tzinfo=timezone.utc)
        values = {
            "id": 77, "uid": "019aceef-9a40-7c1e-8f3a-5b1d6c2e9f04", "user_id": "ada",
            "title": 'Q"uote, \\ and\nline\u2028', "description": "</b> ü 😀\t", "completed": True,
            "completed_at": moment, "priority": 3, "tags": ['a"b', "ü", "{x,y}"], "due_date": date(2026, 12, 31),
            "due_at": None, "list_id": 5, "parent_id": 6, "position": "a0", "created_at": moment,
            "updated_at": moment, "version": 77,
        }  # fmt: skip
        keys = with_keys({name: values[name] for name in ("title", "description", "tags")})
        columns = values | keys
        places = ", ".join(f"${number}" for number in range(1, len(columns) + 1))
        await connection.execute(
            f"INSERT INTO tasks ({', '.join(columns)}) VALUES ({places})", *columns.values()
        )  # fmt: skip
        at = "2026-12-24T17:00:00.000050Z"
        written = {
            **values, "completed_at": at, "priority": "high", "due_date": "2026-12-31", "created_at": at,
            "updated_at": at,
            **dict.fromkeys(("repeat", "series", "occurrence", "next_due")),
        }  # fmt: skip
        async with connection.transaction():
            await connection.execute("SET LOCAL TimeZone = 'Asia/Kolkata'; SET LOCAL DateStyle = 'German, DMY'")
            built = await connection.fetchval(f"SELECT {DOCUMENT} FROM tasks WHERE id = 77")
            kept = await connection.fetchval("SELECT task_document(tasks) FROM tasks WHERE id = 77")
            trashed = await connection.fetchval(
                f"UPDATE tasks SET deleted_at = created_at WHERE id = 77 RETURNING {TRASHED_DOCUMENT}"
            )
        assert list(msgspec.json.decode(built).items()) == list(written.items())
        assert kept == built
        assert list(msgspec.json.decode(trashed).items()) == [*written.items(), ("deleted_at", at)]

    @pytest.mark.one_database(reason="another error")
    async def test_a_task_without_a_required_column_cannot_be_stored(self, ada, connection, subtests):
        await make(ada)
        for missing in (
            "user_id", "id", "uid", "title", "title_key", "completed", "priority", "tags", "tag_keys", "version",
            "created_at", "updated_at",
        ):  # fmt: skip
            with subtests.test(missing=missing), pytest.raises(asyncpg.NotNullViolationError):
                await self.insert(connection, "tasks", {**TASK, missing: None})

    @pytest.mark.parametrize("wrong", [{"email": "x" * 321}, {"name": "x" * 256}])
    async def test_a_user_who_breaks_a_rule_of_the_schema_cannot_be_stored(self, empty, connection, wrong):
        await self.insert(connection, "users", USER)
        with pytest.raises(asyncpg.StringDataRightTruncationError):
            await self.insert(connection, "users", {**USER, "id": "eva", **wrong})

    async def test_ids_and_uids_are_unique(self, ada, connection):
        task = await make(ada)
        for taken in ({"id": task.id}, {"uid": task.uid}):
            with pytest.raises(asyncpg.UniqueViolationError):
                await self.insert(connection, "tasks", {**TASK, **taken})

    async def test_two_users_may_have_tasks_with_the_same_id_and_another_uid(self, pool, ada):
        mine, theirs = await make(ada), await make(Task.objects.for_user("bob", using=pool))
        assert mine.id == theirs.id == mine.version == theirs.version == 1
        assert mine.uid != theirs.uid
        assert all(re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", uid)
                   for uid in (mine.uid, theirs.uid))  # fmt: skip

    @pytest.mark.one_database(reason="pages")
    async def test_an_update_stays_on_its_page_and_touches_no_index(self, ada, connection):
        await connection.execute("VACUUM tasks")  # deleted rows of other tests may fill the page
        task = await make(ada)
        place = "SELECT n_tup_hot_upd, n_tup_upd FROM pg_stat_xact_user_tables WHERE relname = 'tasks'"
        async with connection.transaction():
            before = await connection.fetchrow(place)
            for _ in range(3):
                await connection.fetch("SELECT complete_task('ada', NULL, NULL, $1, NULL, NULL, NULL)", task.id)
            after = await connection.fetchrow(place)
        assert [after[name] - before[name] for name in ("n_tup_hot_upd", "n_tup_upd")] == [3, 3]

    async def test_a_task_needs_its_owner_and_is_removed_with_the_owner(self, ada, connection):
        with pytest.raises(asyncpg.ForeignKeyViolationError):
            await self.insert(connection, "tasks", {**TASK, "user_id": "nobody"})
        await make(ada)
        await connection.execute("DELETE FROM users WHERE id = 'ada'")
        assert await stored(connection) == []


async def test_no_mix_of_writers_deadlocks(pool, ada, connection):
    """Run single writes, batches, imports, the trash, the purge and erasures concurrently, of two users."""
    quotas = Quotas(QUOTA, QUOTA)

    def line() -> Sent:
        tasks = msgspec.json.encode([{"uid": new_uid(), **with_keys({"title": "A"})}])
        return Sent(bytearray(b"[]"), bytearray(tasks), [None], [None])

    for _ in range(3):
        made = [await make(ada, f"Task {number}") for number in range(12)]
        batches = [
            [Operation("update", task.id, with_keys({"title": "B"})) for task in order]
            + [Operation("delete", order[0].id)]
            for order in (made, made[::-1])
        ]
        results = await asyncio.gather(
            *(ada.toggle(task.id) for task in made),
            *(ada.update(task.id, with_keys({"title": "C"})) for task in made[::-1]),
            *(ada.perform(batch, atomic=atomic, quotas=quotas) for batch in batches for atomic in (True, False)),
            *(UserImport("ada", pool).add_all(line(), quotas=quotas, skip_known=skip) for skip in (True, False)),
            *(ada.delete(task.id, trash_quota=QUOTA) for task in made[:4]),
            ada.delete_many(completed=True, trash_quota=QUOTA),
            *(ada.restore(task.id, quota=QUOTA) for task in made[:4]),
            ada.destroy_all(within=5),
            retention.purge_trash(timedelta(0), pool),
            *(User.objects.for_user("ada", using=pool).erase(within=5) for _ in range(2)),
            *(make(Task.objects.for_user("bob", using=pool)) for _ in range(5)),
            return_exceptions=True,
        )
        faults = [one for one in results if isinstance(one, BaseException)]
        assert {type(one) for one in faults} <= {TaskNotFoundError, BatchFailedError}, faults
        if await owner(connection):
            counts = await connection.fetchrow(
                "SELECT count(*) FROM tasks WHERE user_id = 'ada' AND deleted_at IS NULL"
            )
            assert (await owner(connection))["task_count"] == counts[0]
