"""Exports of all data of a user as JSON, CSV and iCalendar: complete, or visibly incomplete."""

from __future__ import annotations

import asyncio
import contextlib
import csv
import io
import re
import socket
import tracemalloc
from datetime import date, datetime, timezone
from urllib.parse import urlsplit

import httpx
import icalendar
import pytest

from service.transfer import exports

EXPORT = "/api/me/export"
INSERT = """
WITH owner AS (
    INSERT INTO users (id, created_at, written_at, revision, task_count) VALUES ($1, now(), now(), $2::int, $2::int)
)
INSERT INTO tasks (user_id, id, uid, title_key, tag_keys,
    title, description, completed, priority, tags, created_at, updated_at, version)
SELECT $1, n, gen_random_uuid(),
    '', '{}', 'Task ' || n, $3, false, 0, '{}', now(), now(), n FROM generate_series(1, $2::int) AS n
"""
LONGEST = "😀" * 1_000  # a description of 4,000 bytes


@pytest.fixture
def requests(caplog, monkeypatch):
    """Return a function that lists the log records of ended requests: route, status, and whether they took long."""
    caplog.set_level("INFO", logger="doable.requests")

    def ended() -> list[tuple[str, int, bool]]:
        lines = [record.fields for record in caplog.records if record.name == "doable.requests"]
        return [(line["route"], line["status"], line["duration_ms"] > 250) for line in lines]

    return ended


async def test_a_json_export_has_the_user_the_tasks_and_the_trash(caller, private):
    alice = caller("alice", email="alice@example.com", name="Alice")
    kept, gone = await alice.make("Kept", tags=["home"], due_date="2026-12-24"), await alice.make("Gone")
    assert (await alice.delete(f"{alice.path}/{gone['id']}")).status_code == 204
    response = await alice.get(EXPORT, params={"format": "json"})
    assert response.status_code == 200
    private(response)
    assert response.headers["content-type"] == "application/json"
    assert re.fullmatch(
        r'attachment; filename="doable-tasks-\d{4}-\d\d-\d\d\.json"', response.headers["content-disposition"]
    )
    body = response.json()
    assert list(body) == ["format", "version", "exported_at", "user", "lists", "tasks"]
    assert (body["format"], body["version"]) == ("doable-export", 2)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", body["exported_at"])
    assert {**body["user"], "created_at": ...} == {
        "id": "alice", "email": "alice@example.com", "name": "Alice", "created_at": ..., "revision": 3
    }  # fmt: skip
    assert body["tasks"][0] == kept
    assert body["tasks"][1] | {"updated_at": ..., "deleted_at": ..., "version": 3} == {
        **gone, "updated_at": ..., "deleted_at": ..., "version": 3
    }  # fmt: skip
    assert body["tasks"][1]["deleted_at"] == body["tasks"][1]["updated_at"]


@pytest.mark.parametrize(("form", "length"), [("json", None), ("csv", 1), ("ical", 4)])
async def test_a_user_without_data_gets_a_complete_empty_file(alice, form, length):
    response = await alice.get(EXPORT, params={"format": form})
    assert response.status_code == 200
    if form == "json":
        assert response.json() | {"exported_at": ...} == {
            "format": "doable-export", "version": 2, "exported_at": ..., "user": None, "lists": [], "tasks": []
        }  # fmt: skip
    else:
        assert response.text.endswith("\r\n")
        assert len(response.text.splitlines()) == length


async def test_no_format_has_tasks_of_other_users(alice, bob):
    await bob.make("A secret of Bob's")
    mine = await alice.make("Mine")
    for form in ("json", "csv", "ical"):
        text = (await alice.get(EXPORT, params={"format": form})).text
        assert "secret" not in text
        assert mine["title"] in text


