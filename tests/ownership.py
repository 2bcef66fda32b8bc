"""The rules for each statement of the service, so that one machine of a cluster can run it.

A statement names one user, by the argument `$1`, for every table that it reads or writes. If it changes rows, it calls
no function whose result may differ on another machine. A call of one of our functions has the user as its first
argument, and every statement within the function names that user. `recorder` in conftest.py checks all statements of
this process after its last test.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator

from service.database import functions
from service.database.distribution import TABLES
from service.operations import retention
from service.sync import changes

NAMES = "|".join(table.name for table in TABLES)
COLUMNS = "|".join({table.column for table in TABLES})
# A table's name where its rows are accessed: at any place except before a column.
REACHED = re.compile(rf'\b(?:FROM|JOIN|UPDATE|INTO|ONLY|USING)\s+(?:ONLY\s+)?"?({NAMES})\b(?!"?\.)')
NAMED = re.compile(rf'(?<![\w.])"?({NAMES})\b(?!"?\.)')
OWNED = re.compile(rf'(?<![\w."])(?:"?(?:{NAMES})"?\.)?"?(?:{COLUMNS})"? ?= ?\$1(?!\d)')
MADE = re.compile(rf"INSERT INTO (?:{NAMES}) \((?:{COLUMNS}),[^)]*\)\s+(?:VALUES \(|SELECT )\$1\b")
CALL = re.compile(r"SELECT \* FROM (\w+)\((.*)\)")  # a call of one of our functions
PLACE = re.compile(r"\$\d+")
LITERAL = re.compile(r"'(?:[^']|'')*'|--[^\n]*")
CHANGES = re.compile(r"\b(?:UPDATE|DELETE|ON CONFLICT)\b")
CALLED = re.compile(r"\b([a-z_][a-z0-9_]*)\s*\(")
# Within a function: the owner by name, a column behind any alias. A whole row (`VALUES (task.*)`) is refused by Citus,
# which must see from the statement alone whose row it is.
OWNERS = re.compile(rf"(?<![\w.])(?:\w+\.)?(?:{COLUMNS}) = owner\b")
PART = re.compile(rf"\b({'|'.join(functions.FUNCTIONS)})\(\s*(\w+)")  # a call of another function within a function
UPDATES = re.compile(r"\b(?:UPDATE (?:\w+)\s+SET|DELETE FROM)\b[^;]*;")
# timestamptz + interval depends on the session's time zone, so Citus refuses it on columns in an UPDATE; this does not.
IMMUTABLE_SUM = re.compile(r"AT TIME ZONE '' \+ interval")

# These compute a value from their arguments alone.
OF_NO_OWNER = {
    "task_document",
    "build_document",
    "list_document",
    "position_of_id",
    "position_between",
    "positions_spread",
    "positions_apart",
}

EXEMPT = {
    retention.NEXT_OWNER: "the purge looks for whose trash is next, once a day; every node answers for its own",
    retention.NEXT_OWNER_OF_LISTS: "likewise, for whose trash has lists",
    retention.NEXT_ERASED: "likewise, for whose erasure was interrupted",
    retention.NEXT_OWNER_OF_ANSWERS: "likewise, for whose answers are too old to be given again",
    changes.POSITIONS: "asks for those who listen to live events here; every node answers for its own",
    'SELECT COUNT(*) FROM "tasks"': "the test of `across_all_users`, the one escape, counts with it",
    'SELECT COUNT(*) FROM "users"': "likewise",
}


def _plain(statement: str) -> str:
    return " ".join(statement.split())


_EXEMPT = {_plain(statement) for statement in EXEMPT}


def assert_names_one_user(statement: str, arguments: tuple[object, ...]) -> None:
    """Check that the first argument is a user's id, and that every table is restricted to it."""
    assert arguments, statement
    assert isinstance(arguments[0], str), statement
    if called := CALL.fullmatch(statement):
        assert called[1] in functions.FUNCTIONS, statement
        assert called[2].split(", ")[0] == "$1", statement
        return
    owners = {f"${number}" for number, value in enumerate(arguments, 1) if value == arguments[0]}
    # Tortoise numbers a value again at each of its places.
    code = PLACE.sub(lambda place: "$1" if place[0] in owners else place[0], LITERAL.sub("''", statement))
    tables = REACHED.findall(code)
    assert tables, statement
    assert tables == NAMED.findall(code), f"a table is named in a way that this check does not know: {statement}"
    assert len(OWNED.findall(code)) + len(MADE.findall(code)) == len(tables), statement


def _code(body: str) -> str:
    """Return the statements of a function, without literals, comments and declarations."""
    before, begin, after = body.partition("\nBEGIN\n")
    return LITERAL.sub("''", after if begin else before)


def assert_function_names_one_user(body: str) -> None:
    """Check that every table and every call in the body of a function is restricted to `owner`."""
    code = _code(body)
    assert code, body
    tables = REACHED.findall(code)
    assert tables == NAMED.findall(code), "a table is named in a way that this check does not know"
    made = len(re.findall(rf"INSERT INTO (?:{NAMES}) \(\s*(?:{COLUMNS}),[^)]*\)\s+VALUES \(\s*owner\b", code))
    assert len(OWNERS.findall(code)) + made == len(tables), body
    assert all(owner == "owner" or part in OF_NO_OWNER for part, owner in PART.findall(code))


def assert_function_is_routed_to_one_node(body: str, mutable: Collection[str]) -> None:
    """Check that Citus can run each statement of the body on one machine: see docs/how-to/outgrow-one-database.md."""
    code = _code(body)
    assert "DO UPDATE" not in code, "a function in DO UPDATE SET must be immutable"
    assert not re.search(r"\bWITH\b[^;]*\bINSERT\b", code), "an INSERT in a WITH goes to every node"
    for statement in UPDATES.findall(code):
        assert not set(CALLED.findall(statement.lower())) & set(mutable), statement
        assert "+ interval" not in IMMUTABLE_SUM.sub("", statement), statement


def assert_calls_nothing_volatile(statement: str, volatile: Collection[str]) -> None:
    """Check that a statement that changes rows calls no function of these names."""
    code = LITERAL.sub("''", statement)
    called = set(CALLED.findall(code.lower())) & set(volatile) if CHANGES.search(code) else set()
    assert not called, f"{', '.join(called)} in {statement}"


def _is_ours(statement: str) -> bool:
    called = CALL.fullmatch(statement)
    return bool(called) and called[1] in functions.FUNCTIONS


def faults(recorded: Iterable[tuple[str, tuple[object, ...]]], volatile: Collection[str]) -> Iterator[str]:
    """Return the faults of the recorded statements, each statement once, without exempt ones."""
    for statement, arguments in {
        text: arguments for text, arguments in recorded if NAMED.search(text) or _is_ours(text)
    }.items():
        if _plain(statement) not in _EXEMPT:
            try:
                assert_names_one_user(statement, arguments)
                assert_calls_nothing_volatile(statement, volatile)
            except AssertionError as fault:
                yield str(fault)
