"""One user's tasks as a queryset: verbs compose, the owner is never lost, and each shape is turned into SQL once."""

from __future__ import annotations

import contextlib
import inspect
import json
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta, timezone
from functools import lru_cache
from itertools import permutations

import pytest
from tortoise.expressions import Q, RawSQL
from tortoise.functions import Count
from tortoise.queryset import AwaitableQuery, QuerySet

from service.database import querysets
from service.database.keyset import Page, Position
from service.database.querysets import SHAPES, OwnedQuerySet, Step, compiled
from service.database.scoping import UnscopedQueryError
from service.tasks.models import Task
from service.tasks.queryset import verbs_of
from service.tasks.selection import TaskQuery
from service.tasks.summary import summarise
from service.tasks.writes import UserTasks
from service.transfer import archive
from service.users.models import User
from service.web.text import with_keys
from tests.ownership import assert_names_one_user
from tests.recording import Recorder, sent

QUOTA = 100
NOW = datetime.now(timezone.utc)


@pytest.fixture
def ada(pool, empty) -> UserTasks:
    return Task.objects.for_user("ada", using=pool)


@pytest.fixture
def recorded(server) -> UserTasks:
    """Ada's tasks over a connection that only records statements."""
    return Task.objects.for_user("ada", using=Recorder())


async def make(tasks: UserTasks, title: str, **values: object) -> int:
    return (await tasks.create(with_keys({"title": title, **values}), quota=QUOTA)).id


async def titles(tasks: UserTasks) -> list[str]:
    """Return the titles of a page of all `tasks`."""
    return [task["title"] for task in json.loads((await tasks.page()).document)]


@pytest.fixture
async def four(ada) -> UserTasks:
    """Four tasks of ada's and one of bob's: three of hers tagged home, one of these completed, one in the trash."""
    await make(Task.objects.for_user("bob", using=ada._connection), "Milk", tags=["home"], priority=3)
    await make(ada, "Milk", tags=["home"], priority=3, due_at=NOW - timedelta(days=1))
    await make(ada, "Bread", tags=["home", "shop"], completed=True, priority=1)
    await make(ada, "Report", due_at=NOW + timedelta(days=1))
    await ada.delete(await make(ada, "Milk", tags=["home"], priority=3), trash_quota=QUOTA)
    return ada


