"""What every statement of the service is held to, so that one machine of many can answer it.

It names one user, by the argument `$1`, for every table that it reaches; and where it changes rows it calls no function
that might answer otherwise on another machine. What tests of this process make the service run is checked when the last
of them has ended (`recorder` in conftest.py).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator

from service.database.distribution import TABLES
from service.models import changes, upkeep

NAMES = "|".join(table.name for table in TABLES)
COLUMNS = "|".join({table.column for table in TABLES})
# A table's name where rows of it are reached, and anywhere at all but before its columns.
REACHED = re.compile(rf'\b(?:FROM|JOIN|UPDATE|INTO|ONLY|USING)\s+(?:ONLY\s+)?"?({NAMES})\b(?!"?\.)')
NAMED = re.compile(rf'(?<![\w.])"?({NAMES})\b(?!"?\.)')
OWNED = re.compile(rf'(?<![\w."])(?:"?(?:{NAMES})"?\.)?"?(?:{COLUMNS})"? ?= ?\$1(?!\d)')
MADE = re.compile(rf"INSERT INTO (?:{NAMES}) \((?:{COLUMNS}),[^)]*\)\s+(?:VALUES \(|SELECT )\$1\b")
LITERAL = re.compile(r"'(?:[^']|'')*'|--[^\n]*")
CHANGES = re.compile(r"\b(?:UPDATE|DELETE|ON CONFLICT)\b")
CALLED = re.compile(r"\b([a-z_][a-z0-9_]*)\s*\(")

EXEMPT = {
    upkeep.NEXT_OWNER: "the purge looks for whose trash is next, a few times a day; every node answers for its own",
    upkeep.NEXT_ERASED: "likewise, for whose erasure was interrupted",
    upkeep.NEXT_OWNER_OF_ANSWERS: "likewise, for whose answers are too old to be given again",
    changes.POSITIONS: "asks for those who listen to live events here; every node answers for its own",
    'SELECT COUNT(*) FROM "tasks"': "the test of `across_all_users`, the one escape, counts with it",
    'SELECT COUNT(*) FROM "users"': "likewise",
}


def _plain(statement: str) -> str:
    return " ".join(statement.split())


_EXEMPT = {_plain(statement) for statement in EXEMPT}


def assert_names_one_user(statement: str, arguments: tuple[object, ...]) -> None:
    """The first argument is a user's id, and every table that the statement names is reached through it."""
    assert arguments, statement
    assert isinstance(arguments[0], str), statement
    code = LITERAL.sub("''", statement)
    tables = REACHED.findall(code)
    assert tables, statement
    assert tables == NAMED.findall(code), f"a table is named in a way that this check does not know: {statement}"
    assert len(OWNED.findall(code)) + len(MADE.findall(code)) == len(tables), statement


def assert_calls_nothing_volatile(statement: str, volatile: Collection[str]) -> None:
    """Where a statement changes rows, it calls no function of these names."""
    code = LITERAL.sub("''", statement)
    called = set(CALLED.findall(code.lower())) & set(volatile) if CHANGES.search(code) else set()
    assert not called, f"{', '.join(called)} in {statement}"


def faults(recorded: Iterable[tuple[str, tuple[object, ...]]], volatile: Collection[str]) -> Iterator[str]:
    """What is wrong with what was run, each statement once, exempt ones aside."""
    for statement, arguments in {text: arguments for text, arguments in recorded if NAMED.search(text)}.items():
        if _plain(statement) not in _EXEMPT:
            try:
                assert_names_one_user(statement, arguments)
                assert_calls_nothing_volatile(statement, volatile)
            except AssertionError as fault:
                yield str(fault)
