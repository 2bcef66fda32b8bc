"""Lets the tests of a client start, kill and stop services, by lines of JSON over TCP."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from tests.conftest import Launched


@dataclass
class Control:
    """Answers each line with a line, after its command has taken effect.

    - `{"start": {"RATE_LIMIT": "5/second"}, "port": 1234}` starts a service with these settings, on a free port or a
      given one, and answers `{"port": 1234}` once it accepts requests.
    - `{"kill": 1234}` kills the service at a port, and `{"stop": 1234}` stops it in an orderly way.
    """

    launch: Callable[..., Launched]
    find_port: Callable[[], int]
    is_live: Callable[[int], Awaitable[object]]
    settings: dict[str, str]
    services: dict[int, Launched] = field(default_factory=dict)
    server: asyncio.Server | None = None

    async def listen(self) -> int:
        """Begin to accept commands, and return the port."""
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self.server.sockets[0].getsockname()[1]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            answer = await self._execute(**json.loads(line))
            writer.write(json.dumps(answer).encode() + b"\n")
            await writer.drain()
        writer.close()

    async def _execute(
        self, start: dict[str, str] | None = None, kill: int = 0, stop: int = 0, port: int = 0
    ) -> dict[str, int]:
        if kill:
            service = self.services.pop(kill)
            os.killpg(service.process.pid, signal.SIGKILL)
            service.process.wait()
        if stop:
            service = self.services.pop(stop)
            service.signal(signal.SIGTERM)
            assert await service.exit_code() == 0, service.stderr
        if start is not None:
            port = port or self.find_port()
            command = ["python", "-m", "service", "run"]
            self.services[port] = self.launch(command, PORT=str(port), **{**self.settings, **start})
            await self.is_live(port)
        return {"port": port}
