"""What the driver's failures mean: the one place that translates them."""

from __future__ import annotations

import asyncpg

from service.errors import UnavailableError
from service.metrics import figures

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
    return KINDS.get(state) or KINDS.get(state[:2]) if isinstance(state, str) else None
