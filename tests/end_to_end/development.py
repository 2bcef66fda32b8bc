"""The service as `make run` starts it, in an empty folder."""

from __future__ import annotations

import re
import signal
from pathlib import Path
from typing import BinaryIO

from tests.conftest import Launched
from tests.starter import Forked, Starter

ROOT = Path(__file__).parents[2]


class Service:
    """Run the command of `make run` in an empty folder; `address` is the address of the page in its output."""

    def __init__(self, folder: Path, starter: Starter, **environment: str):
        self.folder, self._starter = folder, starter
        self._environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), **environment}

    async def start(self) -> None:
        def begin(stdout: BinaryIO, stderr: BinaryIO) -> Forked:
            options = {"cwd": self.folder, "env": self._environment, "stdout": stdout, "stderr": stderr}
            return self._starter.start(["-m", "service", "run", "--development"], **options)

        self.process = Launched(begin, self.folder, 0)
        await self.process.says("Ctrl-C")
        (self.address,) = re.findall(r"(http://\S+/playground)$", self.process.stdout, re.MULTILINE)

    async def stop(self) -> None:
        self.process.signal(signal.SIGTERM)
        assert (await self.process.exit_code(), self.process.stderr) == (0, "")
