"""What the driver's failures mean: the one place that translates them."""

from __future__ import annotations

import socket
import ssl

import asyncpg

from service.errors import UnavailableError
from service.telemetry import figures

# By SQLSTATE, https://www.postgresql.org/docs/current/errcodes-appendix.html; a class stands for all of its codes.
KINDS = {
    "08": "connection",
    "25006": "read_only",
    "28": "refused",
    "3D": "refused",
    "40": "conflict",
    "42P01": "not_migrated",
    "42703": "not_migrated",
    "53": "resources",
    "55P03": "locked",
    "57014": "timeout",
    "57": "shutdown",
    "58": "system",
}

# Citus reports some failures of the connection between two nodes as XX000, "internal error", as PostgreSQL does bugs
# of its own. Only these texts tell them apart (Citus 13.2: remote_transaction.c, multi_copy.c; libpq's fe-misc.c).
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

# The session is gone, whichever of the two the driver sees first; another one may do.
LOST = frozenset({"connection", "shutdown"})

# The one InterfaceError that is about the statement, not the connection: as many arguments as it has `$n` must come.
MISCOUNTED = "the server expects"


def translate(error: BaseException) -> UnavailableError | None:
    """Say that the database cannot answer now, or give None for what is not the database's state but our own bug.

    What it says is counted. All of it may be tried again. A statement that failed has written nothing, though one whose
    connection broke may have been done before its answer got lost.
    """
    kind = _kind(error)
    if kind is None:
        return None
    figures.database_failed(kind)
    return UnavailableError(kind)


def is_lost(error: BaseException) -> bool:
    """Whether it is the connection that failed, or a connection that could not be opened. Counts nothing."""
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
    """Say why the database did not answer, in PostgreSQL's own words, or those of the driver or the system.

    They may name the host, the user and the database, and hold no password: the driver's messages never do.
    """
    cause = _cause(error)
    if isinstance(cause, TimeoutError):
        return "no answer in time"
    text = " ".join(str(cause).split()) or type(cause).__name__
    return text if isinstance(cause, asyncpg.PostgresError) else f"{text} ({type(cause).__name__})"


def explain(error: BaseException) -> str:
    """Say in one sentence for an operator what is wrong with the database, and what to do."""
    cause, said = _cause(error), words(error)
    state = getattr(cause, "sqlstate", None) or ""
    url = "check DATABASE_URL's"
    if isinstance(cause, TimeoutError):
        sentence = f"the database does not answer in time; {url} host and port, and the firewall between"
    elif state.startswith("3D"):
        sentence = f"there is no such database: {said}; create it, or {url} database name"
    elif state.startswith("28"):
        sentence = f"the database refuses the login: {said}; {url} user, password and sslmode"
    elif state:
        sentence = f"the database cannot answer now: {said}"
    elif isinstance(cause, ssl.SSLError) or "SSL" in said:
        sentence = f"there is no TLS connection to the database: {said}; {url} sslmode"
    elif isinstance(cause, socket.gaierror):
        sentence = f"the database cannot be reached, its host is not known: {said}; {url} host"
        sentence += ", and percent-encode the password's special characters"
    else:
        sentence = f"the database cannot be reached: {said}; {url} host and port"
    return sentence


def _cause(error: BaseException) -> BaseException:
    """The driver's error below those of ours and of Tortoise."""
    while isinstance(error, UnavailableError) and error.__cause__ is not None:
        error = error.__cause__
    return error
