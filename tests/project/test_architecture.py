"""The rules for the code: imports, access to the environment, the length of modules, and reasons for exceptions."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
SERVICE = sorted((ROOT / "service").rglob("*.py"))
WRITTEN = [
    path
    for folder in ("service", "tests", "aerich", "benchmarks")
    for path in sorted((ROOT / folder).rglob("*.py"))
    if not any(part.startswith(".") or part == "node_modules" for part in path.relative_to(ROOT).parts)
]
HTTP_METHODS = {"get", "post", "put", "patch", "delete", "head", "options", "route"}
EXCUSE = re.compile(r"#\s*(noqa\b(?::\s*[A-Z]+[0-9]+(?:,\s*[A-Z]+[0-9]+)*)?|type:\s*ignore(?:\[[a-z, -]+\])?)(.*)")


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), filename=str(path))


@cache
def nodes(path: Path) -> list[ast.AST]:
    return [*ast.walk(tree(path))]


def comments(path: Path) -> list[str]:
    """Return the comments of a file with an excuse; text about comments in strings does not count.

    A file without the text of an excuse has no such comment. To read the tokens of all files takes a second.
    """
    if not EXCUSE.search(path.read_text()):
        return []
    tokens = tokenize.generate_tokens(io.StringIO(path.read_text()).readline)
    return [token.string for token in tokens if token.type == tokenize.COMMENT]


def excuses(comment: str) -> list[tuple[str, str]]:
    """Return each exception (`noqa` and the like) in a comment, with its reason."""
    found = []
    while excuse := EXCUSE.search(comment):
        rest = excuse.group(2)
        following = EXCUSE.search(rest)
        found.append((excuse.group(1), rest[: following.start()] if following else rest))
        comment = rest
    return found


def test_only_the_edge_of_the_process_reads_the_environment():
    readers = {
        name(path)
        for path in SERVICE
        for node in nodes(path)
        if (isinstance(node, ast.Attribute) and node.attr in {"environ", "environb", "getenv", "putenv"})
        or (isinstance(node, ast.ImportFrom) and node.module == "os")
    }
    assert readers <= {"service/config/__init__.py", "service/__main__.py"}
    assert readers, "or this test does not see what it looks for"


def test_the_migrations_folder_is_no_package_that_would_hide_aerich_itself():
    assert not (ROOT / "aerich" / "__init__.py").exists()
    assert list((ROOT / "aerich" / "service").glob("[0-9]*_*.py"))


def test_every_excuse_names_a_rule_and_has_a_reason():
    for path in WRITTEN:
        for comment in comments(path):
            for excuse, reason in excuses(comment):
                assert re.search(r"\w+\W+\w+", reason), f"{name(path)}: {comment}"
                assert ":" in excuse, f"{name(path)}: {comment} excuses everything"


def test_no_module_has_300_lines_or_more():
    assert [name(path) for path in SERVICE if len(path.read_text().splitlines()) >= 300] == []


def test_no_module_has_a_name_that_fits_anything():
    vague = {"utils", "util", "helpers", "common", "base", "deps"}
    assert [name(path) for path in SERVICE if vague & {path.stem, *path.relative_to(ROOT).parent.parts}] == []


@cache
def handlers() -> list[tuple[str, ast.AsyncFunctionDef]]:
    """Return every function that a blueprint routes to."""
    return [
        (name(path), node)
        for path in SERVICE
        for node in nodes(path)
        if isinstance(node, ast.AsyncFunctionDef | ast.FunctionDef)
        for decorator in node.decorator_list
        if isinstance(decorator, ast.Call)
        and isinstance(decorator.func, ast.Attribute)
        and decorator.func.attr in HTTP_METHODS
    ]


def test_a_handler_stays_under_a_dozen_lines():
    assert len(handlers()) > 10, "or this test does not see them"
    for where, handler in handlers():
        body = handler.body[1:] if ast.get_docstring(handler) else handler.body
        lines = body[-1].end_lineno - body[0].lineno + 1
        assert lines < 12, f"{where}: {handler.name} has {lines} lines"


def test_no_handler_reads_the_paths_user():
    for where, handler in handlers():
        assert "user_id" not in {argument.arg for argument in handler.args.args}, f"{where}: {handler.name}"
