"""GET /api/{user_id}/events: changes of tasks and lists as they happen, beside streams of tasks alone."""

from __future__ import annotations

import contextlib

import pytest

from service.lists.models import List
from service.lists.writes import UserLists
from service.tasks.models import Task
from service.web.text import with_keys
from tests.sync.listening import Event, listen

pytestmark = pytest.mark.usefixtures("all_end")

ITEMS = {"path": "events"}
QUOTA = 10_000


@pytest.fixture
def lists(pool, empty) -> UserLists:
    return List.objects.for_user("alice", using=pool)


async def test_without_a_token_or_with_that_of_another_user_there_is_no_stream(http, bob, statements, refusal):
    refusal(await http.get("/api/alice/events"), 401, "authentication_required")
    with statements() as seen:
        refusal(await bob.get("/api/alice/events?since=nonsense"), 403, "forbidden")
    assert seen == []


async def test_an_invalid_since_is_refused_by_name(alice, refusal):
    refusal(await alice.get("/api/me/events?since=1"), 422, "validation_error", "since")


async def test_head_and_options_of_a_stream_respond_at_once(alice, hub):
    response = await alice.head("/api/me/events")
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert (await alice.options("/api/me/events")).status_code == 204
    assert hub.open == 0


async def test_an_event_has_the_name_and_the_type_of_its_item(alice, lists, hub):
    async with listen(alice, **ITEMS) as listener:
        task = await alice.make()
        assert await listener.task() == ("task", 1, {"type": "task", **task}, False)
        garden = await lists.create({"name": "Garden"})
        event = await listener.task()  # written outside of the routes, so the poll finds it
        assert (event.name, event.id, event.data["type"], event.data["name"]) == ("list", 2, "list", "Garden")
        await lists.delete(garden.id, tasks=None, trash_quota=QUOTA)
        hub.wake("alice")
        tombstone = {"type": "list", "id": 2, "uid": garden.uid, "version": 3, "deleted": True}
        assert await listener.task() == ("list", 3, tombstone, False)
        await alice.delete(f"{alice.path}/1")
        tombstone = {"type": "task", "id": 1, "uid": task["uid"], "version": 4, "deleted": True}
        assert await listener.task() == ("task", 4, tombstone, False)


async def test_a_stream_of_tasks_advances_its_id_past_a_write_of_a_list_without_an_event(alice, lists, hub):
    async with listen(alice) as of_tasks, listen(alice, **ITEMS) as of_items:
        for number in range(1, 4):
            await lists.create({"name": f"List {number}"})
            hub.wake("alice")
            assert (await of_items.task())[:2] == ("list", number)
            assert await of_tasks.next() == Event("", number, None)
        task = await alice.make()
        assert await of_tasks.task() == ("task", 4, task, False)
        assert await of_items.task() == ("task", 4, {"type": "task", **task}, False)
        assert of_tasks.position == of_items.position


@pytest.mark.parametrize("first", ["events", "tasks/events"])
async def test_a_client_may_continue_in_the_other_stream(alice, lists, first):
    await alice.make("Heard")
    async with listen(alice, "since=0", path=first) as listener:
        await listener.task()
        last = listener.position
    await lists.create({"name": "Missed"})
    await alice.make("Missed too")
    second = {"events": "tasks/events", "tasks/events": "events"}[first]
    async with listen(alice, path=second, Last_Event_ID=last) as listener:
        events = [await listener.task() for _ in range(1 + (second == "events"))]
    assert [(event.name, event.id) for event in events] == [("list", 2), ("task", 3)][-len(events) :]


async def test_a_deleted_list_sends_each_of_its_tasks_after_it(alice, lists, hub):
    garden = await lists.create({"name": "Garden"})
    made = [await alice.make(f"Task {number}", list_id=garden.id) for number in range(3)]
    async with listen(alice, **ITEMS) as listener:
        await lists.delete(garden.id, tasks="inbox", trash_quota=QUOTA)
        hub.wake("alice")
        events = [await listener.task() for _ in range(4)]
    assert [(event.name, event.data["id"], event.id) for event in events] == [
        ("list", garden.id, 5), *(("task", task["id"], 6 + number) for number, task in enumerate(made))
    ]  # fmt: skip
    assert [event.data["list_id"] for event in events[1:]] == [None, None, None]


async def test_a_destroyed_list_or_an_erasure_sends_a_reset_to_a_client_that_missed_it(alice, lists):
    garden = await lists.create({"name": "Garden"})
    async with listen(alice, **ITEMS) as listener:
        last = listener.position
    await lists.delete(garden.id, tasks=None, trash_quota=QUOTA)
    await lists.destroy(garden.id)
    newest = (await alice.get("/api/me/changes")).json()["next"]
    async with listen(alice, Last_Event_ID=last, **ITEMS) as listener:
        assert await listener.task() == ("reset", 3, {"next": newest}, False)
        await alice.request("DELETE", "/api/me", json={"confirm": "alice"})
        assert (await listener.task()).name == "reset"
        await alice.make("After")
        while (event := await listener.task()).name == "reset":
            pass
        assert (event.name, event.data["title"]) == ("task", "After")


async def test_the_streams_of_one_kind_share_one_read(alice, statements):
    async with contextlib.AsyncExitStack() as stack:
        of_tasks = [await stack.enter_async_context(listen(alice)) for _ in range(5)]
        of_items = [await stack.enter_async_context(listen(alice, **ITEMS)) for _ in range(5)]
        await alice.make("Before")  # each stream has read once at its start
        assert {(await listener.task()).id for listener in (*of_tasks, *of_items)} == {1}
        with statements() as seen:
            for number in range(2, 12):
                await alice.make(f"Task {number}")
                assert [("type" in (await one.task()).data) for one in of_tasks] == [False] * 5
                assert [(await one.task()).data["type"] for one in of_items] == ["task"] * 5
    reads = [statement for statement, _ in seen if "AS gone" in statement]
    assert len({*reads}) == 2
    assert 20 <= len(reads) <= 60, "a look at the revisions may come in between; each for itself would make 100"


async def test_both_kinds_of_streams_count_towards_the_users_limit(alice, hub, refusal, monkeypatch):
    monkeypatch.setattr(hub, "_per_user", 2)
    async with listen(alice), listen(alice, **ITEMS):
        refusal(await alice.get("/api/me/events"), 429, "too_many_streams")


async def test_a_reconnected_client_gets_more_changes_than_a_page_in_order(pool, alice, lists):
    for number in range(130):  # more than two pages
        await Task.objects.for_user("alice", using=pool).create(with_keys({"title": f"Task {number}"}), quota=QUOTA)
        await lists.create({"name": f"List {number}"})
    async with listen(alice, "since=0", **ITEMS) as listener:
        events = [await listener.task() for _ in range(260)]
    assert [(event.name, event.id) for event in events] == [
        (("task", "list")[number % 2], number + 1) for number in range(260)
    ]