async def test_without_a_format_parameter_the_accept_header_selects_the_format(alice, subtests):
    alice.headers.pop("accept")
    for accept, media_type in [
        (None, "application/json"),
        ("*/*", "application/json"),
        ("text/csv", "text/csv; charset=utf-8"),
        ("text/calendar", "text/calendar; charset=utf-8"),
        ("text/*;q=0.5, application/json", "application/json"),
        ("text/csv;q=0.2, text/calendar;q=0.9", "text/calendar; charset=utf-8"),
        ("image/png", "application/json"),
        ("", "application/json"),
    ]:
        with subtests.test(accept=accept, media_type=media_type):
            headers = {} if accept is None else {"Accept": accept}
            response = await alice.get(EXPORT, headers=headers)
            assert (response.status_code, response.headers["content-type"]) == (200, media_type)
            assert response.headers["vary"] == "Authorization, Origin, Accept"
            chosen = await alice.get(EXPORT, params={"format": "csv"}, headers=headers)
            assert chosen.headers["content-type"] == "text/csv; charset=utf-8"
            assert chosen.headers["vary"] == "Authorization, Origin"


async def test_a_malformed_accept_header_is_refused(alice, refusal):
    refusal(await alice.get(EXPORT, headers={"Accept": "rubbish"}), 400, "bad_request")


@pytest.mark.parametrize("query", ["format=xml", "form=csv", "format=csv&format=json"])
async def test_an_unknown_format_or_parameter_is_refused(alice, refusal, query):
    refusal(await alice.get(f"{EXPORT}?{query}"), 422, "validation_error", query.partition("=")[0])


async def test_a_head_has_the_headers_of_a_get_and_leaves_the_connection_open(alice, exchange, caplog):
    await alice.make()
    bearing = f"Host: x\r\nAuthorization: {alice.headers['authorization']}\r\n"
    head = f"HEAD {EXPORT}?format=csv HTTP/1.1\r\n{bearing}\r\n"
    said, again, empty = await exchange(
        f"{head}{head}GET /api/me/trash HTTP/1.1\r\n{bearing}Connection: close\r\n\r\n".encode()
    )
    assert (said.status_code, said.content) == (200, b"")
    assert said.headers["content-type"] == "text/csv; charset=utf-8"
    assert "content-length" not in said.headers  # there is no count yet
    assert again.headers["content-disposition"] == said.headers["content-disposition"]
    assert (empty.status_code, empty.text) == (200, "[]")
    assert "a response was aborted" not in caplog.messages


async def test_a_csv_export_is_rfc_4180_without_formulas(alice):
    await alice.make('=HYPERLINK("http://evil.example")', description='two\r\nlines, "quoted"', tags=["a, b", "c"])
    await alice.make("'=already")
    await alice.make("'twas", completed=True, due_date="2026-12-24", priority="high")
    response = await alice.get(EXPORT, params={"format": "csv"})
    assert response.text.splitlines()[0] == (
        "id,uid,title,description,completed,completed_at,priority,tags,due_date,due_at,list,parent_id,position,"
        "created_at,updated_at,version,repeat,series,occurrence,next_due,series_start,occurrence_number,deleted_at"
    )
    rows = list(csv.DictReader(io.StringIO(response.text, newline="")))
    assert [row["title"] for row in rows] == ['\'=HYPERLINK("http://evil.example")', "''=already", "'twas"]
    assert rows[0]["description"] == 'two\r\nlines, "quoted"'
    assert rows[0]["tags"] == '["a, b","c"]'
    assert (rows[2]["completed"], rows[2]["priority"], rows[2]["due_date"]) == ("true", "high", "2026-12-24")
    assert rows[0]["due_at"] == rows[0]["deleted_at"] == rows[0]["completed_at"] == ""