class TestComposing:
    NARROWED = (
        (lambda tasks: tasks.live(), ["Report", "Bread", "Milk"]),
        (lambda tasks: tasks.trashed(), ["Milk"]),
        (lambda tasks: tasks.live().pending(), ["Report", "Milk"]),
        (lambda tasks: tasks.live().completed(), ["Bread"]),
        (lambda tasks: tasks.live().tagged("home"), ["Bread", "Milk"]),
        (lambda tasks: tasks.live().tagged("home", "shop"), ["Bread"]),
        (lambda tasks: tasks.live().with_priority(0, 1), ["Report", "Bread"]),
        (lambda tasks: tasks.live().containing("r"), ["Report", "Bread"]),
        (lambda tasks: tasks.live().containing("%"), []),
        (lambda tasks: tasks.live().due_before(NOW), ["Milk"]),
        (lambda tasks: tasks.live().due_after(NOW), ["Report"]),
        (lambda tasks: tasks.live().overdue(), ["Milk"]),
        (lambda tasks: tasks.live().under(2), []),
        (lambda tasks: tasks.live().sorted_by("title", descending=False), ["Bread", "Milk", "Report"]),
        (lambda tasks: tasks.live().sorted_by("title", descending=True).completed(), ["Bread"]),
        (lambda tasks: tasks.live().filter(title__in=["Milk", "Report"]).pending().tagged("home"), ["Milk"]),
        (lambda tasks: tasks.exclude(title="Bread").live(), ["Report", "Milk"]),
        (lambda tasks: tasks.live().filter(Q(title="Bread") | Q(priority=3)), ["Bread", "Milk"]),
        (lambda tasks: tasks.matching(TaskQuery(text="milk", overdue=True, priorities=(3,))), ["Milk"]),
    )

    async def test_each_verb_narrows_and_they_can_be_chained_with_those_of_tortoise(self, four, subtests):
        for number, (narrow, found) in enumerate(self.NARROWED):
            with subtests.test(number=number, found=found):
                assert await titles(narrow(four)) == found
                plain = [task.title for task in await narrow(four)]
                assert sorted(plain) == sorted(found), "Tortoise itself finds the same"
                assert await narrow(four).count() == len(found)

    async def test_the_order_of_the_verbs_does_not_matter(self, four):
        verbs = [
            lambda tasks: tasks.live(),
            lambda tasks: tasks.tagged("home"),
            lambda tasks: tasks.pending(),
            lambda tasks: tasks.filter(priority=3),
        ]
        for order in permutations(verbs):
            tasks = four
            for narrow in order:
                tasks = narrow(tasks)
            assert await titles(tasks) == ["Milk"]

    async def test_kept_verbs_select_the_same_tasks_as_the_query_and_only_those_of_the_owner(self, four):
        query = TaskQuery(text="r", completed=True, sort="title", descending=False)
        kept = verbs_of(query)
        assert await titles(four.with_verbs(kept)) == await titles(four.matching(query)) == ["Bread"]
        assert await titles(four.pending().with_verbs(kept)) == []
        bob = Task.objects.for_user("bob", using=four._connection)
        assert await titles(bob.with_verbs(kept)) == []
        assert await titles(bob.with_verbs(verbs_of(TaskQuery()))) == ["Milk"]

    async def test_verbs_cannot_be_kept_or_added_after_a_method_of_tortoise(self, four):
        with pytest.raises(TypeError, match="method of Tortoise"):
            _ = four.filter(title="Milk").verbs
        with pytest.raises(TypeError, match="method of Tortoise"):
            four.filter(title="Milk").with_verbs(verbs_of(TaskQuery()))

    async def test_a_verb_leaves_the_queryset_that_it_was_called_on_as_it_was(self, four):
        live = four.live()
        assert await titles(live.completed()) == ["Bread"]
        assert await titles(live.filter(title="Milk")) == ["Milk"]
        assert await titles(live.pending()) == ["Report", "Milk"]
        assert await live.count() == 3

    async def test_pages_cover_the_list_once_with_a_shape_and_without(self, four, subtests):
        for sort in ("created", "updated", "title", "due_date", "priority"):
            with_a_shape = four.live().sorted_by(sort, descending=True)
            for tasks in (with_a_shape, with_a_shape.filter(title__gt="")):
                with subtests.test(sort=sort, with_a_shape=tasks is with_a_shape):
                    whole, after, seen = await titles(tasks), None, []
                    for _ in range(3):
                        page: Page = await tasks.page(1, after, count=True)
                        assert page.total == 3
                        seen += [task["title"] for task in json.loads(page.document)]
                        after = page.next
                    assert (seen, after) == (whole, None)

    @pytest.mark.parametrize(
        "plan", ["enable_seqscan = off", "enable_indexscan = off; SET LOCAL enable_bitmapscan = off"]
    )
    async def test_a_page_of_the_trash_ends_with_its_last_task_whatever_the_plan(self, ada, recorded, connection, plan):
        made = [await make(ada, title) for title in ("a", "b", "c", "d")]
        await ada.delete_many(completed=None, trash_quota=QUOTA)  # all at the same time
        text, arguments = sent(lambda _: recorded.trashed().page(3))
        async with connection.transaction():
            await connection.execute(f"SET LOCAL {plan}")
            row = await connection.fetchrow(text, *arguments)
        assert (row["id"], row["more"]) == (made[1], True)
        assert [task["id"] for task in json.loads(row["document"])] == made[:0:-1]

    async def test_a_list_is_newest_first_unless_it_is_sorted(self, recorded):
        text, _ = sent(lambda _: recorded.live().page(3))
        assert 'ORDER BY "key" DESC LIMIT $2' in text

    async def test_a_queryset_can_be_awaited_and_iterated_in_a_transaction_and_sees_its_writes(self, ada, pool):
        with contextlib.suppress(ZeroDivisionError):
            async with pool.transaction() as session:
                within = Task.objects.for_user("ada", using=session)
                await make(within, "Milk")
                for tasks in (within.live(), within.filter(title="Milk")):
                    assert [task.title async for task in tasks] == ["Milk"]
                    assert await titles(tasks) == ["Milk"]
                assert await ada.live().count() == 0, "nobody else sees it yet"
                raise ZeroDivisionError
        assert await ada.live().exists() is False


