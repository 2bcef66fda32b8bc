"""GET /api/{user_id}/tasks/events: changes as they happen, over real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from urllib.parse import quote, urlsplit

import pytest

from service.sync import changes, stream
from service.sync import hub as hub_module
from service.tasks.models import Task
from service.web.text import with_keys
from tests.sync.listening import Event, listen

pytestmark = pytest.mark.usefixtures("all_end")


@pytest.fixture
def endings(caplog, monkeypatch):
    """Return a function that lists the log records of ended streams."""
    caplog.set_level("INFO", logger="doable.requests")
    return lambda: [record.fields for record in caplog.records if "ended" in getattr(record, "fields", {})]


async def test_without_a_token_there_is_no_stream(http, refusal):
    refusal(await http.get("/api/alice/tasks/events"), 401, "authentication_required")


async def test_another_user_is_refused_before_the_position_is_checked(bob, refusal, statements):
    with statements() as seen:
        refusal(await bob.get("/api/alice/tasks/events?since=nonsense"), 403, "forbidden")
    assert seen == []


async def test_an_invalid_since_is_refused_by_name(alice, refusal, subtests):
    for value in ["x", "-1", "1", "7", "00", "64a1b2c3d4e5f-", f"64a1b2c3d4e5f-{2**63}", "64A1-1"]:
        with subtests.test(value=value):
            refusal(await alice.get(f"{alice.path}/events?since={value}"), 422, "validation_error", "since")
            refusal(await alice.get(f"{alice.path}/events?limit=1"), 422, "validation_error", "limit")


@pytest.mark.parametrize("written", [0, 2])
async def test_an_invalid_last_event_id_starts_with_a_reset(alice, written, subtests):
    """An EventSource does not reconnect after an error, so 422 would end it permanently."""
    for number in range(written):
        await alice.make(f"Task {number}")
    newest = (await alice.get(f"{alice.path}/changes")).json()["next"]
    for value in ["x", "-1", "1", "64a1b2c3d4e5f-", f"64a1b2c3d4e5f-{2**63}", "<script>", "\u00e9"]:
        by_query, by_header = {"query": f"lastEventId={quote(value)}"}, {"Last_Event_ID": value.encode()}
        for sent in (by_query, by_header):
            with subtests.test(**sent):
                async with listen(alice, **sent) as listener:
                    assert await listener.task() == ("reset", written, {"next": newest}, False)


@pytest.mark.parametrize("written", [0, 2])
@pytest.mark.parametrize("sent", [{"query": "lastEventId=x"}, {"Last_Event_ID": "x"}], ids=["query", "header"])
async def test_after_an_invalid_last_event_id_a_stream_continues_from_its_reset(alice, sent, written):
    for number in range(written):
        await alice.make(f"Task {number}")
    async with listen(alice, **sent) as listener:
        assert (await listener.task()).name == "reset"
        await alice.make("After it")
        assert (await listener.task()).data["title"] == "After it"


@pytest.mark.parametrize("query", ["lastEventId={}", "since=0&lastEventId={}", "lastEventId={}&since=0"])
async def test_the_last_event_id_parameter_of_polyfills_overrides_since(alice, query):
    await alice.make("Heard")
    last = (await alice.get(f"{alice.path}/changes")).json()["next"]
    await alice.make("Missed")
    async with listen(alice, query.format(last)) as listener:
        assert (await listener.task()).data["title"] == "Missed"
    async with listen(alice, "lastEventId=0", Last_Event_ID=last) as listener:
        assert (await listener.task()).data["title"] == "Missed"
    async with listen(alice, "lastEventId=&since=0") as listener:
        assert (await listener.task()).data["title"] == "Heard"


@pytest.mark.parametrize("accept", ["text/event-stream", "*/*", "text/event-stream, */*;q=0.1", "application/json", ""])
async def test_a_stream_ignores_the_accept_header(alice, accept):
    async with listen(alice, Accept=accept, Cache_Control="no-cache") as listener:
        assert listener.response.headers["content-type"] == "text/event-stream; charset=utf-8"


async def test_no_line_end_in_a_title_ends_a_line_of_the_stream(alice):
    title = (
        "".join(f"{number}{end}" for number, end in enumerate("\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029")) + "\u00e9."
    )
    made = await alice.make(title)
    assert made["title"] == title
    async with listen(alice, "since=0") as listener:
        assert (await listener.task()).data == made
    async with alice.stream("GET", f"{alice.path}/events?since=0") as response:
        received = ""
        async for text in response.aiter_text():
            received += text
            if '"version"' in received:
                break
    assert not set("\x0b\x0c\r\x1c\x1d\x1e\x85\u2028\u2029") & set(received)
    assert "\\u0085" in received
    assert "\\u2028" in received
    assert "\\u2029" in received
    assert "\u00e9" in received


async def test_head_and_options_of_a_stream_respond_at_once(alice):
    response = await alice.head(f"{alice.path}/events")
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert (await alice.options(f"{alice.path}/events")).status_code == 204


async def test_a_head_opens_no_stream_has_no_length_and_leaves_the_connection_open(alice, app, exchange, caplog):
    bearing = f"Host: x\r\nAuthorization: {alice.headers['authorization']}\r\n"
    head = f"HEAD {alice.path}/events?since=0 HTTP/1.1\r\n{bearing}\r\n"
    said, again, empty = await exchange(
        f"{head}{head}GET {alice.path} HTTP/1.1\r\n{bearing}Connection: close\r\n\r\n".encode()
    )
    assert (said.status_code, said.content, again.status_code) == (200, b"", 200)
    assert said.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert said.headers["x-accel-buffering"] == "no"
    assert said.headers["cache-control"] == "private, no-cache"
    assert "content-length" not in said.headers  # a stream has no length: 0 would differ from the response to GET
    assert (empty.status_code, empty.text) == (200, "[]")
    assert app.ctx.live.open == 0
    assert not [record.message for record in caplog.records if record.levelname != "INFO"]


async def test_a_stream_starts_with_its_position_and_a_retry_time(alice, private):
    await alice.make()
    async with listen(alice) as listener:
        assert listener.last_id == 1
        assert 1_000 <= listener.retry <= 4_000
        headers = listener.response.headers
        assert headers["content-type"] == "text/event-stream; charset=utf-8"
        assert headers["x-accel-buffering"] == "no"
        assert headers["x-content-type-options"] == "nosniff"
        assert "content-length" not in headers
        private(listener.response)


async def test_a_page_of_an_allowed_origin_may_read_a_stream(alice):
    async with listen(alice, Origin="https://app.example.com") as listener:
        assert listener.response.headers["access-control-allow-origin"] == "https://app.example.com"
    async with listen(alice, Origin="https://evil.example.com") as listener:
        assert "access-control-allow-origin" not in listener.response.headers


async def test_a_write_of_the_same_process_reaches_the_stream_without_a_poll(alice, statements):
    """`make trials` measures how long it takes."""
    async with listen(alice) as listener:
        with statements() as seen:
            for number in range(10):
                created = await alice.make(f"Task {number}")
                assert await listener.task() == ("task", created["version"], created, False)
    assert sum(text == changes.POSITIONS for text, _ in seen) < 10, "one poll for each event, if nothing else wakes it"


async def test_every_kind_of_write_reaches_the_stream(alice):
    async with listen(alice) as listener:
        task = await alice.make()
        assert (await listener.task()).data == task
        assert (await alice.patch(f"{alice.path}/{task['id']}", json={"title": "B"})).status_code == 200
        assert (await listener.task()).data["title"] == "B"
        await alice.post(f"{alice.path}/{task['id']}/complete")
        assert (await listener.task()).data["completed"] is True
        await alice.delete(f"{alice.path}/{task['id']}")
        assert await listener.task() == ("task", 4, {"id": 1, "uid": task["uid"], "version": 4, "deleted": True}, False)
        for number in range(3):
            await alice.make(f"Task {number}")
            await listener.task()
        await alice.delete(f"{alice.path}?status=all")
        assert [(await listener.task()).id for _ in range(3)] == [8, 9, 10]


async def test_the_tasks_of_an_import_reach_the_stream_one_by_one_in_order(alice):
    async with listen(alice) as listener:
        tasks = [{"title": f"Task {number}"} for number in range(250)]
        for version in (1, 251):
            response = await alice.post("/api/me/import", json={"tasks": tasks}, headers={"Idempotency-Key": "key"})
            assert response.json() == {"imported": 250, "skipped": 0}
            if version == 1:
                heard = [await listener.task() for _ in tasks]
        assert [(event.id, event.data["title"]) for event in heard] == [
            (number, task["title"]) for number, task in enumerate(tasks, 1)
        ]
        assert (await alice.make("After"))["version"] == 251  # the replay wrote nothing
        assert (await listener.task()).data["title"] == "After"


async def test_a_write_outside_of_this_process_reaches_the_stream(pool, alice, bob):
    async with listen(alice) as hers, listen(bob) as his:
        # Written around the routes of this process, as another process would write.
        await Task.objects.for_user("alice", using=pool).create(with_keys({"title": "From elsewhere"}), quota=10)
        event = await hers.task()
        assert event.data["title"] == "From elsewhere"
        made = await bob.make("His own")
        assert (await his.task()).data == made, "and nothing of hers before"


async def test_a_stream_has_no_changes_of_other_users(alice, bob):
    async with listen(alice) as hers, listen(bob) as his:
        for number in range(3):
            await bob.make(f"Bob's {number}")
        assert [(await his.task()).data["user_id"] for _ in range(3)] == ["bob"] * 3
        await alice.make("Alice's")
        event = await hers.task()
        assert (event.data["user_id"], event.data["title"], event.id) == ("alice", "Alice's", 1)


@pytest.mark.parametrize("by", ["header", "query", "both"])
async def test_a_reconnected_client_gets_the_missed_changes_without_gap_or_repeat(alice, monkeypatch, by):
    monkeypatch.setattr(stream, "PAGE", 4)
    async with listen(alice) as listener:
        await alice.make("Heard")
        await listener.task()
        last = listener.position
    for number in range(10):  # more than two pages
        await alice.make(f"Missed {number}")
    query = {"query": f"since={last}", "both": "since=64a1b2c3d4e5f-77"}.get(by, "")
    headers = {} if by == "query" else {"Last_Event_ID": last}
    async with listen(alice, query, **headers) as listener:
        assert listener.position == last
        assert [(await listener.task()).data["title"] for _ in range(10)] == [f"Missed {n}" for n in range(10)]
        await alice.make("And on")
        assert ((await listener.task()).data["title"], listener.last_id) == ("And on", 12)


@pytest.mark.parametrize("gone", ["forgotten", "never reached", "of another beginning"])
async def test_an_expired_position_starts_with_a_reset_and_continues_from_there(alice, connection, gone):
    for number in range(4):
        await alice.make(f"Task {number}")
    newest = (await alice.get(f"{alice.path}/changes")).json()["next"]
    beginning = newest.partition("-")[0]
    if gone == "forgotten":
        await connection.execute("UPDATE users SET forgotten = 3")
    since = {"forgotten": f"{beginning}-2", "never reached": f"{beginning}-99"}.get(gone, "64a1b2c3d4e5f-2")
    async with listen(alice, f"since={since}") as listener:
        assert await listener.task() == ("reset", 4, {"next": newest}, False)
        await alice.make("After it")
        assert ((await listener.task()).data["title"], listener.position) == ("After it", f"{beginning}-5")


async def test_last_event_id_0_gives_every_live_task(alice):
    async with listen(alice) as listener:
        assert listener.position == "0"
    made = await alice.make()
    async with listen(alice, Last_Event_ID="0") as listener:
        assert (await listener.task()).data == made


async def test_a_full_sync_reads_no_longer_pages_despite_removed_tombstones(alice, connection, monkeypatch, statements):
    monkeypatch.setattr(stream, "PAGE", 2)
    for number in range(5):
        await alice.make(f"Task {number}")
    await connection.execute("UPDATE users SET forgotten = 4")
    with statements() as seen:
        async with listen(alice, "since=0") as listener:
            ids = [(await listener.task())[1] for _ in range(5)]
    assert ids == [1, 2, 3, 4, 5]
    assert sum("AS MATERIALIZED" in statement for statement, _ in seen) == 3


async def test_a_client_that_missed_an_erasure_gets_a_reset_whatever_was_written_since(alice):
    for number in range(5):
        await alice.make(f"Before {number}")
    async with listen(alice) as listener:
        last = listener.position
    await alice.request("DELETE", "/api/me", json={"confirm": "alice"})
    for number in range(8):
        await alice.make(f"After {number}")
    async with listen(alice, Last_Event_ID=last) as listener:
        newest = (await alice.get(f"{alice.path}/changes")).json()["next"]
        assert (await listener.task()) == ("reset", 8, {"next": newest}, False)


async def test_an_open_stream_gets_a_reset_at_an_erasure(alice):
    for number in range(2):
        await alice.make(f"Before {number}")
    async with listen(alice) as listener:
        await alice.request("DELETE", "/api/me", json={"confirm": "alice"})
        assert (await listener.task()).name == "reset"
        await alice.make("After")
        while (event := await listener.task()).name == "reset":
            pass
        assert event.data["title"] == "After"


async def test_a_silent_stream_sends_heartbeats(alice, monkeypatch):
    monkeypatch.setattr(stream, "HEARTBEAT", 0.1)
    async with listen(alice) as listener:
        assert [await listener.next() for _ in range(3)] == [Event("", None, None, comment=True)] * 3
        await alice.make()
        assert (await listener.task()).id == 1


async def test_wakeups_without_a_change_do_not_delay_heartbeats(alice, hub, monkeypatch):
    """A write that changes nothing wakes the streams of its user. Here, another one arrives during each read."""
    read = changes.changes_since

    async def read_during_a_write(tasks, since, limit, feed):
        page = await read(tasks, since, limit, feed)
        hub.wake("alice")
        return page

    monkeypatch.setattr(hub_module, "changes_since", read_during_a_write)
    monkeypatch.setattr(stream, "HEARTBEAT", 0.03)  # the stream reads all the time until the last one
    async with listen(alice) as listener:
        assert [await listener.next() for _ in range(3)] == [Event("", None, None, comment=True)] * 3


async def test_a_stream_sends_heartbeats_while_the_database_does_not_answer(alice, monkeypatch):
    read, let_go = changes.changes_since, asyncio.Event()

    async def hold_up(tasks, since, limit, feed):
        await let_go.wait()
        return await read(tasks, since, limit, feed)

    await alice.make("Task")
    monkeypatch.setattr(hub_module, "changes_since", hold_up)
    monkeypatch.setattr(stream, "HEARTBEAT", 0.1)
    async with listen(alice, "since=0") as listener:
        assert [await listener.next() for _ in range(3)] == [Event("", None, None, comment=True)] * 3
        let_go.set()
        assert (await listener.task()).data["title"] == "Task"


async def test_a_bug_that_ends_a_stream_is_logged_with_its_stack(alice, endings, caplog, monkeypatch, eventually):
    async def fail(*_arguments):
        raise ValueError("a bug")

    monkeypatch.setattr(hub_module, "changes_since", fail)
    async with listen(alice, X_Request_ID="a-stream"):
        (line,) = await eventually(endings)
    assert line["ended"] == "internal error"
    (logged,) = [record for record in caplog.records if record.name == "doable.live"]
    assert (logged.levelname, logged.fields["request_id"], logged.exc_info[0]) == ("ERROR", "a-stream", ValueError)


async def test_the_log_names_the_response_timeout_of_a_stream(app, caller, endings, monkeypatch, eventually):
    monkeypatch.setitem(app.config, "RESPONSE_TIMEOUT", 1)
    async with listen(caller("alice")):  # without a heartbeat, which comes after 20 seconds
        (line,) = await eventually(endings)
    assert line["ended"] == "response timeout"


async def test_a_stream_may_exceed_the_timeouts_of_requests_and_ends_with_its_token(alice, app, caller, monkeypatch):
    monkeypatch.setitem(app.config, "RESPONSE_TIMEOUT", 0.6)
    monkeypatch.setitem(app.config, "READ_TIMEOUT", 0.3)
    monkeypatch.setattr(stream, "HEARTBEAT", 0.25)
    # Within the leeway: the token is refused 2 seconds from now.
    expiring = caller("alice", seconds=2 - app.ctx.settings.jwt_leeway)
    beats = 0
    async with listen(expiring) as listener:
        while await listener.next():
            beats += 1
    assert beats > 3, "it outlasted the other limits"
    assert (await expiring.get(f"{alice.path}/events")).status_code == 401


async def test_the_number_of_streams_of_one_user_is_limited(  # noqa: PLR0913, PLR0917 - each is a fixture
    alice, bob, hub, refusal, monkeypatch, eventually
):
    monkeypatch.setattr(hub, "_per_user", 2)
    async with listen(alice), listen(bob):
        async with listen(alice):
            response = await alice.get(f"{alice.path}/events")
            refusal(response, 429, "too_many_streams")
            assert 5 <= int(response.headers["retry-after"]) <= 15
        await eventually(lambda: hub.open == 2)
        async with listen(alice):
            pass
        monkeypatch.setattr(hub, "_in_all", 2)
        await eventually(lambda: hub.open == 2)
        refusal(await bob.get(f"{bob.path}/events"), 429, "too_many_streams")


async def test_open_streams_are_counted(alice, http):
    async with listen(alice), listen(alice):
        assert "doable_event_streams 2.0" in (await http.get("/metrics")).text


async def test_a_stream_is_logged_when_it_ends(alice, endings, eventually):
    async with listen(alice, X_Request_ID="a-stream"):
        assert endings() == []
    (line,) = await eventually(endings)
    assert line["request_id"] == "a-stream"
    assert (line["route"], line["status"], line["user_id"]) == ("/api/{user_id}/tasks/events", 200, "alice")
    assert line["ended"] == "client closed the connection"
    assert line["duration_ms"] > 0


async def test_a_client_that_does_not_read_its_stream_is_disconnected(  # noqa: PLR0913, PLR0917 - each is a fixture
    alice, server, connection, hub, monkeypatch, eventually, endings
):
    await alice.make()
    await connection.execute(
        """
        INSERT INTO tasks (user_id, id, uid, title_key, tag_keys,
            title, description, completed, priority, tags, created_at, updated_at, version)
        SELECT 'alice', n, gen_random_uuid(),
            '', '{}', 'Task ' || n, repeat('😀', 1000), false, 0, '{}', now(), now(), n
        FROM generate_series(2, 4000) AS n;
        """
    )
    await connection.execute("UPDATE users SET revision = 4000, task_count = 4000")
    monkeypatch.setattr(stream, "PATIENCE", 0.5)
    address = urlsplit(server)
    with socket.socket() as lazy:
        lazy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        lazy.settimeout(0)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(lazy, (address.hostname, address.port))
        head = f"GET {alice.path}/events?since=0 HTTP/1.1\r\nHost: a\r\n"
        head += f"Authorization: {alice.headers['authorization']}\r\n\r\n"
        await loop.sock_sendall(lazy, head.encode())
        await eventually(lambda: hub.open == 1)
        assert (await alice.get(f"{alice.path}/summary")).status_code == 200, "nobody else waits for it"
        await eventually(lambda: hub.open == 0)
        assert [line["ended"] for line in endings()] == ["client too slow"]
        with contextlib.suppress(ConnectionError):  # an abort may appear as a connection reset
            while await loop.sock_recv(lazy, 1 << 20):
                pass


async def test_a_stream_has_at_most_one_page_in_memory(alice, statements, monkeypatch):
    monkeypatch.setattr(stream, "PAGE", 4)
    for number in range(stream.PAGE + 1):
        await alice.make(f"Task {number}")
    with statements() as seen:
        async with listen(alice, "since=0") as listener:
            assert [(await listener.task()).id for _ in range(stream.PAGE + 1)] == [*range(1, stream.PAGE + 2)]
    pages = [arguments for statement, arguments in seen if "AS gone" in statement]
    beginning = listener.position.partition("-")[0]
    assert pages[:2] == [("alice", "", 0, 0, stream.PAGE), ("alice", beginning, stream.PAGE, 0, stream.PAGE)]


async def test_the_streams_of_one_user_share_one_read(alice, statements):
    async with contextlib.AsyncExitStack() as stack:
        listeners = [await stack.enter_async_context(listen(alice)) for _ in range(10)]
        await alice.make("Before")  # each stream has read once at its start
        assert {(await listener.task()).id for listener in listeners} == {1}
        with statements() as seen:
            for number in range(2, 12):
                await alice.make(f"Task {number}")
                assert {(await listener.task()).id for listener in listeners} == {number}
    reads = [statement for statement, _ in seen if "AS gone" in statement]
    assert 10 <= len(reads) < 70, "a look at the revisions may come in between; each for itself would make 100"


async def test_a_read_that_began_before_a_write_is_not_shared_after_it(alice, monkeypatch):
    """The first read is delayed after its result, until the write. A later stream must not get this result."""
    read, held, let_go = changes.changes_since, asyncio.Event(), asyncio.Event()

    async def hold_up(tasks, since, limit, feed):
        page = await read(tasks, since, limit, feed)
        if not held.is_set():
            held.set()
            await let_go.wait()
        return page

    monkeypatch.setattr(hub_module, "changes_since", hold_up)
    async with listen(alice) as first:
        await held.wait()
        await alice.make("Task")
        async with listen(alice, "since=0") as second:
            assert (await second.task()).data["title"] == "Task"
            let_go.set()
            assert (await first.task()).data["title"] == "Task"


async def test_a_stream_that_ends_does_not_cancel_the_shared_read_of_others(alice, hub, monkeypatch, eventually):
    read, let_go = changes.changes_since, asyncio.Event()
    asked = []

    async def hold_up(tasks, since, limit, feed):
        asked.append(since)
        await let_go.wait()
        return await read(tasks, since, limit, feed)

    await alice.make("Task")
    monkeypatch.setattr(hub_module, "changes_since", hold_up)
    async with contextlib.AsyncExitStack() as ending:
        await ending.enter_async_context(listen(alice, "since=0"))
        await eventually(lambda: asked)
        async with listen(alice, "since=0") as staying:
            await ending.aclose()
            await eventually(lambda: hub.open == 1)
            let_go.set()
            assert (await staying.task()).data["title"] == "Task"
