"""Traces: the spans that a real service process sends to a real OTLP/HTTP receiver, and data that it never sends."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import asyncpg
import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from service.database.keyset import Position
from service.database.traced import summary
from service.operations import retention
from service.serving.worker import STOP_GRACE
from service.tasks import writes as user_tasks
from service.tasks.models import Task
from service.tasks.selection import TaskQuery
from service.tasks.summary import summarise
from tests.locks import WAITING
from tests.recording import sent

RUN = [sys.executable, "-m", "service", "run"]
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
CALLER = "00f067aa0ba902b7"
TRACEPARENT = f"00-{TRACE}-{CALLER}-01"


class Collector:
    """A receiver of OTLP over HTTP that stores each request as bytes and as spans."""

    def __init__(self):
        self.bodies: list[bytes] = []
        self.paths: set[str] = set()
        self.resources: list[dict] = []
        self.spans: list[Span] = []
        self.address = ""

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[Collector]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield self
        server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                body = await reader.readexactly(int(re.search(rb"content-length: (\d+)", head.lower())[1]))
                self.paths.add(head.split()[1].decode())
                self.bodies.append(head + body)
                for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                    self.resources.append(attributes(resource.resource))
                    for scope in resource.scope_spans:
                        self.spans.extend(scope.spans)
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    def of(self, kind: int) -> list[Span]:
        """Return the spans of a kind, in the order of their start."""
        return sorted((span for span in self.spans if span.kind == kind), key=lambda span: span.start_time_unix_nano)

    @property
    def requests(self) -> list[Span]:
        return self.of(Span.SPAN_KIND_SERVER)

    @property
    def statements(self) -> list[Span]:
        return self.of(Span.SPAN_KIND_CLIENT)


def attributes(of) -> dict[str, object]:
    """Return the attributes of a span or resource as Python values."""
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in of.attributes}


@pytest.fixture
async def collector() -> AsyncIterator[Collector]:
    async with Collector().listening() as found:
        yield found


@pytest.fixture
def start(launch, settings, free_port, eventually):
    """`await start(OTEL_EXPORTER_OTLP_ENDPOINT=…)` runs the service with these variables, and waits until it serves."""

    async def run(**environment: str):
        variables = {
            "DATABASE_URL": settings.database_url,
            "PORT": str(free_port),
            "BETTER_AUTH_SECRET": settings.better_auth_secret,
            "OTEL_BSP_SCHEDULE_DELAY": "50",
            **environment,
        }
        process = launch(RUN, **variables)

        async def lives() -> bool:
            async with httpx.AsyncClient(verify=False) as client:
                return (await client.get(f"http://127.0.0.1:{free_port}/health/live")).status_code == 200

        await eventually(lives)
        return process

    return run


@pytest.fixture
def user_id(free_port) -> str:
    return f"traced-user-{free_port}"


@pytest.fixture
async def user(free_port, user_id, sign) -> AsyncIterator[httpx.AsyncClient]:
    """A user of the started service, on one keep-alive connection."""
    headers = {"Authorization": f"Bearer {sign(user_id)}", "User-Agent": "traced/1"}
    limits = httpx.Limits(max_connections=1)
    address = f"http://127.0.0.1:{free_port}"
    async with httpx.AsyncClient(base_url=address, headers=headers, timeout=30, verify=False, limits=limits) as client:
        yield client


async def stop(process) -> list[dict]:
    """Stop the process and return its log."""
    process.signal(signal.SIGTERM)
    assert await process.exit_code() == 0
    assert process.stderr == ""
    return [json.loads(line) for line in process.stdout.splitlines()]


async def test_each_request_of_a_connection_is_a_span_with_its_own_trace_and_its_statement_a_child(
    start, collector, user
):
    process = await start(OTEL_EXPORTER_OTLP_ENDPOINT=collector.address)
    made = await user.post("/api/me/tasks", json={"title": "Traced"}, headers={"traceparent": TRACEPARENT})
    assert made.status_code == 201
    task = made.json()
    await user.get(f"/api/me/tasks/{task['id']}")
    await user.get("/nowhere")
    await user.get("/api/me/tasks", params={"limit": 3})
    lines = await stop(process)

    request, *others = collector.requests
    statement = collector.statements[0]
    assert (request.trace_id.hex(), request.parent_span_id.hex()) == (TRACE, CALLER)
    assert request.name == "POST /api/{user_id}/tasks"
    assert attributes(request) == {
        "http.request.method": "POST",
        "http.route": "/api/{user_id}/tasks",
        "http.response.status_code": 201,
        "url.path": "/api/{user_id}/tasks",
        "url.scheme": "http",
        "server.address": "127.0.0.1",
        "user_agent.original": "traced/1",
    }
    assert request.status.code == Status.STATUS_CODE_UNSET
    assert (statement.trace_id.hex(), statement.parent_span_id) == (TRACE, request.span_id)
    assert statement.name == "EXECUTE create_task"
    told = attributes(statement)
    told.pop("doable.pool.wait_ms", None)  # present if the request waited for a new connection
    assert told == {
        "db.system.name": "postgresql",
        "db.operation.name": "EXECUTE",
        "db.query.summary": "EXECUTE create_task",
    }
    assert request.start_time_unix_nano <= statement.start_time_unix_nano
    assert statement.end_time_unix_nano <= request.end_time_unix_nano
    assert abs(request.end_time_unix_nano / 1e9 - time.time()) < 60
    assert collector.paths == {"/v1/traces"}
    assert {resource["service.name"] for resource in collector.resources} == {"doable"}

    traces = [one.trace_id for one in collector.requests]
    assert len(set(traces)) == 4
    assert [other.parent_span_id for other in others] == [b""] * 3
    assert [one.name for one in collector.statements] == [
        "EXECUTE create_task", "SELECT tasks", "SELECT lists tasks users",
    ]  # fmt: skip
    assert [one.trace_id for one in collector.statements] == [traces[0], traces[1], traces[3]]
    assert [(line["message"], bytes.fromhex(line["trace_id"])) for line in lines if "trace_id" in line] == [
        ("request", trace) for trace in traces
    ]
    assert attributes(others[0])["url.path"] == f"/api/{{user_id}}/tasks/{task['id']}"
    assert others[1].name == "GET"


async def test_no_token_body_query_or_user_is_ever_sent(start, collector, user, user_id, sign):
    process = await start(OTEL_EXPORTER_OTLP_ENDPOINT=collector.address)
    secret, stale = user.headers["authorization"].split()[1], sign("somebody-else", seconds=-600)
    task = (await user.post("/api/me/tasks", json={"title": "Very private words"})).json()
    assert (
        await user.get(f"/api/{user_id}/tasks/{task['id']}", headers={"Cookie": "c=hidden-cookie"})
    ).status_code == 200
    assert (await user.get("/api/me/tasks", params={"q": "hidden-query"})).status_code == 200
    assert (await user.get("/api/me/tasks", params={"access_token": secret})).status_code == 422
    assert (await user.get("/api/hidden-stranger/tasks")).status_code == 403
    assert (await user.get(f"/api/me/tasks/{secret}")).status_code == 404
    assert (await user.get(f"/nowhere/{secret}")).status_code == 404
    assert (await user.get("/api/me/tasks", headers={"Authorization": f"Bearer {stale}"})).status_code == 401
    assert (await user.post("/api/me/tasks", content=b'{"title": hidden-json}')).status_code in {400, 415}
    await stop(process)
    assert len(collector.requests) == 9
    exported = b"".join(collector.bodies)
    # A shorter text, such as "$1", would sometimes occur in the random ids of spans.
    for hidden in (secret, stale, user_id, "somebody-else", "private words", "hidden-", "SELECT id", "=$1", "($1"):
        assert hidden.encode() not in exported, hidden
        assert hidden.rsplit(".", 1)[-1].encode() not in exported, hidden


async def test_a_span_names_the_user_only_if_a_setting_allows_it(start, collector, user, user_id):
    process = await start(OTEL_EXPORTER_OTLP_ENDPOINT=collector.address, TRACE_USER_IDS="1")
    await user.get("/api/me/tasks")
    await user.get("/api/me/tasks", headers={"Authorization": ""})
    await stop(process)
    assert [attributes(request).get("enduser.id") for request in collector.requests] == [user_id, None]


async def test_a_server_error_marks_its_span_and_a_client_error_does_not(start, collector, user, relay):
    process = await start(OTEL_EXPORTER_OTLP_ENDPOINT=collector.address, DATABASE_URL=relay.url)
    assert (await user.get("/api/me/tasks")).status_code == 503
    assert (await user.get("/api/me/tasks/0")).status_code == 404
    await stop(process)
    failed, mistaken = collector.requests
    (statement, *_), told = collector.statements, attributes(failed)
    assert (failed.status.code, told["error.type"], told["http.response.status_code"]) == (2, "connection", 503)
    assert (statement.status.code, attributes(statement)["error.type"]) == (2, "connection")
    assert "error.type" not in attributes(mistaken)
    assert mistaken.status.code == Status.STATUS_CODE_UNSET
    assert not any(span.events or span.status.message for span in collector.spans), "a driver's words stay here"


async def test_probes_and_scrapes_are_not_traced(start, collector, user):
    process = await start(OTEL_EXPORTER_OTLP_ENDPOINT=collector.address)
    for path in ("/health/live", "/health/ready", "/health", "/metrics", "/openapi.json"):
        assert (await user.get(path)).status_code == 200
    await stop(process)
    assert [request.name for request in collector.requests] == ["GET /openapi.json"]
    assert collector.statements == []


async def test_spans_record_a_disconnected_client_and_the_wait_for_a_connection(
    start, collector, user, connection, eventually
):
    process = await start(OTEL_EXPORTER_OTLP_ENDPOINT=collector.address, DB_CONNECTIONS="2")  # a pool of one
    task = (await user.post("/api/me/tasks", json={"title": "Held up"})).json()
    async with connection.transaction():
        await connection.execute("SELECT FROM tasks WHERE id = $1 FOR UPDATE", task["id"])
        _reader, writer = await asyncio.open_connection("127.0.0.1", user.base_url.port)
        token = user.headers["authorization"]
        path = f"/api/me/tasks/{task['id']}/complete"
        writer.write(f"PATCH {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: {token}\r\n\r\n".encode())
        await eventually(lambda: waits(connection))
        listing = asyncio.create_task(user.get("/api/me/tasks"))
        await eventually(lambda: waits_for_a_connection(user.base_url))
        writer.close()
        assert (await listing).status_code == 200
        await eventually(lambda: len(collector.requests) == 3)
    (line,) = [line for line in await stop(process) if line.get("status") == 499]
    assert (line["level"], line["failure"]) == ("info", "client closed the connection")
    hung_up = collector.requests[1]
    assert (attributes(hung_up)["http.response.status_code"], hung_up.status.code) == (499, Status.STATUS_CODE_UNSET)
    assert line["trace_id"] == hung_up.trace_id.hex()
    assert attributes(collector.statements[1])["error.type"] == "CancelledError"
    assert attributes(collector.statements[2])["doable.pool.wait_ms"] > 0


async def waits_for_a_connection(address: httpx.URL) -> bool:
    async with httpx.AsyncClient(base_url=address, verify=False) as client:
        return "\ndoable_database_pool_waiting 1" in (await client.get("/metrics")).text


async def waits(connection: asyncpg.Connection) -> bool:
    return bool(await connection.fetchval(WAITING))


async def test_headers_that_cannot_be_written_lose_no_span(start, collector, free_port):
    process = await start(OTEL_EXPORTER_OTLP_ENDPOINT=collector.address)
    reader, writer = await asyncio.open_connection("127.0.0.1", free_port)
    odd = (
        b"User-Agent: \xff\xfe", b"User-Agent: " + b"a" * 5000, b"traceparent: \xff", b"traceparent: 00-0-0-0",
        b"tracestate: \xff=\xff\r\ntraceparent: " + TRACEPARENT.encode(), b"baggage: \xff=\xff",
    )  # fmt: skip
    for header in odd:
        writer.write(b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n" + header + b"\r\n\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(int(re.search(rb"content-length: (\d+)", head)[1]))
        assert head.startswith(b"HTTP/1.1 200")
    writer.close()
    lines = await stop(process)
    assert len(collector.requests) == 6
    assert [line for line in lines if line["level"] != "info"] == []
    assert len(attributes(collector.requests[1])["user_agent.original"]) == 256


async def test_the_variables_of_the_opentelemetry_sdk_apply(start, collector, user):
    process = await start(
        OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=f"{collector.address}/custom", OTEL_SERVICE_NAME="tasks-of-ours",
        OTEL_EXPORTER_OTLP_HEADERS="x-key=of-the-vendor", OTEL_RESOURCE_ATTRIBUTES="deployment.environment.name=test",
        OTEL_TRACES_SAMPLER="parentbased_always_off", OTEL_PROPAGATORS="tracecontext",
    )  # fmt: skip
    await user.get("/api/me/tasks")
    await user.get("/api/me/tasks", headers={"traceparent": TRACEPARENT})
    lines = await stop(process)
    assert [request.trace_id.hex() for request in collector.requests] == [TRACE]
    assert collector.paths == {"/custom"}
    assert all(b"x-key: of-the-vendor" in body.lower() for body in collector.bodies)
    (resource, *_) = collector.resources
    assert (resource["service.name"], resource["deployment.environment.name"]) == ("tasks-of-ours", "test")
    assert [len(line["trace_id"]) for line in lines if "trace_id" in line] == [32, 32]


async def test_each_worker_sends_its_own_spans(start, collector, free_port, eventually, sign):
    process = await start(OTEL_EXPORTER_OTLP_ENDPOINT=collector.address, WEB_CONCURRENCY="2")

    async def both() -> bool:
        async with httpx.AsyncClient(verify=False) as client:
            await client.get(f"http://127.0.0.1:{free_port}/openapi.json")
        return len({resource["service.instance.id"] for resource in collector.resources}) == 2

    await eventually(both)
    sent = len(
        [line for line in await stop(process) if line["message"] == "request" and line["route"] == "/openapi.json"]
    )
    assert len(collector.requests) == sent, "the last ones are sent before the process goes"


@pytest.mark.parametrize("hangs", [False, True], ids=["refuses", "hangs"])
async def test_an_unreachable_collector_delays_nothing_and_logs_one_line_a_minute(start, user, hangs):
    with socket.create_server(("127.0.0.1", 0)) as held:  # the socket accepts connections but never responds
        port = held.getsockname()[1]
        if not hangs:
            held.close()
        process = await start(
            OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{port}", OTEL_EXPORTER_OTLP_TIMEOUT="60",
            OTEL_BSP_MAX_QUEUE_SIZE="32", OTEL_BSP_MAX_EXPORT_BATCH_SIZE="32",
        )  # fmt: skip
        for _ in range(40):  # more spans than the queue holds, two for each request
            assert (await user.get("/api/me/tasks", timeout=20)).status_code == 200
        lines = await stop(process)
    (stopped,) = [line for line in lines if line["message"] == "stopped"]
    assert stopped["cut_off"] == 0
    assert stopped["seconds"] < STOP_GRACE, "two seconds for the last spans, although the exporter would wait a minute"
    complaints = [line for line in lines if line["logger"] == "doable.tracing"]
    assert len(complaints) <= 1 + hangs
    assert hangs or complaints[0]["message"] == "traces could not be sent"
    assert {line["logger"] for line in lines} <= {"doable.serving", "doable.requests", "doable.tracing"}


LOADED = """
import os, sys
sys.modules.update({name: None for name in os.environ.get("WITHOUT", "").split()})
from service.app import create_app
from service.config import Settings
from service.errors import ConfigurationError
try:
    create_app(Settings.from_environ(os.environ))
    print(sorted(name for name in sys.modules if name.partition(".")[0] in {"opentelemetry", "google", "requests"}))