def everything_tortoise_offers(tasks: UserTasks) -> dict[str, Callable[[], object]]:
    """Return each public method of Tortoise's querysets, called so that its result can be turned into SQL."""
    arguments = {
        "annotate": {"user_id": RawSQL("'bob'")}, "group_by": ["title"], "in_bulk": [[1], "id"],
        "contains": [Task(id=1)],
        "earliest": ["id"], "latest": ["id"], "limit": [1], "offset": [1], "only": ["title"], "order_by": ["title"],
        "prefetch_related": ["user"], "raw": ["SELECT 1"], "select_related": ["user"], "union": [tasks],
        "bulk_create": [[]], "bulk_update": [[], ["title"]], "using_db": [None], "resolve_ordering": None,
        "force_index": ["x"], "use_index": ["x"], "filter": {"title": "Milk"}, "exclude": {"user_id": "ada"},
        "get": {"title": "Milk"}, "get_or_none": {"title": "Milk"}, "explain": None, "sql": None,
        "resolve_filters": None,
    }  # fmt: skip
    calls: dict[str, Callable[[], object]] = {}
    for name, _ in inspect.getmembers(QuerySet, inspect.isfunction):
        given = arguments.get(name, [])
        if name.startswith("_") or given is None:
            continue
        method = getattr(tasks, name)
        calls[name] = lambda method=method, given=given: method(**given) if isinstance(given, dict) else method(*given)
    return calls


class TestTheOwner:
    CLOSED = frozenset({"raw", "union", "bulk_create", "bulk_update"})
    WRITES = frozenset({"update", "delete"})  # our own methods, each a database function

    def test_every_method_of_tortoise_keeps_the_owner_or_refuses(self, pool):
        tasks = Task.objects.for_user("ada", using=pool)
        seen = set()
        for name, call in everything_tortoise_offers(tasks).items():
            if name in self.WRITES:
                continue
            if name in self.CLOSED:
                with pytest.raises(UnscopedQueryError):
                    call()
                continue
            made = call()
            if inspect.iscoroutine(made):  # done by in_bulk, which is `filter` and `await`
                made.close()
                continue
            assert isinstance(made, AwaitableQuery), name
            assert_owned(made)
            seen.add(name)
        assert {"filter", "exclude", "annotate", "values", "count", "exists", "only", "first", "using_db"} <= seen

    @pytest.mark.parametrize(
        "narrow",
        [
            lambda tasks: tasks.filter(Q(user_id="bob") | Q(title="Milk")),
            lambda tasks: tasks.filter(Q(user_id="bob", title="Milk", join_type=Q.OR)),
            lambda tasks: tasks.filter(~Q(user_id="ada")),
            lambda tasks: tasks.exclude(user_id="ada"),
            lambda tasks: tasks.annotate(user_id=RawSQL("'ada'")),
            lambda tasks: tasks.annotate(user_id=RawSQL("'ada'")).filter(user_id="ada"),
            lambda tasks: tasks.annotate(number=Count("id")).filter(Q(number__gt=0) | Q(title="Milk")),
            lambda tasks: tasks.annotate(number=Count("id")).group_by("title").values("title", "number"),
            lambda tasks: tasks.only("title"),
            lambda tasks: tasks.values_list("title", flat=True),
            lambda tasks: tasks[1:3],
            lambda tasks: tasks.live().filter(title="Milk").trashed(),
            lambda tasks: tasks.all().first(),
            lambda tasks: tasks.select_related("user").filter(user__email="bob@example.com"),
            lambda tasks: tasks.filter(title="*").count(),
            lambda tasks: tasks.select_for_update(),
        ],
    )
    def test_no_condition_and_no_selection_takes_it_away(self, pool, narrow):
        assert_owned(narrow(Task.objects.for_user("ada", using=pool)))

    async def test_an_annotation_of_the_owners_name_does_not_open_the_rows_of_others(self, four):
        assert {task.title for task in await four.annotate(user_id=RawSQL("'ada'")).live()} == {
            "Report",
            "Bread",
            "Milk",
        }
        user = User.objects.for_user("ada", using=four._connection).annotate(id=RawSQL("'ada'"))
        assert len(await user) == 1

    def test_a_user_is_one_row_too(self, pool):
        user = User.objects.for_user("ada", using=pool)
        for made in (user.filter(email="a"), user.annotate(id=RawSQL("'ada'")), user.count(), user.values("erased")):
            assert '"users"."id"=$1' in made.sql() or '"id"=$1' in made.sql()
        for name in ("raw", "union", "bulk_create", "bulk_update", "update", "delete"):
            with pytest.raises(UnscopedQueryError):
                getattr(user, name)()

    @pytest.mark.parametrize(
        "read",
        [
            lambda tasks: tasks.find(1),
            lambda tasks: tasks.page(),
            lambda tasks: tasks.page(3, count=True),
            lambda tasks: tasks.tagged("a").filter(title="ada").page(3, Position("1", 1), count=True),
            lambda tasks: tasks.filter(title="ada").sorted_by("title", descending=True).page(3, Position("a", 1)),
            lambda tasks: tasks.filter(title="*").trashed().page(3, Position("2026-12-24 00:00:00+00", 1), count=True),
            lambda tasks: summarise(tasks.filter(title="x"), NOW.date(), NOW, NOW),
            lambda tasks: anext(archive.pages(tasks.filter(title="x"))),
            lambda tasks: anext(archive.pages_with_names(tasks.filter(title="x"))),
        ],
    )
    def test_every_read_names_it_also_without_a_shape(self, recorded, read):
        assert_names_one_user(*sent(lambda _: read(recorded)))

    async def test_a_write_takes_no_verb_before_it(self, four, statements):
        writes: list[Callable[[UserTasks], Awaitable[object]]] = [
            lambda tasks: tasks.create(with_keys({"title": "A"}), quota=QUOTA),
            lambda tasks: tasks.update(1, with_keys({"title": "A"})),
            lambda tasks: tasks.toggle(1),
            lambda tasks: tasks.delete(1, trash_quota=QUOTA),
            lambda tasks: tasks.delete_many(completed=None, trash_quota=QUOTA),
            lambda tasks: tasks.restore(1, quota=QUOTA),
            lambda tasks: tasks.destroy_all(within=1),
        ]
        with statements() as seen:
            for write in writes:
                for narrowed in (four.pending(), four.filter(title="A")):
                    with pytest.raises(TypeError, match="without a verb"):
                        await write(narrowed)
        assert seen == []


