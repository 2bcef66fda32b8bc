"""Failures of the driver: a temporary outage of the database, or a bug that must be visible."""

from __future__ import annotations

import asyncio
import re
import ssl
import sys
from collections.abc import AsyncIterator

import asyncpg
import pytest

from service.database import credentials, functions
from service.database.client import FairClient
from service.database.failures import KINDS, explain, translate
from service.database.functions import FUNCTIONS
from service.errors import UnavailableError

STATES = [
    ("08000", "connection"), ("08003", "connection"), ("08006", "connection"), ("08P01", "connection"),
    ("25006", "read_only"), ("28000", "refused"), ("28P01", "refused"), ("3D000", "refused"),
    ("40001", "conflict"), ("40P01", "conflict"), ("42501", "refused"),
    ("42703", "not_migrated"), ("42883", "not_migrated"), ("42P01", "not_migrated"),
    ("53000", "resources"), ("53100", "resources"), ("53200", "resources"), ("53300", "resources"),
    ("55P03", "locked"), ("57014", "timeout"), ("57000", "shutdown"), ("57P01", "shutdown"), ("57P02", "shutdown"),
    ("57P03", "shutdown"), ("57P05", "shutdown"), ("58000", "system"), ("58030", "system"), ("53X99", "resources"),
]  # fmt: skip


