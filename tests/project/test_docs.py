"""The documentation agrees with the code: everything that can be listed in the code is in the documentation.

`PYTHONPATH=. .venv/bin/python tests/project/test_docs.py` prints the tables of settings and errors, for pasting.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import fields

from service import __main__ as command_line
from service import telemetry
from service.config import Settings
from service.errors import FieldError, InvalidInputError
from service.tasks import schemas
from service.tasks.listing import ListParameters
from service.web.codes import PROBLEMS
from service.web.problems import ProblemDetails, details

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "docs" / "reference"
PAGES = sorted(
    page
    for page in ROOT.rglob("*.md")
    if not any(part.startswith(".") or part == "node_modules" for part in page.relative_to(ROOT).parts)
)
SETTINGS = dataclasses.fields(Settings)
UPKEEP = frozenset({"HEAD", "OPTIONS"})  # documented once for all routes
FENCE = re.compile(r"^ *```(\w*)\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
PROBLEM_MEMBERS = [field.encode_name for field in fields(ProblemDetails)]
LINK = re.compile(r"\[[^\]]*\]\(<?([^)>\s]+)>?\)")


def default(setting: dataclasses.Field[Any]) -> str:
    """Return a setting's default as a user would write it; empty if it has none."""
    value = setting.default
    if isinstance(value, bool):
        return "1" if value else "0"
    return f"{value:g}" if isinstance(value, float) else "" if value == () else str(value)


def values(setting: dataclasses.Field[Any]) -> str:
    """Return the valid values of a setting, in the words of its error text."""
    try:
        setting.metadata["parse"]("\x7f")
    except ValueError as error:
        return str(error).partition("; entry ")[0]
    return "text"


def setting_row(setting: dataclasses.Field[Any]) -> str:
    shown = f"`{default(setting)}`" if default(setting) else "not set"
    return f"| `{setting.name.upper()}` | {shown} | {values(setting)} | {setting.metadata['help']} |"


def problem_rows() -> list[str]:
    return [f"| {one.status} | `{one.code}` | {one.title} | {one.when} |" for one in PROBLEMS.values()]


def rows(page: str, pattern: str) -> list[tuple[str, ...]]:
    """Return the cells that match `pattern`, for each table row of a page."""
    return re.findall(rf"^\| {pattern} \|", (REFERENCE / page).read_text(), re.MULTILINE)


def routes(app) -> set[tuple[str, str]]:
    return {
        (method, route.ctx.template)
        for route in app.router.routes
        for method in route.ctx.allow
        if method not in UPKEEP
    }


def commands() -> dict[str, argparse.ArgumentParser]:
    actions = command_line._parser()._actions
    return next(action.choices for action in actions if isinstance(action, argparse._SubParsersAction))


def headings(text: str) -> Iterator[str]:
    """Return the anchors of a page's headings, as GitHub creates them."""
    for heading in re.findall(r"^#{1,6} (.+)$", FENCE.sub("", text), re.MULTILINE):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        yield re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")


def test_every_setting_is_in_the_reference_with_its_default_values_and_meaning():
    lines = (REFERENCE / "settings.md").read_text().splitlines()
    assert [row for row in map(setting_row, SETTINGS) if row not in lines] == []


def test_the_reference_names_no_setting_that_does_not_exist():
    named = rows("settings.md", "`([A-Z][A-Z_]+)`")
    assert sorted(named) == sorted(setting.name.upper() for setting in SETTINGS)


def test_every_setting_is_once_in_the_example_environment():
    lines = (ROOT / ".env.example").read_text().splitlines()
    for setting in SETTINGS:
        stands = [line for line in lines if re.match(rf"#? ?{setting.name.upper()}=", line)]
        assert len(stands) == 1, setting.name
        if default(setting):
            assert stands == [f"# {setting.name.upper()}={default(setting)}"]


def test_the_example_environment_can_be_read_by_the_service():
    lines = (ROOT / ".env.example").read_text().splitlines()
    pairs = [line.removeprefix("# ").split("=", 1) for line in lines if re.match(r"(# )?[A-Z_]+=", line)]
    example = Settings.from_environ({name: value.strip("'\"") for name, value in pairs})
    example.require_issuer()
    example.require_database()


