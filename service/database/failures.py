"""Translate the errors of the database driver into the service's own."""

from __future__ import annotations

import socket
import ssl

import asyncpg

from service.errors import UnavailableError
from service.telemetry import figures

# The kind of an error by SQLSTATE (https://www.postgresql.org/docs/current/errcodes-appendix.html). Two characters are
# a class, and stand for all of its codes.
KINDS = {
    "08": "connection",
    "25006": "read_only",
    "28": "refused",
    "3D": "refused",
    "40": "conflict",
    "42501": "refused",
    "42703": "not_migrated",
    "42883": "not_migrated",
    "42P01": "not_migrated",
    "53": "resources",
    "55P03": "locked",
    "57014": "timeout",
    "57": "shutdown",
    "58": "system",
}

# Citus reports some failures of the connection between two nodes as XX000, "internal error". PostgreSQL uses the same
# code for its own bugs. Only these texts distinguish the two (Citus 13.2: remote_transaction.c, multi_copy.c; libpq's
# fe-misc.c).
INTERNAL = "XX000"
NODE_AWAY = (
    "failure on connection marked as essential",
    "terminating connection due to unexpected postmaster exit",
    "terminating connection because of crash of another server process",
    "terminating connection due to administrator command",
    "could not connect to ",
    "connection to the remote node ",
    "connection not open",
    "server closed the connection unexpectedly",
    "could not receive data from server",
    "could not send data to server",
)

# The kinds of error after which the session is lost. The statement may succeed on another connection.
LOST = frozenset({"connection", "shutdown"})

# The beginning of the one InterfaceError that is about the statement, not the connection: a wrong number of arguments.
MISCOUNTED = "the server expects"


def translate(error: BaseException) -> UnavailableError | None:
    """Return UnavailableError if the database is temporarily unavailable, or None if `error` is a bug of the service.

    Count the failure. The caller may retry the statement. A failed statement has written nothing, with one exception:
    if the connection broke, the statement may have been executed before its result was lost.
    """
    kind = _kind(error)
    if kind is None:
        return None
    figures.database_failed(kind)
    return UnavailableError(kind)


def is_lost(error: BaseException) -> bool:
    """Return whether the connection was lost or could not be opened. Count nothing."""
    kind = error.kind if isinstance(error, UnavailableError) else _kind(error)
    return kind in LOST


def _kind(error: BaseException) -> str | None:
    if isinstance(error, TimeoutError):
        return "timeout"
    if isinstance(error, asyncpg.InterfaceError) and str(error).startswith(MISCOUNTED):
        return None
    if isinstance(error, (OSError, asyncpg.InterfaceError, asyncpg.InternalClientError, EOFError)):
        return "connection"
    state = getattr(error, "sqlstate", None)
    if state == INTERNAL:
        return "connection" if str(error).startswith(NODE_AWAY) else None
    return KINDS.get(state) or KINDS.get(state[:2]) if isinstance(state, str) else None


def words(error: BaseException) -> str:
    """Return the reason of a failure in the words of PostgreSQL, the driver or the operating system.

    The text may contain the host, the user and the database. It contains no password, because the driver's messages
    never do.
    """
    cause = _cause(error)
    if isinstance(cause, TimeoutError):
        return "no answer in time"
    text = " ".join(str(cause).split()) or type(cause).__name__
    return text if isinstance(cause, asyncpg.PostgresError) else f"{text} ({type(cause).__name__})"


def explain(error: BaseException) -> str:
    """Return a sentence for the operator, without a full stop: what is wrong with the database and what to do."""
    cause, said = _cause(error), words(error)
    state = getattr(cause, "sqlstate", None) or ""
    url = "check DATABASE_URL's"
    if isinstance(cause, TimeoutError):
        sentence = f"the database does not answer in time; {url} host and port, and the firewall"
    elif state.startswith("3D"):
        sentence = f"there is no such database: {said}; create it, or {url} database name"
    elif state.startswith("28"):
        sentence = f"the database refuses the login: {said}; {url} user, password and sslmode"
    elif state == "42501":
        sentence = f"the database refuses access: {said}; grant it, or {url} user"
    elif KINDS.get(state) == "not_migrated":
        sentence = f"a table, column or function is missing: {said}; run `doable migrate`, or {url} database name"
    elif state:
        sentence = f"the database cannot answer now: {said}"
    elif isinstance(cause, ssl.SSLError) or "SSL" in said:
        sentence = f"there is no TLS connection to the database: {said}; {url} sslmode"
    elif isinstance(cause, socket.gaierror):
        sentence = f"the database cannot be reached, because its host is unknown: {said}; {url} host"
        sentence += ", and percent-encode the password's special characters"
    else:
        sentence = f"the database cannot be reached: {said}; {url} host and port"
    return sentence


def _cause(error: BaseException) -> BaseException:
    """Return the driver's error, which caused the errors of the service and of Tortoise."""
    while isinstance(error, UnavailableError) and error.__cause__ is not None:
        error = error.__cause__
    return error