def failure(state: str) -> asyncpg.PostgresError:
    """Return the exception of asyncpg for this SQLSTATE."""
    return asyncpg.PostgresError.new({"S": "ERROR", "C": state, "M": "made up"})


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ConnectionRefusedError(111, "refused"), "connection"),
        (ConnectionResetError(), "connection"),
        (BrokenPipeError(), "connection"),
        (FileNotFoundError(2, "no such socket"), "connection"),
        (OSError(113, "no route to host"), "connection"),
        (ssl.SSLError("handshake"), "connection"),
        (asyncio.IncompleteReadError(b"", 4), "connection"),
        (asyncpg.InterfaceError("connection is closed"), "connection"),
        (asyncpg.InterfaceError("pool is closing"), "connection"),
        (asyncpg.InternalClientError("unexpected state"), "connection"),
        (TimeoutError(), "timeout"),
        (asyncpg.ConnectionDoesNotExistError("gone"), "connection"),
        (asyncpg.CannotConnectNowError("starting up"), "shutdown"),
        (asyncpg.AdminShutdownError("terminated"), "shutdown"),
        (asyncpg.CrashShutdownError("crashed"), "shutdown"),
        (asyncpg.QueryCanceledError("statement timeout"), "timeout"),
        (asyncpg.TooManyConnectionsError("full"), "resources"),
        (asyncpg.DiskFullError("full"), "resources"),
        (asyncpg.ReadOnlySQLTransactionError("standby"), "read_only"),
        (asyncpg.SerializationError("again"), "conflict"),
        (asyncpg.DeadlockDetectedError("again"), "conflict"),
        (asyncpg.LockNotAvailableError("later"), "locked"),
        (asyncpg.InvalidPasswordError("no"), "refused"),
        (asyncpg.InvalidAuthorizationSpecificationError("no"), "refused"),
        (asyncpg.InvalidCatalogNameError("no such database"), "refused"),
        (asyncpg.UndefinedTableError("no such table"), "not_migrated"),
        (asyncpg.UndefinedColumnError("no such column"), "not_migrated"),
        (asyncpg.UndefinedFunctionError("no such function"), "not_migrated"),
        (asyncpg.InsufficientPrivilegeError("no"), "refused"),
        (asyncpg.PostgresIOError("disk"), "system"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_a_temporary_failure_means_that_the_database_is_unavailable(error, kind):
    found = translate(error)
    assert isinstance(found, UnavailableError)
    assert found.kind == kind
    assert "made up" not in found.detail


@pytest.mark.parametrize(("state", "kind"), STATES)
def test_a_failure_that_only_the_server_can_name_is_known_by_its_sqlstate(state, kind):
    assert translate(failure(state)).kind == kind


@pytest.mark.parametrize(
    "message",
    [
        "failure on connection marked as essential: 10.0.0.2:5432",
        "terminating connection due to unexpected postmaster exit",
        "terminating connection because of crash of another server process",
        "could not connect to any active placements",
        "connection to the remote node doable@10.0.0.2:5432 failed with the following error: connection not open",
        "server closed the connection unexpectedly\n\tThis probably means the server terminated abnormally",
    ],
)
def test_an_unreachable_citus_node_is_an_outage_although_citus_calls_it_internal(message):
    found = translate(asyncpg.PostgresError.new({"S": "ERROR", "C": "XX000", "M": message}))
    assert found.kind == "connection"
    assert "10.0.0.2" not in found.detail


@pytest.mark.parametrize(
    "message",
    ["cache lookup failed for type 16400", "unrecognized node type: 376", "tuple concurrently updated",
     "a function said: failure on connection marked as essential"],
)  # fmt: skip
def test_any_other_internal_error_is_a_bug(message):
    assert translate(asyncpg.PostgresError.new({"S": "ERROR", "C": "XX000", "M": message})) is None


def test_each_kind_of_failure_has_an_example():
    assert all(any(state.startswith(known) for state, _ in STATES) for known in KINDS)


@pytest.mark.parametrize(
    "state",
    ["22001", "22003", "22021", "22P02", "23502", "23503", "23505", "23514", "25001", "25P02", "42601", "42P18",
     "XX000"],
)  # fmt: skip
def test_an_error_that_only_a_code_change_can_fix_is_not_an_outage(state):
    assert translate(failure(state)) is None


@pytest.mark.parametrize(
    "error", [ValueError("no"), KeyError("no"), AssertionError(), RuntimeError("no"), MemoryError()]
)
def test_an_exception_of_another_library_is_not_translated(error):
    assert translate(error) is None


def test_a_translated_exception_is_not_translated_again():
    assert translate(UnavailableError("pool")) is None


SENTENCES = {
    asyncpg.InvalidPasswordError('password authentication failed for user "ada"'): (
        'the database refuses the login: password authentication failed for user "ada"; '
        "check DATABASE_URL's user, password and sslmode"
    ),
    asyncpg.InvalidCatalogNameError('database "x" does not exist'): (
        'there is no such database: database "x" does not exist; create it, or check DATABASE_URL\'s database name'
    ),
    asyncpg.UndefinedFunctionError("function create_task(text) does not exist"): (
        "a table, column or function is missing: function create_task(text) does not exist; "
        "run `doable migrate`, or check DATABASE_URL's database name"
    ),
    asyncpg.InsufficientPrivilegeError("permission denied for table tasks"): (
        "the database refuses access: permission denied for table tasks; grant it, or check DATABASE_URL's user"
    ),
    asyncpg.TooManyConnectionsError("full"): "the database cannot answer now: full",
    ssl.SSLCertVerificationError(1, "certificate verify failed"): (
        "there is no TLS connection to the database: certificate verify failed (SSLCertVerificationError); "
        "check DATABASE_URL's sslmode"
    ),
}


@pytest.mark.parametrize(("error", "sentence"), SENTENCES.items(), ids=lambda value: type(value).__name__)
def test_operators_see_the_databases_own_error_message(error, sentence):
    unavailable = UnavailableError("any")
    unavailable.__cause__ = error
    assert explain(unavailable) == explain(error) == sentence


@pytest.fixture
async def client(settings, monkeypatch):
    monkeypatch.setattr(FairClient, "connection_class", asyncpg.Connection)  # these statements are not the service's
    opened = FairClient(connection_name="default", **credentials(settings, settings.database_url))
    yield opened
    await opened.close()


@pytest.mark.parametrize(
    ("statement", "arguments", "error"),
    [
        ("SELEC 1", (), asyncpg.PostgresSyntaxError),
        ("SELECT 1 / 0", (), asyncpg.DivisionByZeroError),
        ("SELECT $1::bigint", (2**63,), asyncpg.DataError),
        ("SELECT $1::bigint", ("one",), asyncpg.DataError),
        ("SELECT $1::text", ("a\0b",), asyncpg.CharacterNotInRepertoireError),
        ("SELECT $1::text", ("\ud800",), asyncpg.DataError),
        ("SELECT $1::text", (), asyncpg.InterfaceError),
        ("SELECT 1", ("one too many",), asyncpg.InterfaceError),
        (
            """INSERT INTO users (id, created_at, revision, written_at, task_count)
               SELECT $1, now(), 0, now(), 0 FROM generate_series(1, 2)""",
            ("twice",),
            asyncpg.UniqueViolationError,
        ),
        (
            "INSERT INTO users (id, created_at, revision, written_at, task_count) VALUES ($1, now(), 0, now(), 0)",
            (None,),
            asyncpg.NotNullViolationError,
        ),
    ],
)
async def test_a_bug_keeps_its_own_exception_type(client, statement, arguments, error):
    with pytest.raises(error) as raised:
        await client.call(statement, *arguments)
    assert not isinstance(raised.value, UnavailableError)
    assert (await client.call("SELECT 1 AS one"))["one"] == 1, "and costs nobody a connection"


@pytest.mark.parametrize(
    ("statement", "error"),
    [
        ("SELECT * FROM tomorrows_table", asyncpg.UndefinedTableError),
        ("SELECT tomorrows_column FROM tasks", asyncpg.UndefinedColumnError),
        ("SELECT * FROM tomorrows_function($1)", asyncpg.UndefinedFunctionError),
    ],
)
async def test_a_missing_part_of_the_schema_means_that_the_database_is_not_migrated(client, statement, error):
    with pytest.raises(UnavailableError) as raised:
        await client.call(statement, *["ada"] * statement.count("$"))
    assert raised.value.kind == "not_migrated"
    assert isinstance(raised.value.__cause__, error), "the log shows what it was"


CALL = re.compile(r"SELECT [^$]*FROM (\w+)\(")


def calls() -> list[tuple[str, str]]:
    """Return all statements of the service that call its functions, with the name of the function."""
    values = [value for name, one in sys.modules.items() if name.startswith("service.") for value in vars(one).values()]
    texts = [text for value in values for text in (value.values() if isinstance(value, dict) else [value])]
    found = {text: CALL.match(text) for text in texts if isinstance(text, str)}
    return [(text, match[1]) for text, match in found.items() if match and match[1] in FUNCTIONS]


async def test_each_statement_that_calls_a_function_has_the_arguments_of_that_function(app, connection):
    """A wrong call has the same SQLSTATE as a function of a later schema, so it is no longer a 500."""
    for statement, _ in calls():
        await connection.prepare(statement)
    assert {"create_task", "perform_batch", "purge_trash", "import_tasks"} < {name for _, name in calls()}
    with pytest.raises(asyncpg.UndefinedFunctionError):
        await connection.prepare(functions.call("create_task", 3))


WRITES = [
    ("POST", "/api/me/tasks", {"title": "A task"}),
    ("PUT", "/api/me/tasks/1", {"title": "A task"}),
    ("PATCH", "/api/me/tasks/1", {"title": "A task"}),
    ("PATCH", "/api/me/tasks/1/complete", None),
    ("DELETE", "/api/me/tasks/1", None),
    ("POST", "/api/me/tasks/batch", {"operations": [{"op": "create", "task": {"title": "A task"}}]}),
    ("POST", "/api/me/import", {"tasks": [{"title": "A task"}]}),
    ("POST", "/api/me/lists", {"name": "A list"}),
    ("DELETE", "/api/me/trash", None),
]


@pytest.fixture
async def not_migrated(server, connection) -> AsyncIterator[None]:
    """Hide all tables and functions from the running service."""
    await connection.execute("ALTER SCHEMA public RENAME TO hidden; CREATE SCHEMA public")
    yield
    await connection.execute("DROP SCHEMA public; ALTER SCHEMA hidden RENAME TO public")


@pytest.mark.parametrize("headers", [{}, {"Idempotency-Key": "one"}], ids=["once", "with a key"])
async def test_every_write_on_a_database_without_migrations_gets_503(alice, not_migrated, refusal, headers):
    for method, path, body in WRITES:
        sent = headers if method == "POST" else {}
        response = await alice.request(method, path, json=body, headers=sent)
        refusal(response, 503, "service_unavailable")
        assert int(response.headers["retry-after"]) > 0
