"""The results of a run, and ratios of them. Only the ratios can be compared with those of another machine or hour."""

from __future__ import annotations

import platform
import statistics
import subprocess
from collections.abc import Iterable
from datetime import datetime, timezone
from pathlib import Path

import msgspec
import psutil
from msgspec import Struct, field

from benchmarks.load import Sample
from benchmarks.servers import HERE, ROOT

LATEST = HERE / ".results" / "latest.json"


class Pace(Struct):
    """The 95th percentile, in milliseconds, for one user alone, and for 100 users with one request per second each."""

    alone: float
    together: float


class Results(Struct):
    """All results of a run, and its conditions."""

    load: str
    users: int
    rounds: int
    seconds: int
    cells: dict[str, dict[str, list[Sample]]] = field(default_factory=dict)  # by cell and server; one sample per round
    memory: dict[str, float] = field(default_factory=dict)  # MB, after the load
    idle_memory: dict[str, float] = field(default_factory=dict)  # MB, before it
    started_in: dict[str, float] = field(default_factory=dict)  # seconds
    notes: list[str] = field(default_factory=list)
    pace: Pace | None = None
    postgres: str = ""
    commit: str = field(default_factory=lambda: commit())
    date: str = field(default_factory=lambda: datetime.now(timezone.utc).strftime("%Y-%m-%d"))
    machine: str = field(default_factory=lambda: machine())
    python: str = field(default_factory=platform.python_version)
    node: str = field(default_factory=lambda: _said("node", "--version").removeprefix("v"))

    def median(self, cell: str, server: str, figure: str) -> float | None:
        """Return the median of the rounds; None if it was not measured."""
        samples = self.cells.get(cell, {}).get(server)
        return statistics.median(getattr(sample, figure) for sample in samples) if samples else None

    def spread(self, cell: str, server: str) -> float:
        """Return half of the difference between the best and the worst rate, as a share of the median."""
        rates = [sample.rate for sample in self.cells[cell][server]]
        return (max(rates) - min(rates)) / 2 / statistics.median(rates)

    def ratio(self, cell: str, server: str, other: str, figure: str = "rate") -> float | None:
        """Return the figure of `server` as a multiple of that of `other`; None if one is missing."""
        ours, theirs = self.median(cell, server, figure), self.median(cell, other, figure)
        return ours / theirs if ours is not None and theirs else None


def geometric_mean(ratios: Iterable[float | None]) -> float | None:
    """Return the geometric mean of the known ratios; None if there is none."""
    known = [ratio for ratio in ratios if ratio is not None]
    return statistics.geometric_mean(known) if known else None


def machine() -> str:
    """Return the number and model of the CPUs, and the operating system."""
    models = {
        line.partition(":")[2].strip()
        for path in [Path("/proc/cpuinfo")]
        if path.exists()
        for line in path.read_text().splitlines()
        if line.startswith("model name")
    }
    return f"{psutil.cpu_count()} × {', '.join(sorted(models)) or platform.machine()}, {platform.system()}"


def commit() -> str:
    """Return the current commit, and whether the measured code has uncommitted changes."""
    changed = _said("git", "status", "--porcelain", "--", "service", "benchmarks/peers", "requirements.txt")
    return _said("git", "rev-parse", "--short=10", "HEAD") + (" with changes" if changed else "")


def _said(*command: str) -> str:
    try:
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""


def save(results: Results) -> None:
    """Store the results of a run for `make bench-report`."""
    LATEST.parent.mkdir(exist_ok=True)
    LATEST.write_bytes(msgspec.json.format(msgspec.json.encode(results)))


def latest() -> Results:
    """Return the results of the last run. Raises SystemExit if there are none."""
    if not LATEST.exists():
        raise SystemExit("doable: there are no results yet; run `make bench` first.")
    return msgspec.json.decode(LATEST.read_bytes(), type=Results)