async def test_calendar_libraries_can_read_an_icalendar_export(alice):
    gone = await alice.make("Gone")
    await alice.delete(f"{alice.path}/{gone['id']}")
    day = await alice.make(
        "Wäsche, Müll; Rest", description="one\r\nBEGIN:VEVENT\nthree\rfour \x07\x85 five", tags=["a, b", "c"],
        priority="high", due_date="2026-12-24",
    )  # fmt: skip
    await alice.make("x" * 200, completed=True, priority="low", due_at="2026-12-24T18:00:00+01:00")
    response = await alice.get(EXPORT, params={"format": "ical"})
    assert max(len(line.encode()) for line in response.text.split("\r\n")) <= 75
    calendar = icalendar.Calendar.from_ical(response.content)
    assert (calendar["version"], calendar["prodid"]) == ("2.0", "-//Doable//Tasks//EN")
    first, second = calendar.walk("VTODO")
    assert not calendar.walk("VEVENT")
    assert str(first["summary"]) == "Wäsche, Müll; Rest"
    assert str(first["description"]) == "one\nBEGIN:VEVENT\nthree\nfour    five"
    assert first["due"].dt == date(2026, 12, 24)
    assert (first["status"], first["priority"]) == ("NEEDS-ACTION", 1)
    assert [str(category) for category in first["categories"].cats] == ["a, b", "c"]
    assert first["created"].dt == datetime.fromisoformat(day["created_at"]).replace(microsecond=0)
    assert first["uid"] == day["uid"]
    assert (second["status"], second["priority"]) == ("COMPLETED", 9)
    assert second["due"].dt == datetime(2026, 12, 24, 17, tzinfo=timezone.utc)
    assert "completed" in second
    again = icalendar.Calendar.from_ical((await alice.get(EXPORT, params={"format": "ical"})).content)
    assert [todo["uid"] for todo in again.walk("VTODO")] == [first["uid"], second["uid"]]


async def test_all_tasks_of_three_pages_come_once_and_in_order_in_each_format(alice, connection, statements, subtests):
    await connection.execute(INSERT, "alice", 750, "x")
    for form in ("json", "csv", "ical"):
        with subtests.test(form):
            with statements() as seen:
                response = await alice.get(EXPORT, params={"format": form})
            titles = re.findall(r"Task \d+", response.text)
            assert titles == [f"Task {number}" for number in range(1, 751)]
            assert sum("LIMIT" in statement for statement, _ in seen) == (5 if form == "json" else 4)


async def test_a_database_failure_during_an_export_leaves_an_incomplete_response(alice, connection, server, settings):
    await connection.execute(INSERT, "alice", 1_500, LONGEST)
    async with alice.stream("GET", EXPORT) as response:
        assert response.status_code == 200
        pieces = response.aiter_bytes(65536)
        received = len(await anext(pieces))
        await connection.execute("ALTER TABLE tasks RENAME TO tasks_away")
        try:
            with pytest.raises(httpx.RemoteProtocolError, match="incomplete"):  # noqa: PT012 - it raises during the loop
                async for piece in pieces:
                    received += len(piece)
        finally:
            await connection.execute("ALTER TABLE tasks_away RENAME TO tasks")
    assert 0 < received < 6_000_000
    assert (await alice.get(EXPORT)).json()["tasks"][-1]["title"] == "Task 1500"


async def test_a_database_outage_before_an_export_is_a_problem_as_usual(alice, connection, refusal):
    await connection.execute("ALTER TABLE tasks RENAME TO tasks_away")
    try:
        for form in ("json", "csv", "ical"):
            refusal(await alice.get(EXPORT, params={"format": form}), 503, "service_unavailable")
    finally:
        await connection.execute("ALTER TABLE tasks_away RENAME TO tasks")


async def test_a_bug_that_aborts_an_export_is_logged_with_its_stack(alice, caplog, monkeypatch):
    pieces = exports._pieces

    async def break_off(*arguments, **options):
        yield await anext(pieces(*arguments, **options))
        raise ValueError("a bug")

    monkeypatch.setattr(exports, "_pieces", break_off)
    with pytest.raises(httpx.TransportError):
        await alice.get(EXPORT, headers={"X-Request-ID": "an-export"})
    (logged,) = [record for record in caplog.records if record.name == "doable.streaming"]
    assert (logged.levelname, logged.exc_info[0]) == ("ERROR", ValueError)
    assert logged.fields == {"request_id": "an-export", "kind": "ValueError"}