def assert_owned(made: AwaitableQuery) -> None:
    """Check that the owner is in the SQL, at the top of the WHERE and at every join."""
    text = made.sql()
    condition = text.partition(" WHERE ")[2].partition(" GROUP BY ")[0]
    assert condition.startswith(('"user_id"=$', '"tasks"."user_id"=$')), text
    assert " OR " not in condition.split(" AND ")[0], text


class TestShapes:
    def test_many_values_make_one_text(self, recorded):
        compiled.cache_clear()
        texts = set()
        for number in range(50):
            tasks = recorded.live().tagged(f"tag {number}").containing(f"text {number}")
            texts.add(sent(lambda _, tasks=tasks, number=number: tasks.page(number + 1))[0])
        assert len(texts) == 1
        assert compiled.cache_info().misses == 1

    def test_two_users_share_a_text_and_no_value(self, server):
        texts = []
        for user_id in ("ada", "bob"):
            tasks = Task.objects.for_user(user_id, using=Recorder())
            text, arguments = sent(lambda _, tasks=tasks: tasks.live().containing(f"of {tasks.user_id}").page(3))
            assert arguments == (user_id, f"of {user_id}", 3)
            texts.append(text)
        assert texts[0] is texts[1]

    def test_no_more_shapes_are_kept_than_allowed(self, recorded, monkeypatch):
        few = lru_cache(maxsize=3)(compiled.__wrapped__)
        monkeypatch.setattr(querysets, "compiled", few)
        tasks = recorded
        for _ in range(10):
            tasks = tasks.pending()
            sent(lambda _, tasks=tasks: tasks.find(1))
        assert few.cache_info()[1:] == (10, 3, 3)
        assert compiled.cache_info().maxsize == SHAPES

    def test_no_value_is_part_of_an_sql_text(self, recorded):
        marked = recorded.live().tagged("<<").containing("<<").due_before(NOW).with_priority(77).under(7777)
        marked = marked.sorted_by("title", descending=True)
        text, arguments = sent(lambda _: marked.page(77, Position("<<", 7777)))
        assert not any(value in text for value in ("<<", "77", NOW.isoformat()))
        assert arguments == ("ada", ["<<"], "<<", NOW.isoformat(), [77], 7777, 77, "<<", 7777)

    def test_a_verb_with_a_string_of_its_own_is_refused(self, recorded):
        step = Step(lambda tasks: tasks.filter(title="of one user"))
        with pytest.raises(TypeError, match="must take strings as values"):
            recorded.then(step).statement(lambda tasks, sql: sql(tasks.count()))

    def test_recording_builds_nothing_of_tortoises(self, recorded):
        tasks = recorded.live().tagged("home").sorted_by("title", descending=True)
        sent(lambda _: tasks.page(3))
        with pytest.raises(AttributeError):
            object.__getattribute__(tasks, "_q_objects")
        assert tasks.filter(title="A")._q_objects, "it is built when it is used"

    def test_a_name_that_tortoise_does_not_have_is_an_attribute_error(self, recorded):
        with pytest.raises(AttributeError):
            _ = recorded.taggged

    def test_the_tasks_of_a_user_are_a_queryset_of_tortoise(self, recorded):
        assert isinstance(recorded, QuerySet)
        assert isinstance(recorded.live(), OwnedQuerySet)
        assert type(recorded.live().filter(title="A").pending()) is UserTasks
