"""Count the instructions of a request in a worker of Doable, with valgrind's callgrind in the running service.

The service runs as in production, with a real PostgreSQL, and answers requests one after the other on a real socket.
Counting is off during the start, which would take minutes otherwise. `vgdb`, which controls programs under valgrind,
turns it on. The figures do not include the kernel. Timers of the service, such as that of its log, which fires ten
times a second, run too. Therefore these figures are less exact than PostgreSQL's, especially on a busy machine.
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
TRIES, TIMES = 5, 40  # the lowest count of 5 tries with 40 requests each counts, because timers only add instructions
PATIENCE = 180.0  # maximum seconds of the start, which takes ten times as long under valgrind
TOTAL = re.compile(r"^totals: (\d+)", re.MULTILINE)
HOST = "127.0.0.1"  # vgdb finds its program by the variable HOST, among others


class Counter:
    """Counts the instructions of a server between two calls."""

    def __init__(self, folder: Path) -> None:
        """Store valgrind's files in `folder`."""
        self._out = folder / "callgrind"
        self._numbers: Iterator[int] = count(1)
        self._prefix = f"--vgdb-prefix={folder / 'vgdb'}"

    def counted(self, command: list[str]) -> list[str]:
        """Return the command that runs `command` under valgrind."""
        options = ["--instr-atstart=no", self._prefix, f"--callgrind-out-file={self._out}"]
        return ["env", "PYTHONHASHSEED=0", *CALLGRIND, *options, *command]

    def begin(self, server: Server) -> None:
        """Start counting."""
        self._tell(server, "instrumentation", "on")

    def restart(self, server: Server) -> None:
        """Set the count to 0."""
        self._tell(server, "zero")

    def read(self, server: Server) -> int:
        """Return the count, and set it to 0."""
        self._tell(server, "dump")
        found = TOTAL.search(Path(f"{self._out}.{next(self._numbers)}").read_text())
        assert found is not None  # noqa: S101 - every dump contains the total
        return int(found[1])

    def _tell(self, server: Server, *words: str) -> None:
        assert server.process is not None  # noqa: S101 - the server was started
        environment = {"PATH": os.environ["PATH"], "HOST": HOST}
        command = ["vgdb", self._prefix, f"--pid={server.process.pid}", *words]
        subprocess.run(command, env=environment, check=True, capture_output=True, timeout=60)


async def instructions(database: Database, party: Party, folder: Path) -> dict[str, float]:
    """Return the instructions of a request of each cell, with the data in Doable's database."""
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
        raise RuntimeError(f"{cell.name}: answered {statuses} instead of {cell.status}")
    return min(counted) / TIMES
