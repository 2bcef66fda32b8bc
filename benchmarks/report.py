"""Write the results as Markdown tables, for the reference, the README and the terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable, Sequence

from benchmarks import cells
from benchmarks.load import CONNECTIONS
from benchmarks.results import Results, geometric_mean
from benchmarks.servers import KINDS, ROOT

PAGE = ROOT / "docs" / "reference" / "benchmarks.md"
README = ROOT / "README.md"
MAIN = [cell.name for cell in cells.MAIN]
DASH = "–"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table. Its first column is aligned to the left, the others to the right."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _number(value: float | None, form: str = ",.0f") -> str:
    return DASH if value is None else format(value, form)


def _times(value: float | None) -> str:
    return DASH if value is None else f"{value:.2f}" if value < 10 else f"{value:.0f}"  # noqa: PLR2004 - two digits are sufficient


def _cell(results: Results, cell: str, server: str, figures: Callable[[str], str]) -> str:
    return figures(server) if results.median(cell, server, "rate") is not None else DASH


def ran(results: Results) -> list[str]:
    """Return the names of the measured servers, in the order of the table."""
    return [name for name in KINDS if name in results.memory]


def rates(results: Results) -> str:
    """Return the table of requests per second, with percentiles and spread."""

    def figures(cell: str) -> Callable[[str], str]:
        def of(server: str) -> str:
            rate, half, most = (results.median(cell, server, name) for name in ("rate", "p50", "p99"))
            spread = f" ±{results.spread(cell, server):.0%}" if results.rounds > 1 else ""
            return f"{_number(rate)}{spread} ({_number(half, '.1f')}/{_number(most, '.0f')})"

        return of

    names = ran(results)
    rows = [[cell, *(_cell(results, cell, name, figures(cell)) for name in names)] for cell in MAIN]
    return table(["requests a second (p50/p99 in ms)", *(KINDS[name].title for name in names)], rows)


def processor(results: Results) -> str:
    """Return the table of the CPU time per request, of the worker and of PostgreSQL, in microseconds."""
    names = ran(results)
    rows = [
        [cell, *(f"{_number(results.median(cell, name, 'worker'))} + {_number(results.median(cell, name, 'database'))}"
                 for name in names)]
        for cell in MAIN
    ]  # fmt: skip
    return table(["µs of CPU for a request, worker + PostgreSQL", *(KINDS[name].title for name in names)], rows)


def ratios(results: Results) -> str:
    """Return the table of Doable's rates as multiples of the other servers' rates, with geometric means."""
    others = [name for name in ran(results) if name != "doable"]
    columns = {name: [results.ratio(cell, "doable", name) for cell in MAIN] for name in others}
    rows = [[cell, *(_times(columns[name][row]) for name in others)] for row, cell in enumerate(MAIN)]
    rows.append(["**geometric mean**", *(f"**{_times(geometric_mean(columns[name]))}**" for name in others)])
    return table(["Doable's rate, as a multiple of", *(KINDS[name].title for name in others)], rows)


def scale(results: Results) -> str:
    """Return the table of long lists, deep pages, unchanged lists, a large table, and many users at the same time."""
    special = [cells.UNCHANGED, cells.WHOLE, *cells.DEPTH, *cells.NARROW, *cells.WIDE]
    rows = [
        [f"{cell.name}, {KINDS[name].title}", _number(results.median(cell.name, name, "rate")),
         *(_number(results.median(cell.name, name, figure), ".1f") for figure in ("p50", "p95", "p99")),
         _number(results.median(cell.name, name, "worker"))]
        for cell in special for name in ran(results) if results.median(cell.name, name, "rate") is not None
    ]  # fmt: skip
    if results.pace:
        rows += [
            ["list of 20, one user alone", "10", DASH, _number(results.pace.alone, ".1f"), DASH, DASH],
            ["list of 20, 100 users at one request a second", "100", DASH, _number(results.pace.together, ".1f"),
             DASH, DASH],
        ]  # fmt: skip
    return table(["", "requests a second", "p50 ms", "p95 ms", "p99 ms", "µs of a worker"], rows)


def footprint(results: Results) -> str:
    """Return the table of memory and start times."""
    rows = [
        [KINDS[name].title, _number(results.idle_memory[name]), _number(results.memory[name]),
         _number(results.started_in[name], ".2f")]
        for name in ran(results)
    ]  # fmt: skip
    return table(["", "MB resident, idle", "MB resident, after the load", "seconds from start to first answer"], rows)


def conditions(results: Results) -> str:
    """Return a paragraph with the conditions of the measurement."""
    rounds = "one round" if results.rounds == 1 else f"medians of {results.rounds} rounds"
    return wrapped(
        f"Measured at commit `{results.commit}` on {results.date}: {results.machine}, shared by the load, PostgreSQL "
        f"and the server. PostgreSQL {results.postgres}, Python {results.python}, Node {results.node}; {results.load}, "
        f"one thread, {CONNECTIONS} connections; {results.users} users with {cells.TASKS_EACH} tasks each; {rounds} of "
        f"{results.seconds} s, in turns."
    )


def page(results: Results) -> str:
    """Return all tables, as in the reference."""
    parts = [
        conditions(results),
        rates(results),
        ratios(results),
        processor(results),
        scale(results),
        footprint(results),
    ]
    if results.notes:
        parts.append("\n".join(f"- {note}" for note in results.notes))
    return "\n\n".join(parts)


def summary(results: Results) -> str:
    """Return the summary for the README: ratios, memory and start time."""
    others = [name for name in ran(results) if name != "doable"]
    means = {name: geometric_mean(results.ratio(cell, "doable", name) for cell in MAIN) for name in others}
    return wrapped(
        "Doable's rate as a multiple of each other server's, as a geometric mean of these six requests: "
        f"{'; '.join(f'{KINDS[name].title} {_times(mean)}' for name, mean in means.items())}. A worker takes "
        f"{results.memory['doable']:.0f} MB and answers {results.started_in['doable']:.1f} s after its start."
    )


def wrapped(text: str) -> str:
    """Return a paragraph, wrapped at 120 characters as in the other pages."""
    return textwrap.fill(text, 120, break_long_words=False, break_on_hyphens=False)


def between(text: str, content: str) -> str:
    """Return `text` with the part between its two markers replaced. Raises ValueError if the markers are missing."""
    begin, end = "<!-- benchmarks -->\n", "<!-- /benchmarks -->"
    before, opened, rest = text.partition(begin)
    _, closed, after = rest.partition(end)
    if not (opened and closed):
        raise ValueError(f"there is no {begin.strip()} … {end}")
    return f"{before}{begin}{content}\n{end}{after}"


def write(results: Results) -> None:
    """Write the tables into the reference, and the summary into the README."""
    for path, content in ((PAGE, f"\n{page(results)}\n"), (README, summary(results))):
        path.write_text(between(path.read_text(), content))
