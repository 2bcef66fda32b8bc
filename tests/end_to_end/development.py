"""The service as `make run` starts it, in an empty folder."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

from tests.conftest import Launched

ROOT = Path(__file__).parents[2]


class Service:
    """Run the command of `make run` in an empty folder; `address` is the address of the page in its output."""

    def __init__(self, folder: Path, **environment: str):
        self.folder, self._environment = folder, {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), **environment}

    async def start(self) -> None:
        command = [sys.executable, "-m", "service", "run", "--development"]
        options = {"cwd": self.folder, "env": self._environment, "start_new_session": True}
        self.process = Launched(
            lambda stdout, stderr: subprocess.Popen(command, stdout=stdout, stderr=stderr, **options), self.folder, 0
        )
        await self.process.says("Ctrl-C")
        (self.address,) = re.findall(r"(http://\S+/playground)$", self.process.stdout, re.MULTILINE)

    async def stop(self) -> None:
        self.process.signal(signal.SIGTERM)
        assert (await self.process.exit_code(), self.process.stderr) == (0, "")