async def test_a_client_that_does_not_read_an_export_is_disconnected(  # noqa: PLR0913, PLR0917 - each is a fixture
    app, alice, connection, server, monkeypatch, eventually, statements, caplog, requests
):
    monkeypatch.setitem(app.config, "SEND_TIMEOUT", 0.3)
    await connection.execute(INSERT, "alice", 3_000, LONGEST)
    with ask_over_a_narrow_line(server, alice) as client, statements() as seen:
        await eventually(lambda: "a response was aborted" in caplog.messages)
        # The bytes in the kernels' buffers arrive, then the connection ends. The end of the response is missing.
        received = await asyncio.to_thread(read_until_closed, client)
    assert received.startswith(b"HTTP/1.1 200 OK")
    assert not received.endswith(b"\r\n0\r\n\r\n")
    assert sum("LIMIT" in statement for statement, _ in seen) < 11, "an export of all tasks takes 14"
    assert requests() == [(EXPORT.replace("me", "{user_id}"), 200, True)]


async def test_a_slow_client_gets_a_whole_export(app, alice, connection, server, monkeypatch):
    monkeypatch.setitem(app.config, "RESPONSE_TIMEOUT", 0.6)
    await connection.execute(INSERT, "alice", 3_000, LONGEST)
    with ask_over_a_narrow_line(server, alice) as client:
        await asyncio.sleep(1)  # while it takes nothing
        received = await asyncio.to_thread(read_until_closed, client)
    assert len(received) > 10_000_000
    assert received.endswith(b"]}\r\n0\r\n\r\n")


async def test_a_client_that_disconnects_ends_the_export(  # noqa: PLR0913, PLR0917 - each is a fixture
    alice, connection, server, eventually, statements, requests
):
    await connection.execute(INSERT, "alice", 3_000, LONGEST)
    with statements() as seen:
        async with alice.stream("GET", EXPORT) as response:
            assert response.status_code == 200
        await eventually(requests)
    assert sum("LIMIT" in statement for statement, _ in seen) < 11, "an export of all tasks takes 14"


def ask_over_a_narrow_line(server: str, caller) -> socket.socket:
    """Request an export that exceeds the kernels' buffers, and read nothing of it yet."""
    client, address = socket.socket(), urlsplit(server)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    client.settimeout(30)
    client.connect((address.hostname, address.port))
    bearing = f"Authorization: {caller.headers['authorization']}\r\nConnection: close\r\n"
    client.sendall(f"GET {EXPORT} HTTP/1.1\r\nHost: x\r\n{bearing}\r\n".encode())
    return client


def read_until_closed(client: socket.socket) -> bytes:
    """Return all bytes until the other side closes the connection. Raises TimeoutError if it does not."""
    received = bytearray()
    with contextlib.suppress(ConnectionError):
        while piece := client.recv(65536):
            received += piece
    return bytes(received)


async def test_an_export_has_only_a_part_of_the_tasks_in_memory(alice, connection):
    await alice.get(EXPORT, params={"format": "csv"})  # the first request leaves objects in memory, which do not count
    await connection.execute(INSERT, "alice", 5_000, "x" * 1_000)
    for form in ("json", "csv"):
        size = 0
        tracemalloc.start()
        async with alice.stream("GET", EXPORT, params={"format": form}) as response:
            async for piece in response.aiter_bytes(65536):
                size += len(piece)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        print(f"{form}: {size:,} bytes, at most {peak:,} at once")
        assert size > 5_500_000
        assert peak < 5_500_000


@pytest.mark.steps
async def test_an_export_of_the_longest_tasks_yields_to_other_requests(
    alice, connection, steps, longest_step, subtests
):
    await connection.execute(INSERT, "alice", 1_000, "x")
    await connection.execute(
        "UPDATE tasks SET title = repeat('ä', 200), description = repeat('\\;,ß', 250), priority = 3,"
        " tags = (SELECT array_agg(n || repeat(',', 48)) FROM generate_series(1, 20) AS n) WHERE user_id = 'alice'"
    )
    for form in ("json", "csv", "ical"):
        with subtests.test(form):
            response = await alice.get(EXPORT, params={"format": form})
            longest, _ = steps.take()
            print(f"{form}: {len(response.content):,} bytes, longest step {longest * 1000:.0f} ms")
            assert response.status_code == 200
            assert longest < longest_step
