"""Three meters of a statement: instructions of PostgreSQL, microseconds of its CPU, and bytes of its log (WAL).

Instructions are counted by valgrind's callgrind, with PostgreSQL in single-user mode: one process, which reads
statements from its standard input. The same statement is executed a few times in one run and many times in another;
the difference, divided, is what one execution takes, without the start, the plan and the end. No neighbour on the
machine can disturb that. Microseconds wander with the machine, but also show waiting for memory.
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
MISSING = "valgrind counts the instructions, and is not installed: apt-get install valgrind."
FEW, MANY = 20, 220  # executions in the two runs
PATIENCE = 300.0  # seconds that a run may take; it takes a few
COUNTED = re.compile(r"^==\d+== Collected : (\d+)", re.MULTILINE)
TRIES, TIMES = 5, 200  # the quickest of so many tries of so many executions: nothing else makes one quicker
POSITION = "SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn"
WARM = 12  # executions after which a plan is the generic one


def is_installed() -> bool:
    """Whether there is a valgrind."""
    return shutil.which("valgrind") is not None


class Instructions:
    """Counts the instructions of statements, each on a copy of the same data."""

    def __init__(self, database: Database, folder: Path) -> None:
        """Copy what `database` holds now to `folder`."""
        self._program = database.program
        self._user = database.system_user
        self._data = folder / "copied"
        self._folder = folder
        self._turns = asyncio.Semaphore(os.cpu_count() or 1)
        database.copy(self._data)

    async def count(self, party: Party, verb: str) -> float:
        """The instructions that one execution takes. Raises RuntimeError when one fails or finds nothing."""
        executions = await party.executions(verb, MANY)
        few, many = await asyncio.gather(*(self._run(party.name, executions[:times]) for times in (FEW, MANY)))
        return (many - few) / (MANY - FEW)

    async def _run(self, name: str, executions: Sequence[Execution]) -> int:
        async with self._turns:
            output, errors = await asyncio.to_thread(self._execute, name, executions)
        counted = COUNTED.search(errors)
        # Each execution prints a rule below the names of its columns and another below each row.
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
    """What single-user mode reads (with `-j` a statement ends at a semicolon and an empty line)."""
    # The line break ends a comment, should the statement end in one.
    prepared = f"PREPARE it AS {executions[0].text.strip().rstrip(';')}\n"
    lines = ["SET plan_cache_mode = force_generic_plan", prepared]
    for execution in executions:
        arguments = ", ".join(map(literal, execution.arguments))
        lines.append(f"EXECUTE it({arguments})")
    return "".join(f"{line};\n\n" for line in lines)


def literal(value: object) -> str:
    """A value as SQL; PostgreSQL gives it the parameter's type. Raises TypeError for a type that no argument has."""
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
    """What the connection's backend takes of the CPU for one execution, the data in memory. Linux only: /proc."""
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
    """The bytes of log of one execution, where its pages were written since the checkpoint: no images of pages."""
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
