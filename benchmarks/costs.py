"""Measure the cost of a request in instructions and bytes of WAL, which do not depend on the load of the machine.

`make bench-statements` prints the cost of each statement in PostgreSQL, for Doable and its peers. `make bench-check`
compares the costs of Doable's statements and of its worker with the recorded ones.
"""

from __future__ import annotations

import asyncio
import platform
from collections.abc import Mapping

import msgspec
from msgspec import Struct

from benchmarks import meters, statements, worker
from benchmarks.report import table
from benchmarks.servers import HERE, KINDS, Database, stage
from benchmarks.statements import READS, VERBS, WRITES, Party

RECORDED = HERE / "recorded.json"
TOLERANCE = 0.03  # the allowed increase over the recorded figure; two runs differ by less than 1 %
WORKER = "k instructions of the worker"
WORKER_TOLERANCE = 0.15  # the same for the worker, whose timers depend on the clock
DASH = "–"


class Costs(Struct):
    """The costs of each request or statement, and the conditions of the measurement."""

    postgres: str
    python: str
    machine: str
    statement: dict[str, float]  # thousands of instructions of PostgreSQL
    worker: dict[str, float]  # thousands of instructions
    wal: dict[str, float]  # bytes

    @property
    def conditions(self) -> tuple[str, str, str]:
        """The conditions. Only costs with the same conditions can be compared."""
        return self.postgres, self.python, self.machine

    def figures(self) -> dict[str, float]:
        """Return all figures by name."""
        named = {
            "k instructions of PostgreSQL": self.statement, WORKER: self.worker,
            "bytes of WAL": self.wal,
        }  # fmt: skip
        return {f"{verb}, {unit}": value for unit, found in named.items() for verb, value in found.items()}


def worse(now: Mapping[str, float], recorded: Mapping[str, float]) -> dict[str, tuple[float, float]]:
    """Return the figures that exceed the recorded ones by more than their tolerance, or are missing, each with both."""
    both = {name: (now.get(name, float("inf")), before) for name, before in recorded.items()}
    return {name: (value, before) for name, (value, before) in both.items() if value > before * (1 + _tolerance(name))}


def _tolerance(name: str) -> float:
    return WORKER_TOLERANCE if name.endswith(WORKER) else TOLERANCE


def recorded() -> Costs:
    """Return the recorded costs."""
    return msgspec.json.decode(RECORDED.read_bytes(), type=Costs)


def record(costs: Costs) -> None:
    """Record `costs` for later comparisons."""
    RECORDED.write_bytes(msgspec.json.format(msgspec.json.encode(costs)) + b"\n")


async def measure() -> Costs:
    """Return the costs of Doable. Raises SystemExit if valgrind is not installed."""
    if not meters.is_installed():
        raise SystemExit(f"doable: {meters.MISSING}")
    with stage([]) as (database, _):
        folder = database.folder
        version, party = await statements.fill_doable(database)
        instructions = meters.Instructions(database, folder)
        wal = {verb: round(await meters.wal_bytes(database, party, verb)) for verb in WRITES}
        counted, ours = await asyncio.gather(_count(instructions, party), worker.instructions(database, party, folder))
    return Costs(
        version, ".".join(platform.python_version_tuple()[:2]), platform.machine(), counted,
        {cell: _thousands(value) for cell, value in ours.items()}, dict(wal),
    )  # fmt: skip


async def _count(instructions: meters.Instructions, party: Party) -> dict[str, float]:
    verbs = [verb for verb in VERBS if verb in party.verbs]
    counted = await asyncio.gather(*(instructions.count(party, verb) for verb in verbs))
    return dict(zip(verbs, map(_thousands, counted), strict=True))


def _thousands(value: float) -> float:
    return round(value / 1000, 1)


async def compare() -> None:
    """Print the cost in PostgreSQL of each statement of each server."""
    with stage([]) as (database, _):
        version, parties = await statements.fill(database)
        titles = [KINDS[party.name].title for party in parties]
        if meters.is_installed():
            instructions = meters.Instructions(database, database.folder)
            counted = [await _count(instructions, party) for party in parties]
            print(_table(f"k instructions of PostgreSQL {version}", titles, counted, ",.0f"), flush=True)
        else:
            print(f"Instructions are not measured: {meters.MISSING}", flush=True)
        wal = [{verb: await meters.wal_bytes(database, party, verb) for verb in WRITES} for party in parties]
        print(f"\n{_table('bytes of WAL', titles, wal, ',.0f')}", flush=True)
        spent = [await _spent(database, party) for party in parties]
        print(f"\n{_table('µs of PostgreSQL', titles, spent, ',.0f')}", flush=True)


async def _spent(database: Database, party: Party) -> dict[str, float]:
    verbs = [verb for verb in (*READS, *WRITES) if verb in party.verbs]
    return {verb: await meters.microseconds(database, party, verb) for verb in verbs}


def _table(unit: str, titles: list[str], found: list[dict[str, float]], form: str) -> str:
    verbs = [verb for verb in VERBS if verb in found[0]]
    rows = [[verb, *(format(one[verb], form) if verb in one else DASH for one in found)] for verb in verbs]
    return table([f"{unit} for a statement", *titles], rows)
