"""The instructions that a request takes a worker of Doable, counted by valgrind's callgrind in the running service.

The service runs as in production, on a real PostgreSQL, and answers one request after the other over a real socket.
Counting is off while it starts, which would take minutes otherwise; `vgdb`, which speaks to programs under valgrind,
switches it. The kernel's part is not in the figures. Timers of the service (its log is written ten times
a second) go on meanwhile, so these figures are less exact than PostgreSQL's, above all on a busy machine.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from itertools import count, cycle, islice
from pathlib import Path

from benchmarks import cells, load
from benchmarks.cells import Cell
from benchmarks.meters import CALLGRIND
from benchmarks.servers import KINDS, Database, Server, unused_port
from benchmarks.statements import Party

CELLS = (*cells.MAIN, cells.UNCHANGED)
WARM = 100  # requests
TRIES, TIMES = 5, 40  # the least of so many tries of so many requests: timers, which go by the clock, only add to it
PATIENCE = 180.0  # seconds; a start under valgrind takes ten times as long
TOTAL = re.compile(r"^totals: (\d+)", re.MULTILINE)
HOST = "127.0.0.1"  # vgdb finds its program by the environment's HOST, among others


class Counter:
    """Counts what a server does from one call to the next."""

    def __init__(self, folder: Path) -> None:
        """Keep the files of valgrind in `folder`."""
        self._out = folder / "callgrind"
        self._numbers: Iterator[int] = count(1)
        self._prefix = f"--vgdb-prefix={folder / 'vgdb'}"

    def counted(self, command: list[str]) -> list[str]:
        """The command that runs `command` so that it can be counted."""
        options = ["--instr-atstart=no", self._prefix, f"--callgrind-out-file={self._out}"]
        return ["env", "PYTHONHASHSEED=0", *CALLGRIND, *options, *command]

    def begin(self, server: Server) -> None:
        """Count from now on."""
        self._tell(server, "instrumentation", "on")

    def restart(self, server: Server) -> None:
        """Begin at 0."""
        self._tell(server, "zero")

    def read(self, server: Server) -> int:
        """Give what was counted, and begin at 0."""
        self._tell(server, "dump")
        found = TOTAL.search(Path(f"{self._out}.{next(self._numbers)}").read_text())
        assert found is not None  # noqa: S101 - every dump ends with it
        return int(found[1])

    def _tell(self, server: Server, *words: str) -> None:
        assert server.process is not None  # noqa: S101 - it was started
        environment = {"PATH": os.environ["PATH"], "HOST": HOST}
        command = ["vgdb", self._prefix, f"--pid={server.process.pid}", *words]
        subprocess.run(command, env=environment, check=True, capture_output=True, timeout=60)


async def instructions(database: Database, party: Party, folder: Path) -> dict[str, float]:
    """The instructions for a request of each cell, on Doable's database as `party` found it."""
    counter = Counter(folder)
    kind = replace(KINDS["doable"], command=counter.counted([*KINDS["doable"].command]))
    server = Server(kind, database, unused_port(), folder / "counted.log")
    for owner, task in party.tasks:
        server.tasks.setdefault(owner, []).append(task)
    try:
        await server.start(load.request("GET", "ready"), PATIENCE)
        counter.begin(server)
        return {cell.name: await _count(counter, server, cell) for cell in CELLS}
    finally:
        server.stop()


async def _count(counter: Counter, server: Server, cell: Cell) -> float:
    requests = cycle(await cell.requests(server, 0))
    line = load.Line(server)
    for request in islice(requests, WARM):
        await line.ask(request)
    counted, statuses = [], set()
    for _ in range(TRIES):
        counter.restart(server)
        statuses |= {(await line.ask(request)).status for request in islice(requests, TIMES)}
        counted.append(counter.read(server))
    line.close()
    if statuses != {cell.status}:
        raise RuntimeError(f"{cell.name}: answered {statuses}, and {cell.status} is right")
    return min(counted) / TIMES
