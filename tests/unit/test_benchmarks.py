"""The benchmark's own sums: a wrong one would be believed."""

from __future__ import annotations

import json
import math
import re
from xml.etree import ElementTree as ET

import pytest

from benchmarks import load, plot, report, results
from benchmarks.cells import MAIN
from benchmarks.load import Sample
from benchmarks.results import Results
from benchmarks.servers import HERE, ROOT

SAID = {"requests": 6000, "seconds": 2.0, "p50": 4.5, "p95": 9.0, "p99": 12.25, "refused": 0, "broken": 0}
REQUIREMENTS = sorted((HERE / "peers").glob("*/requirements.txt"))


def wrote(**figures: float) -> str:
    return f"Running 2s test @ http://127.0.0.1:1\n  Latency  4.50ms\n{json.dumps(SAID | figures)}\n"


@pytest.fixture
def found() -> Results:
    """A run of two servers, Doable at half of the floor's rate and at one and a half times its CPU."""
    samples = {
        "doable": [Sample(rate, 5, 8, 9, 150, 80) for rate in (900.0, 1000.0, 1100.0)],
        "floor": [Sample(2000.0, 3, 4, 5, 100, 40)],
    }
    return Results(
        load="wrk 4", users=4, rounds=3, seconds=1,
        cells={cell.name: samples for cell in MAIN},
        memory={"doable": 80.0, "floor": 60.0}, idle_memory={"doable": 70.0, "floor": 50.0},
        started_in={"doable": 0.9, "floor": 0.4}, commit="abc", machine="2 of a <CPU>",
    )  # fmt: skip


def test_what_wrk_said_becomes_a_rate_and_percentiles():
    assert load.parse(wrote()) == (Sample(3000.0, 4.5, 9.0, 12.25), 6000)


@pytest.mark.parametrize("fault", [{"refused": 1}, {"broken": 1}, {"requests": 0}])
def test_a_run_with_a_failure_has_no_figure(fault):
    with pytest.raises(ValueError, match="refused"):
        load.parse(wrote(**fault))


def test_a_request_is_complete_bytes_without_the_nul_that_parts_them():
    content = load.request("PATCH", "user-1", "/7", {"title": "Ä"}, If_None_Match='"3"')
    head, _, body = content.partition(b"\r\n\r\n")
    assert head.startswith(b"PATCH /api/user-1/tasks/7 HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ")
    assert b'If-None-Match: "3"' in head
    assert f"Content-Length: {len(body)}".encode() in head
    assert json.loads(body) == {"title": "Ä"}
    assert b"\0" not in content


def test_ratios_are_of_medians_and_missing_where_a_server_is(found):
    assert found.ratio("toggle", "doable", "floor") == 0.5
    assert found.ratio("toggle", "doable", "fastify") is None
    assert found.spread("toggle", "doable") == 0.1
    assert results.costs(found) == {cell.name: 1.5 for cell in MAIN}


def test_a_geometric_mean_is_of_those_that_were_measured():
    assert results.geometric_mean([2.0, None, 8.0]) == pytest.approx(4.0)
    assert results.geometric_mean([None]) is None


def test_a_ratio_may_be_worse_than_recorded_by_15_percent_and_no_more():
    recorded = {"one task": 2.0, "toggle": 2.0, "create": 2.0}
    now = {"one task": 2.29, "toggle": 2.31, "create": 1.0}
    assert results.worse(now, recorded) == {"toggle": (2.31, 2.0)}


def test_a_check_that_no_longer_measures_a_recorded_cell_fails():
    assert results.worse({"create": 1.0}, {"toggle": 2.0, "create": 1.0}) == {"toggle": (math.inf, 2.0)}


def test_the_tables_have_a_cell_for_each_server_in_each_row(found):
    for table in (report.rates(found), report.ratios(found), report.processor(found), report.footprint(found)):
        lines = table.splitlines()
        assert len({line.count("|") for line in lines}) == 1
    assert "| toggle | 1,000 ±10% (5.0/9) | 2,000 ±0% (3.0/5) |" in report.rates(found)
    assert "| toggle | 150 + 80 | 100 + 40 |" in report.processor(found)
    assert "| **geometric mean** | **0.50** |" in report.ratios(found)


def test_a_page_is_rewritten_between_its_markers_alone():
    page = "before\n<!-- benchmarks -->\nold\n<!-- /benchmarks -->\nafter\n"
    assert report.between(page, "new") == "before\n<!-- benchmarks -->\nnew\n<!-- /benchmarks -->\nafter\n"
    with pytest.raises(ValueError, match="there is no"):
        report.between("no markers", "new")


@pytest.mark.parametrize("path", [report.PAGE, report.README], ids=lambda path: path.name)
def test_the_pages_have_their_markers(path):
    assert report.between(path.read_text(), "")


def test_the_picture_is_well_formed_and_shows_every_bar(found):
    drawn = ET.fromstring(plot.svg(plot.groups(found), ["2 of a <CPU>", "& more"]))
    bars = [one for one in drawn.iter("{http://www.w3.org/2000/svg}rect") if one.get("height") == str(plot.BAR)]
    assert [bar.get("class") for bar in bars] == ["doable", "floor"] * len(MAIN)
    widths = [float(bar.get("width")) for bar in bars]
    assert widths[0] * 2 == pytest.approx(widths[1], abs=0.2)
    assert float(bars[1].get("x")) + widths[1] < plot.WIDTH


def test_the_picture_in_the_documentation_is_well_formed():
    assert ET.fromstring(plot.PICTURE.read_text()).tag.endswith("svg")


@pytest.mark.parametrize("path", REQUIREMENTS, ids=lambda path: path.parent.name)
def test_a_peer_in_python_is_pinned_by_hashes_and_names_no_host(path):
    lines = re.sub(r"\s*\\\n\s*", " ", path.read_text()).splitlines()
    assert lines
    assert all(re.match(r"[\w.-]+==\S+ .*--hash=sha256:", line) for line in lines)
    assert "://" not in path.read_text()


def test_the_peer_in_node_is_pinned_and_its_lock_names_no_registry():
    lock = json.loads((HERE / "peers" / "fastify" / "package-lock.json").read_text())
    wanted = json.loads((HERE / "peers" / "fastify" / "package.json").read_text())["dependencies"]
    assert all(re.fullmatch(r"[\d.]+", version) for version in wanted.values())
    packages = {name: one for name, one in lock["packages"].items() if name}
    assert all("integrity" in one and "resolved" not in one for one in packages.values())


def test_every_peer_says_what_was_tuned():
    peers = [path for path in (ROOT / "benchmarks" / "peers").iterdir() if not path.name.startswith("_")]
    assert len(peers) == 4
    assert all("Tuned:" in (peer / "README.md").read_text() for peer in peers)