except ConfigurationError as error:
    print(error.detail)
"""


@pytest.fixture
def composed(launch, settings) -> Callable:
    """Return the output of a process that creates the service with some variables."""

    async def run(**environment: str) -> str:
        process = launch(
            [sys.executable, "-c", LOADED],
            DATABASE_URL=settings.database_url,
            BETTER_AUTH_SECRET="s" * 32,
            **environment,
        )
        assert await process.exit_code() == 0, process.stderr
        return process.stdout.strip()

    return run


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"OTEL_SERVICE_NAME": "tasks", "OTEL_TRACES_SAMPLER": "always_on"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:4318", "OTEL_TRACES_EXPORTER": "none"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:4318", "OTEL_SDK_DISABLED": "true"},
    ],
)
async def test_opentelemetry_is_not_imported_if_tracing_is_off(composed, variables):
    assert await composed(**variables) == "[]"


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"OTEL_TRACES_EXPORTER": "otlp", "WITHOUT": "opentelemetry"}, r"pip install 'doable\[otel\]'"),
        ({"OTEL_TRACES_EXPORTER": "otlp", "OTEL_PROPAGATORS": "b3-typo"}, "OTEL_PROPAGATORS names a propagator"),
        ({"OTEL_TRACES_EXPORTER": "jaeger"}, "OTEL_TRACES_EXPORTER must be otlp or none"),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "OTEL_EXPORTER_OTLP_PROTOCOL must be http/protobuf"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "collector:4317"}, "OTEL_EXPORTER_OTLP_ENDPOINT must be an http"),
    ],
)  # fmt: skip
async def test_an_invalid_tracing_setting_is_refused_with_a_sentence(composed, variables, sentence):
    assert re.search(sentence, await composed(**variables))


def test_a_statement_is_named_by_what_it_does_to_which_table(server):
    def read(ask: Callable) -> str:
        return summary(sent(lambda connection: ask(Task.objects.for_user("alice", using=connection)))[0])

    lists = {
        read(lambda tasks, query=query: tasks.matching(query).page(query.limit, query.after, count=query.count))
        for query in (
            TaskQuery(),
            TaskQuery(limit=3, count=True, tags=("a",), text="x", overdue=True),
            TaskQuery(limit=3, sort="due_date", after=Position(None, 1)),
        )
    }
    assert lists == {"SELECT lists tasks users"}
    assert read(lambda tasks: tasks.find(1)) == "SELECT tasks"
    assert read(lambda tasks: summarise(tasks, None, None, None)) == "SELECT tasks users"
    assert [summary(text) for text in (user_tasks.CREATE, user_tasks.COMPLETE[int], user_tasks.DELETE[str])] == [
        "EXECUTE create_task", "EXECUTE complete_task", "EXECUTE delete_task",
    ]  # fmt: skip
    assert summary("UPDATE users SET x = 1") == "UPDATE users"
    run = (retention.PURGE, retention.NEXT_OWNER, "SHOW server_version")
    assert [summary(text) for text in run] == [
        "EXECUTE purge_trash", "SELECT tasks", "SELECT",
    ]  # fmt: skip
