"""The command line behind `make bench` and its relatives."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Mapping, Sequence

import msgspec

from benchmarks import cells, plot, report, results, runs, statements


def main() -> int:
    """Run a sub-command; return the process's exit code, 1 when a ratio got worse."""
    parser = argparse.ArgumentParser("benchmarks", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    run = commands.add_parser("run", help="measure all servers; write the page and the picture unless --quick")
    run.add_argument("--quick", action="store_true", help="two minutes: fewer users, one round, nothing written")
    run.set_defaults(command=_run)
    check = commands.add_parser("check", help="compare Doable's CPU for a request, as a multiple of the floor's")
    check.add_argument("--record", action="store_true", help="take today's ratios as those to hold")
    check.set_defaults(command=_check)
    again = commands.add_parser("report", help="write the page and the picture from the last run")
    again.set_defaults(command=_report)
    alone = commands.add_parser("statements", help="what PostgreSQL spends on each statement, and an update's parts")
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
    asyncio.run(statements.measure())
    return 0


def _check(options: argparse.Namespace) -> int:
    if options.record:
        now = _measured(runs.RECORD, cells.CHECKED)
        results.RECORDED.write_bytes(msgspec.json.format(msgspec.json.encode(now)) + b"\n")
        print(f"Recorded: {_listed(now)}.")
        return 0
    recorded = msgspec.json.decode(results.RECORDED.read_bytes(), type=dict[str, float])
    now = _measured(runs.CHECK, cells.CHECKED)
    failed = results.worse(now, recorded)
    if failed:  # once more: a busy machine errs now and then, and seldom twice in the same way
        print(f"Worse than recorded: {', '.join(failed)}; measuring again …")
        now |= _measured(runs.CHECK, [cell for cell in cells.CHECKED if cell.name in failed])
        failed = results.worse(now, {cell: recorded[cell] for cell in failed})
    print(f"Doable's CPU for a request, as a multiple of the floor's: {_listed(now)}; recorded: {_listed(recorded)}.")
    for cell, (ratio, before) in failed.items():
        print(f"{cell}: {ratio:.2f}, recorded {before:.2f}: worse by {ratio / before - 1:.0%}.", file=sys.stderr)
    return 1 if failed else 0


def _measured(plan: runs.Plan, asked: Sequence[cells.Cell]) -> dict[str, float]:
    return results.costs(runs.run(plan, ("doable", "floor"), asked))


def _listed(ratios: Mapping[str, float]) -> str:
    return ", ".join(f"{cell} {ratio:.2f}" for cell, ratio in ratios.items())


if __name__ == "__main__":
    sys.exit(main())
