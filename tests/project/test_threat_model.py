"""The threat model names tests that exist, and covers each entry of the lists that it follows."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "explanation" / "threat-model.md"
OWASP = [f"API{number}" for number in range(1, 11)]
RFC_8725 = [f"3.{number}" for number in range(1, 13)]
NAMED = re.compile(r"`(tests/[\w/]+\.py)::([\w:]+)`")
MENTIONED = re.compile(r"tests/\S+")
LINES = [line for line in PAGE.read_text().splitlines() if line.startswith("| ")]
ROWS = [row for line in LINES if (row := [cell.strip() for cell in line.split("|")[1:-1]])[-1] != "Tests"]


@cache
def names_in(path: str) -> frozenset[str]:
    """Return the tests of a file, those of a class as `TestClass::test_name`, without running it."""
    return frozenset(_tests(ast.parse((ROOT / path).read_text()).body, ""))


def _tests(body: list[ast.stmt], prefix: str) -> Iterator[str]:
    for node in body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name.startswith("test_"):
            yield prefix + node.name
        elif isinstance(node, ast.ClassDef) and node.name.startswith("Test"):
            yield from _tests(node.body, f"{prefix}{node.name}::")


def test_every_test_that_is_named_exists():
    for path, name in sorted(set(NAMED.findall(PAGE.read_text()))):
        assert (ROOT / path).is_file(), path
        assert name in names_in(path), f"{path}::{name}"


def test_every_mention_of_a_test_is_checked():
    assert len(MENTIONED.findall(PAGE.read_text())) == len(NAMED.findall(PAGE.read_text())) > 0


def test_every_line_of_the_lists_has_a_row_in_their_order():
    assert [row[0] for row in ROWS if re.fullmatch(r"API\d+|3\.\d+", row[0])] == OWASP + RFC_8725


def test_every_row_names_a_test_or_says_that_nothing_is_covered():
    for row in ROWS:
        does, tests = row[-2:]
        assert NAMED.search(tests) or does.startswith("Not covered."), row[0]