def test_the_reference_lists_exactly_the_routes_of_the_router(app, server):
    assert set(rows("api.md", r"`([A-Z]+)` \| `([^`]+)`")) == routes(app)


def test_the_readme_names_only_routes_of_the_router(app, server):
    named = re.findall(r"^\| `([A-Z]+)` \| `([^`]+)` \|", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert named
    assert set(named) <= routes(app)


def test_the_reference_lists_exactly_the_problems():
    found = [
        line for line in (REFERENCE / "errors.md").read_text().splitlines() if re.match(r"\| \d+ \| `[a-z_]+` \|", line)
    ]
    assert found == problem_rows()


@pytest.mark.parametrize("name", commands())
def test_a_command_has_a_section_that_names_its_options(name):
    page = (REFERENCE / "command-line.md").read_text()
    section = re.search(rf"^## doable {name}\n(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL)
    assert section
    options = {option for action in commands()[name]._actions for option in action.option_strings} - {"-h", "--help"}
    assert options <= set(re.findall(r"`(--[a-z-]+)`", section[1]))


def test_every_field_of_a_task_is_in_the_reference():
    assert rows("tasks.md", "`([a-z_]+)`") == [field.encode_name for field in fields(schemas.Task)]


def test_every_parameter_of_a_list_is_in_the_reference():
    first_table = (REFERENCE / "listing.md").read_text().partition("\n## ")[0]
    named = re.findall(r"^\| `([a-z_]+)` \|", first_table, re.MULTILINE)
    assert named == [field.encode_name for field in fields(ListParameters)]


async def test_every_column_and_index_is_in_the_data_model(connection):
    page = (REFERENCE / "data-model.md").read_text()
    for table in ("users", "tasks", "lists", "idempotency_keys"):
        columns = await connection.fetch("SELECT attname FROM pg_attribute WHERE attrelid = $1::regclass "
                                         "AND attnum > 0 AND NOT attisdropped ORDER BY attnum", table)  # fmt: skip
        section = re.search(rf"^## `{table}`\n(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL)
        assert section
        named = re.findall(r"^\| `([a-z_]+)` \|", section[1], re.MULTILINE)
        assert named == [column["attname"] for column in columns]
    indexes = await connection.fetch("SELECT indexname FROM pg_indexes WHERE tablename = 'tasks'")
    assert {index["indexname"] for index in indexes} == set(re.findall(r"^\| `(tasks_[a-z_]+)`", page, re.MULTILINE))


def objects(page: Path) -> Iterator[dict[str, Any]]:
    """Return the JSON objects in a page's fenced blocks: whole blocks, single lines, and the output of commands."""
    for _language, block in FENCE.findall(page.read_text()):
        outputs = re.split(r"^ *\$ .*$", block, flags=re.MULTILINE)
        for text in (*outputs, *block.splitlines()):
            with contextlib.suppress(ValueError):
                found = json.loads(text)
                if isinstance(found, dict):
                    yield found


def problems(found: Any) -> Iterator[dict[str, Any]]:
    """Return the problems in a JSON value, at any depth."""
    if isinstance(found, list):
        for part in found:
            yield from problems(part)
    elif isinstance(found, dict):
        if str(found.get("type", "")).startswith("urn:doable:problem:"):
            yield found
        for part in found.values():
            yield from problems(part)


def test_every_problem_in_a_page_has_the_form_that_the_service_gives():
    shown = [(page.name, problem) for page in PAGES for found in objects(page) for problem in problems(found)]
    assert len({page for page, _problem in shown}) > 5
    for page, problem in shown:
        kind = PROBLEMS[problem["code"]]
        assert (problem["type"], problem["title"], problem["status"]) == (
            f"urn:doable:problem:{kind.code}", kind.title, kind.status,
        ), page  # fmt: skip
        assert [name for name in PROBLEM_MEMBERS if name in problem] == list(problem), page
        if "errors" in problem:
            faults = [FieldError(fault["field"], fault["message"]) for fault in problem["errors"]]
            assert problem["detail"] == InvalidInputError(faults).detail, page


def test_every_list_of_known_fields_in_a_page_is_one_that_the_service_gives():
    lists = {", ".join(field.encode_name for field in fields(kind)) for kind in structs(msgspec.Struct)}
    shown = [
        (page.name, known) for page in PAGES for known in re.findall(r"known names: ([a-z_, ]+)", page.read_text())
    ]
    assert shown
    assert [(page, known) for page, known in shown if known not in lists] == []


def structs(kind: type[msgspec.Struct]) -> Iterator[type[msgspec.Struct]]:
    """Return all request types, and some others."""
    for subclass in kind.__subclasses__():
        yield subclass
        yield from structs(subclass)


def test_the_error_in_the_reference_is_the_one_that_the_service_gives():
    example = next(found for found in objects(REFERENCE / "errors.md") if "errors" in found)
    with pytest.raises(InvalidInputError) as raised:
        schemas.read_draft(b'{"titel": "Feed the cat", "priority": "urgent"}')
    given = msgspec.to_builtins(details(PROBLEMS["validation_error"], raised.value.detail, "any", raised.value))
    assert {**example, "request_id": "any"} == given


def test_no_page_names_a_migration():
    """Names of migrations become outdated with each new migration."""
    named = [(page.name, name) for page in PAGES for name in re.findall(r"\b\d+_\d{14}_\w+", page.read_text())]
    assert named == []


def test_the_architecture_names_every_module_of_the_layers():
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    modules = {module for layer in layers for module in layer.split(" | ")}
    page = (ROOT / "docs" / "explanation" / "architecture.md").read_text()
    assert {
        name for row in re.findall(r"^\| \w+ \| (`.+?) \|", page, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)
    } == modules


def test_relative_links_have_a_target():
    for page in PAGES:
        for link in LINK.findall(FENCE.sub("", page.read_text())):
            if re.match(r"[a-z]+:", link):
                continue
            path, _, anchor = link.partition("#")
            target = (page.parent / path).resolve() if path else page
            assert target.exists(), f"{page.name}: {link}"
            assert not anchor or anchor in headings(target.read_text()), f"{page.name}: {link}"


def test_every_page_is_linked_from_an_index():
    indexes = [ROOT / "README.md", ROOT / "docs" / "README.md", ROOT / "docs" / "decisions" / "README.md"]
    linked = {
        (index.parent / link.partition("#")[0]).resolve()
        for index in indexes
        for link in LINK.findall(index.read_text())
    }
    assert {*(ROOT / "docs").rglob("*.md")} <= linked


def metric_names() -> dict[str, str]:
    """Return the kind of every metric, by the name at the start of its samples."""
    written = telemetry.text([telemetry.Figures()], telemetry.Figures(), "1").decode()
    return dict(re.findall(r"^# TYPE (\w+) (\w+)$", written, re.MULTILINE))


def test_the_reference_lists_exactly_the_metrics_and_their_kinds():
    assert dict(rows("metrics.md", r"`(\w+)` \| (\w+)")) == metric_names()


def queried(text: str) -> set[str]:
    """Return the metrics in a PromQL expression, without the suffixes of histograms."""
    return {re.sub(r"_(bucket|sum|count)$", "", name) for name in re.findall(r"\b(?:doable|process)_\w+", text)}


def test_the_dashboard_can_be_read_and_asks_only_for_metrics_that_exist():
    dashboard = json.loads((ROOT / "docs" / "how-to" / "grafana-dashboard.json").read_text())
    asked = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    asked += [variable["query"] for variable in dashboard["templating"]["list"]]
    assert all(expression.count("(") == expression.count(")") for expression in asked)
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
    assert {name for name in metric_names() if name.startswith("doable_")} == {
        name for name in queried("\n".join(asked)) if name.startswith("doable_")
    }
    assert queried("\n".join(asked)) <= set(metric_names())


def test_the_alerts_ask_only_for_metrics_that_exist():
    page = (ROOT / "docs" / "how-to" / "monitor.md").read_text()
    expressions = re.findall(r"^ *expr: (.+)$", page, re.MULTILINE)
    assert expressions
    assert queried("\n".join(expressions)) <= set(metric_names())


def test_make_commands_of_the_readme_are_targets():
    blocks = [block for _language, block in FENCE.findall((ROOT / "README.md").read_text())]
    named = [name for block in blocks for name in re.findall(r"^ *(?:\$ )?make ([a-z-]+)", block, re.MULTILINE)]
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert named[:2] == ["run", "test"]
    assert set(named) <= targets


if __name__ == "__main__":
    print("\n".join([*map(setting_row, SETTINGS), "", *problem_rows()]))
