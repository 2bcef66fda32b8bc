"""Measure the speed of Doable and its peers. This is the command line of `make bench` and similar targets."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Mapping

from benchmarks import cells, costs, plot, report, results, runs


def main() -> int:
    """Run a sub-command. Return the process's exit code: 1 if a request costs more than recorded."""
    parser = argparse.ArgumentParser("benchmarks", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    run = commands.add_parser("run", help="measure all servers; write the page and the chart unless --quick")
    run.add_argument("--quick", action="store_true", help="two minutes: fewer users and rounds, no page or chart")
    run.set_defaults(command=_run)
    check = commands.add_parser(
        "check", help="compare the instructions and the WAL of a request with the recorded ones"
    )
    check.add_argument("--record", action="store_true", help="record the current figures")
    check.set_defaults(command=_check)
    again = commands.add_parser("report", help="write the page and the chart of the last run")
    again.set_defaults(command=_report)
    alone = commands.add_parser("statements", help="print the cost of each statement in PostgreSQL")
    alone.set_defaults(command=_statements)
    options = parser.parse_args()
    return int(options.command(options))


def _run(options: argparse.Namespace) -> int:
    found = runs.run(runs.QUICK if options.quick else runs.FULL, cells.EVERYBODY, cells.MAIN)
    results.save(found)
    print(f"\n{report.page(found)}")
    return 0 if options.quick else _report(options)


def _report(_options: argparse.Namespace) -> int:
    found = results.latest()
    report.write(found)
    plot.draw(found)
    return 0


def _statements(_options: argparse.Namespace) -> int:
    asyncio.run(costs.compare())
    return 0


def _check(options: argparse.Namespace) -> int:
    now = asyncio.run(costs.measure())
    if options.record:
        costs.record(now)
        print(f"Recorded: {_listed(now.figures())}.")
        return 0
    before = costs.recorded()
    if now.conditions != before.conditions:
        here, there = " ".join(now.conditions), " ".join(before.conditions)
        print(
            f"The figures were recorded on {there}, and cannot be compared with {here}. RECORD=1 records new figures.",
            file=sys.stderr,
        )
        return 1
    failed = costs.worse(now.figures(), before.figures())
    print(f"{_listed(now.figures())}.")
    for name, (value, recorded) in failed.items():
        more = f"more by {value / recorded - 1:.1%}"
        print(f"{name}: {value:,.1f}, recorded {recorded:,.1f}: {more}.", file=sys.stderr)
    return 1 if failed else 0


def _listed(figures: Mapping[str, float]) -> str:
    return "; ".join(f"{name}: {value:,.0f}" for name, value in figures.items())


if __name__ == "__main__":
    sys.exit(main())
