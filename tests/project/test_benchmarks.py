"""The calculations of the benchmark, because a wrong result would be believed."""

from __future__ import annotations

import json
import re
import shutil
from datetime import date
from xml.etree import ElementTree as ET

import pytest

from benchmarks import costs, load, meters, plot, report, results, statements, worker
from benchmarks.cells import MAIN
from benchmarks.costs import Costs
from benchmarks.load import Sample
from benchmarks.results import Results
from benchmarks.servers import HERE, KINDS, ROOT
from benchmarks.statements import Execution, Party

SAID = {"requests": 6000, "seconds": 2.0, "p50": 4.5, "p95": 9.0, "p99": 12.25, "refused": 0, "broken": 0}
REQUIREMENTS = sorted((HERE / "peers").glob("*/requirements.txt"))
PACKAGES = sorted((HERE / "peers").glob("*/package.json"))


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


def test_the_output_of_wrk_becomes_a_rate_and_percentiles():
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


def test_ratios_compare_medians_and_are_missing_without_a_server(found):
    assert found.ratio("toggle", "doable", "floor") == 0.5
    assert found.ratio("toggle", "doable", "fastify") is None
    assert found.spread("toggle", "doable") == 0.1


def test_a_geometric_mean_is_of_those_that_were_measured():
    assert results.geometric_mean([2.0, None, 8.0]) == pytest.approx(4.0)
    assert results.geometric_mean([None]) is None


def test_a_figure_may_be_above_the_recorded_one_by_3_percent_and_no_more():
    recorded = {"find": 100.0, "toggle": 100.0, "create": 100.0}
    assert costs.worse({"find": 102.9, "toggle": 103.1, "create": 50.0}, recorded) == {"toggle": (103.1, 100.0)}


def test_a_worker_s_figure_may_be_above_the_recorded_one_by_15_percent():
    name = "toggle, k instructions of the worker"
    assert costs.worse({name: 114.9}, {name: 100.0}) == {}
    assert costs.worse({name: 115.1}, {name: 100.0}) == {name: (115.1, 100.0)}


def test_a_check_that_no_longer_measures_a_recorded_figure_fails():
    assert costs.worse({"create": 1.0}, {"toggle": 2.0, "create": 1.0}) == {"toggle": (float("inf"), 2.0)}


def test_costs_name_each_figure_with_its_unit():
    found = Costs("18.6", "3.11", "x86_64", {"toggle": 1.5}, {"toggle": 2.5}, {"toggle": 900})
    assert found.figures() == {
        "toggle, k instructions of PostgreSQL": 1.5,
        "toggle, k instructions of the worker": 2.5,
        "toggle, bytes of WAL": 900,
    }


def test_the_recorded_figures_cover_every_statement_every_request_and_the_log_of_every_write():
    recorded = costs.recorded()
    assert list(recorded.statement) == list(statements.VERBS)
    assert list(recorded.worker) == [cell.name for cell in worker.CELLS]
    assert list(recorded.wal) == list(statements.WRITES)


async def test_the_statements_are_those_that_the_managers_send(server):
    party = Party("doable", statements.DOABLE, [("user-1", 5), ("user-2", 6)])
    for verb in statements.VERBS:
        first, second = await party.executions(verb, 2)
        assert first.text == second.text
        assert (first.arguments[0], second.arguments[0]) == ("user-1", "user-2")
    find, _ = await party.executions("one task", 2)
    assert find.arguments == ("user-1", 5)


async def test_updates_of_the_same_task_differ_so_that_each_writes(server):
    party = Party("doable", statements.DOABLE, [("user-1", 5)])
    first, second = await party.executions("update", 2, tasks=1)
    assert first.arguments != second.arguments


@pytest.mark.parametrize("verbs", [statements._floor(), statements._fastify_equal()], ids=["floor", "fastify_equal"])
async def test_a_peer_s_statement_has_an_argument_for_each_parameter(verbs):
    party = Party("peer", verbs, [("user-1", 5)])
    for verb in verbs:
        (execution,) = await party.executions(verb, 1)
        assert {f"${number}" for number, _ in enumerate(execution.arguments, 1)} == {
            *re.findall(r"\$\d+", execution.text)
        }


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (None, "NULL"), (True, "true"), (7, "'7'"), ("it's", "'it''s'"), ((), "'{}'"),
        (date(2026, 12, 24), "'2026-12-24'"),
        (["a", 'b"\\', None], """'{"a","b\\"\\\\",NULL}'"""), (b"\x01\xff", "'\\x01ff'"),
    ],
)  # fmt: skip
def test_a_value_is_written_as_sql(value, written):
    assert meters.literal(value) == written


def test_a_script_prepares_a_statement_once_and_executes_it_with_each_set_of_arguments():
    text = "\nSELECT $1  -- a comment\n"
    assert meters.script([Execution(text, ("a",)), Execution(text, (None,))]) == (
        "SET plan_cache_mode = force_generic_plan;\n\nPREPARE it AS SELECT $1  -- a comment\n;\n\n"
        "EXECUTE it('a');\n\nEXECUTE it(NULL);\n\n"
    )


@pytest.mark.skipif(shutil.which("valgrind") is not None, reason="valgrind is installed")
async def test_a_check_without_valgrind_says_how_to_install_it():
    with pytest.raises(SystemExit, match="apt-get install valgrind"):
        await costs.measure()


def test_the_tables_have_a_cell_for_each_server_in_each_row(found):
    for table in (report.rates(found), report.ratios(found), report.processor(found), report.footprint(found)):
        lines = table.splitlines()
        assert len({line.count("|") for line in lines}) == 1
    assert "| toggle | 1,000 ±10% (5.0/9) | 2,000 ±0% (3.0/5) |" in report.rates(found)
    assert "| toggle | 150 + 80 | 100 + 40 |" in report.processor(found)
    assert "| **geometric mean** | **0.50** |" in report.ratios(found)


def test_a_page_is_rewritten_only_between_its_markers():
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


@pytest.mark.parametrize("path", PACKAGES, ids=lambda path: path.parent.name)
def test_a_peer_in_node_is_pinned_and_its_lock_names_no_registry(path):
    lock = json.loads(path.with_name("package-lock.json").read_text())
    wanted = json.loads(path.read_text())["dependencies"]
    assert all(re.fullmatch(r"[\d.]+", version) for version in wanted.values())
    packages = {name: one for name, one in lock["packages"].items() if name}
    assert all("integrity" in one and "resolved" not in one for one in packages.values())


def test_every_peer_says_what_was_tuned():
    peers = [path for path in (ROOT / "benchmarks" / "peers").iterdir() if not path.name.startswith("_")]
    assert {peer.name for peer in peers} == {*KINDS} - {"doable"}
    assert all("Tuned:" in (peer / "README.md").read_text() for peer in peers)
