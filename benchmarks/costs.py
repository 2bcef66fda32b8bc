"""What a request costs, in figures that are the same on a busy machine: instructions, and bytes of PostgreSQL's log.

`make bench-statements` prints those of PostgreSQL for each statement, beside the peers'. `make bench-check` compares
them, and a worker's, with the recorded ones.
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
TOLERANCE = 0.03  # by how much a figure may be above the recorded one; two runs differ by less than 1 %
WORKER = "k instructions of the worker"
WORKER_TOLERANCE = 0.15  # the same for a worker, whose timers go by the clock
DASH = "–"


class Costs(Struct):
    """Figures for one request each, by what is asked, and what they depend on beside our code."""

    postgres: str
    python: str
    machine: str
    statement: dict[str, float]  # thousands of instructions of PostgreSQL
    worker: dict[str, float]  # thousands of instructions
    wal: dict[str, float]  # bytes

    @property
    def conditions(self) -> tuple[str, str, str]:
        """Figures of other conditions cannot be compared."""
        return self.postgres, self.python, self.machine

    def figures(self) -> dict[str, float]:
        """All figures, by a name that says what each is."""
        named = {
            "k instructions of PostgreSQL": self.statement, WORKER: self.worker,
            "bytes of WAL": self.wal,
        }  # fmt: skip
        return {f"{verb}, {unit}": value for unit, found in named.items() for verb, value in found.items()}


def worse(now: Mapping[str, float], recorded: Mapping[str, float]) -> dict[str, tuple[float, float]]:
    """The figures that are above the recorded ones by more than their tolerance, or are gone, with both."""
    both = {name: (now.get(name, float("inf")), before) for name, before in recorded.items()}
    return {name: (value, before) for name, (value, before) in both.items() if value > before * (1 + _tolerance(name))}


def _tolerance(name: str) -> float:
    return WORKER_TOLERANCE if name.endswith(WORKER) else TOLERANCE


def recorded() -> Costs:
    """The costs to hold."""
    return msgspec.json.decode(RECORDED.read_bytes(), type=Costs)


def record(costs: Costs) -> None:
    """Make these the costs to hold."""
    RECORDED.write_bytes(msgspec.json.format(msgspec.json.encode(costs)) + b"\n")


async def measure() -> Costs:
    """Doable's costs. Raises SystemExit without valgrind."""
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
    """Print what PostgreSQL spends on each statement of each party."""
    with stage([]) as (database, _):
        version, parties = await statements.fill(database)
        titles = [KINDS[party.name].title for party in parties]
        if meters.is_installed():
            instructions = meters.Instructions(database, database.folder)
            counted = [await _count(instructions, party) for party in parties]
            print(_table(f"k instructions of PostgreSQL {version}", titles, counted, ",.0f"), flush=True)
        else:
            print(f"Instructions are left out: {meters.MISSING}", flush=True)
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
