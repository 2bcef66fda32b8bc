"""Draw the chart: horizontal bars as SVG, readable on light and dark backgrounds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple
from xml.sax.saxutils import escape

from benchmarks import cells
from benchmarks.load import CONNECTIONS
from benchmarks.report import ran
from benchmarks.results import Results
from benchmarks.servers import KINDS, ROOT

PICTURE = ROOT / "docs" / "benchmarks.svg"
WIDTH, LEFT, RIGHT = 860, 112, 84
TOP, BAR, GAP, GROUP = 92, 13, 3, 18  # heights in pixels

STYLE = """
  .ground { fill: #ffffff; stroke: #d8dee4 }
  text { font: 12px system-ui, -apple-system, 'Segoe UI', Helvetica, Arial, sans-serif; fill: #57606a }
  .title { font-size: 16px; font-weight: 600; fill: #1f2328 }
  .cell { font-size: 13px; font-weight: 600; fill: #1f2328; text-anchor: end }
  .value { font-size: 11px; font-variant-numeric: tabular-nums }
  .doable.value { font-weight: 700; fill: #0a7d4b }
  .foot { font-size: 11px }
  .axis { stroke: #d8dee4 }
  rect.doable { fill: #12a366 } rect.floor { fill: none; stroke: #8c959f; stroke-dasharray: 3 2 }
  rect.fastify_equal { fill: #2f5fc4 } rect.fastify { fill: #8fb2f5 }
  rect.fastapi_asyncpg { fill: #b08bd9 } rect.fastapi_psycopg2 { fill: #d9a05b }
  @media (prefers-color-scheme: dark) {
    .ground { fill: #0d1117; stroke: #30363d } text { fill: #9198a1 } .title, .cell { fill: #f0f6fc }
    .doable.value { fill: #3fcf8e } .axis { stroke: #30363d } rect.doable { fill: #2bb673 }
  }
"""


class Bar(NamedTuple):
    """The rate of one server in one cell, in requests per second."""

    server: str
    rate: float


def groups(results: Results) -> list[tuple[str, list[Bar]]]:
    """Return the bars of each main cell, in the order of the table."""
    found = []
    for cell in cells.MAIN:
        measured = [(name, results.median(cell.name, name, "rate")) for name in ran(results)]
        found.append((cell.name, [Bar(name, rate) for name, rate in measured if rate is not None]))
    return [(name, bars) for name, bars in found if bars]


def svg(found: Sequence[tuple[str, Sequence[Bar]]], caption: Sequence[str]) -> str:
    """Return the chart of these groups of bars as SVG, with the lines of `caption` at the bottom."""
    most = max(bar.rate for _, bars in found for bar in bars)
    scale = (WIDTH - LEFT - RIGHT) / most
    parts, y = [], TOP
    for name, bars in found:
        middle = y + len(bars) * (BAR + GAP) / 2
        parts.append(f'<text class="cell" x="{LEFT - 12}" y="{middle + 3:.0f}">{escape(name)}</text>')
        for bar in bars:
            width = max(1.0, bar.rate * scale)
            end, line = f"{LEFT + width + 6:.1f}", y + BAR - 2.5
            parts.append(
                f'<rect class="{bar.server}" x="{LEFT}" y="{y}" width="{width:.1f}" height="{BAR}" rx="2"/>'
                f'<text class="{bar.server} value" x="{end}" y="{line}">{bar.rate:,.0f}</text>'
            )
            y += BAR + GAP
        y += GROUP
    height = y + 12 + 16 * len(caption)
    frame = f'xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"'
    title = "Requests a second, one process each (longer is better)"
    return "\n".join(
        [
            f'<svg {frame} role="img" aria-label="{title}">',
            f"<style>{STYLE}</style>",
            f'<rect class="ground" x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1}" rx="8"/>',
            f'<text class="title" x="24" y="34">{title}</text>',
            *_legend(found),
            f'<line class="axis" x1="{LEFT}" y1="{TOP - 8}" x2="{LEFT}" y2="{y - GROUP + 4}"/>',
            *parts,
            *(
                f'<text class="foot" x="24" y="{y + 8 + 16 * line}">{escape(text)}</text>'
                for line, text in enumerate(caption)
            ),
            "</svg>\n",
        ]
    )


def _legend(found: Sequence[tuple[str, Sequence[Bar]]]) -> list[str]:
    parts, x = [], 24
    for bar in found[0][1]:
        title = KINDS[bar.server].title
        parts.append(
            f'<rect class="{bar.server}" x="{x}" y="50" width="12" height="12" rx="2"/>'
            f'<text x="{x + 18}" y="60.5">{escape(title)}</text>'
        )
        x += 44 + round(6.4 * len(title))
    return parts


def draw(results: Results) -> None:
    """Write the chart for the README."""
    beside = f"PostgreSQL {results.postgres} and the load of {CONNECTIONS} connections"
    caption = [
        f"{results.machine}, shared with {beside}; commit {results.commit}, {results.date}",
        "The floor is what Sanic and asyncpg cost alone, without validation, versions, headers or logs.",
    ]
    PICTURE.write_text(svg(groups(results), caption))
