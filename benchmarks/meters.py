"""Measure a statement in PostgreSQL: instructions, microseconds of CPU, and bytes of WAL.

Valgrind's callgrind counts the instructions of PostgreSQL in single-user mode, which is one process that reads
statements from its standard input. One run executes the statement a few times, another run many times. The difference,
divided by the number of executions, is the cost of one execution, without start, planning and end. Other processes
cannot disturb it. Microseconds vary with the machine, but also include waiting for memory.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from datetime import date
from pathlib import Path

import asyncpg

from benchmarks.servers import Database, copy
from benchmarks.statements import Execution, Party

CALLGRIND = ("valgrind", "--tool=callgrind")
MISSING = "valgrind counts the instructions, but is not installed: apt-get install valgrind."
FEW, MANY = 20, 220  # executions in the two runs
PATIENCE = 300.0  # maximum seconds of a run, which usually takes a few
COUNTED = re.compile(r"^==\d+== Collected : (\d+)", re.MULTILINE)
TRIES, TIMES = 5, 200  # the fastest of 5 tries with 200 executions each counts, because disturbances only slow a try
POSITION = "SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn"
WARM = 12  # executions after which a plan is the generic one


def is_installed() -> bool:
    """Return whether valgrind is installed."""
    return shutil.which("valgrind") is not None


class Instructions:
    """Counts the instructions of statements. Each statement has its own copy of the data."""

    def __init__(self, database: Database, folder: Path) -> None:
        """Copy the current data of `database` to `folder`."""
        self._program = database.program
        self._user = database.system_user
        self._data = folder / "copied"
        self._folder = folder
        self._turns = asyncio.Semaphore(os.cpu_count() or 1)
        database.copy(self._data)

    async def count(self, party: Party, verb: str) -> float:
        """Return the instructions of one execution. Raises RuntimeError if one fails or returns no row."""
        executions = await party.executions(verb, MANY)
        few, many = await asyncio.gather(*(self._run(party.name, executions[:times]) for times in (FEW, MANY)))
        return (many - few) / (MANY - FEW)

    async def _run(self, name: str, executions: Sequence[Execution]) -> int:
        async with self._turns:
            output, errors = await asyncio.to_thread(self._execute, name, executions)
        counted = COUNTED.search(errors)
        # Each execution prints a line of dashes below the column names, and another one below each row.
        if not counted or "ERROR:" in errors or output.count("\t----\n") < 2 * len(executions):
            raise RuntimeError(f"{executions[0].text}\n{errors[-2000:]}\n{output[-500:]}")
        return int(counted[1])

    def _execute(self, name: str, executions: Sequence[Execution]) -> tuple[str, str]:
        data = self._folder / f"{name}-{id(executions):x}"
        copy(self._data, data)
        postgres = [str(self._program), "--single", "-j", "-F", "-D", str(data), name]
        done = subprocess.run(
            [*CALLGRIND, "--callgrind-out-file=/dev/null", *postgres],
            input=script(executions), user=self._user, cwd="/", timeout=PATIENCE, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        shutil.rmtree(data)
        return done.stdout, done.stderr


def script(executions: Sequence[Execution]) -> str:
    """Return the input for single-user mode. With `-j`, a semicolon and an empty line end a statement."""
    # The line break is necessary if the statement ends in a comment.
    prepared = f"PREPARE it AS {executions[0].text.strip().rstrip(';')}\n"
    lines = ["SET plan_cache_mode = force_generic_plan", prepared]
    for execution in executions:
        arguments = ", ".join(map(literal, execution.arguments))
        lines.append(f"EXECUTE it({arguments})")
    return "".join(f"{line};\n\n" for line in lines)


def literal(value: object) -> str:
    """Return a value as an SQL literal, without a type. Raises TypeError for an unsupported type."""
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return literal(f"{{{','.join(map(_element, value))}}}")
    if isinstance(value, bytes | bytearray):
        return f"'\\x{value.hex()}'"
    if isinstance(value, date):
        return f"'{value.isoformat()}'"
    if isinstance(value, str | int):
        return f"""'{str(value).replace("'", "''")}'"""
    raise TypeError(f"{value!r} is no argument of a statement")


def _element(value: object) -> str:
    escaped = str(value).replace("\\", "\\\\").replace('"', '\\"')
    return "NULL" if value is None else f'"{escaped}"'


async def microseconds(database: Database, party: Party, verb: str) -> float:
    """Return the CPU time of PostgreSQL for one execution with the data in memory. Reads /proc, so on Linux only."""
    connection = await _connect(database, party)
    process = connection.get_server_pid()
    executions = await party.executions(verb, WARM + TRIES * TIMES)
    await _execute(connection, executions[:WARM])
    took = []
    for start in range(WARM, len(executions), TIMES):
        before = _ran(process)
        await _execute(connection, executions[start : start + TIMES])
        took.append((_ran(process) - before) / TIMES / 1000)
    await connection.close()
    return min(took)


def _ran(process: int) -> int:
    return int(Path(f"/proc/{process}/schedstat").read_text().split()[0])  # nanoseconds


async def wal_bytes(database: Database, party: Party, verb: str) -> float:
    """Return the bytes of WAL of one execution, without full page images.

    The pages have been written since the last checkpoint, so PostgreSQL adds no images of them.
    """
    connection = await _connect(database, party)
    executions = await party.executions(verb, 2 * TIMES, tasks=TIMES)
    await _execute(connection, executions[:TIMES])
    before = await connection.fetchval(POSITION)
    await _execute(connection, executions[TIMES:])
    grown = int(await connection.fetchval(POSITION) - before)
    await connection.close()
    return grown / TIMES


async def _connect(database: Database, party: Party) -> asyncpg.Connection:
    connection = await asyncpg.connect(database.url(party.name))
    await connection.execute("SET synchronous_commit = off")
    return connection


async def _execute(connection: asyncpg.Connection, executions: Iterable[Execution]) -> None:
    for execution in executions:
        await connection.fetchrow(execution.text, *execution.arguments)
