"""DATABASE_URL, in the forms that Heroku, Neon and libpq give it, as credentials for asyncpg."""

from __future__ import annotations

import logging
import re
import ssl
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from service.errors import ConfigurationError

logger = logging.getLogger("doable.database")

Credentials = dict[str, Any]

SCHEMES = frozenset({"postgres", "postgresql", "asyncpg"})
# https://www.postgresql.org/docs/current/libpq-ssl.html#LIBPQ-SSL-PROTECTION
UNVERIFIED_SSL_MODES = frozenset({"allow", "prefer", "require"})
# Parameters that say nothing to asyncpg and whose absence weakens nothing that we promise.
DROPPED = {
    "channel_binding": "asyncpg does not do SCRAM channel binding",
    "gssencmode": "asyncpg does not do GSSAPI encryption",
    **dict.fromkeys(
        ("keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count"),
        "the operating system's TCP settings apply",
    ),
    "uselibpqcompat": "sslmode means what it means to libpq anyway",
    "supa": "it only tells Supabase where the URL came from",
    # Prisma's own: https://www.prisma.io/docs/orm/overview/databases/postgresql#arguments
    "connection_limit": "DB_CONNECTIONS sizes the pool",
    "pool_timeout": "DB_ACQUIRE_TIMEOUT says how long a request waits for a connection",
    "socket_timeout": "DB_STATEMENT_TIMEOUT says how long a statement may take",
    "max_connection_lifetime": "connections are kept while they are in use",
    "max_idle_connection_lifetime": "idle connections are closed after four minutes",
}
# The hosts of Supabase whose port 6543 is a pooler in transaction mode; port 5432 there is not.
SUPABASE = (".pooler.supabase.com", ".supabase.co")
SUPABASE_POOLER_PORT = 6543
# Those of libpq's target_session_attrs under which the service can write.
WRITABLE = frozenset({"any", "read-write", "primary"})
NO_VERIFY = (
    "DATABASE_URL: the connection is encrypted without a check of the server's certificate, so a host on the way could "
    "pose as the database; sslmode=verify-full checks it"
)

NAME = re.compile(r"[A-Za-z_]+", re.ASCII)
UNREADABLE = (
    "DATABASE_URL cannot be read: check its host and port, and percent-encode the password's special characters."
)


def parse(url: str) -> Credentials:
    """Turn a URL into the keyword arguments of asyncpg's connect, plus `pgbouncer` (bool).

    Raises ConfigurationError, never printing the URL, for what cannot be honoured: an unknown scheme, port or
    parameter. Source of the parameters: https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-PARAMKEYWORDS
    """
    try:
        parts = urlsplit(url)
        parameters = dict(parse_qsl(parts.query, keep_blank_values=True))
        if "," in parts.netloc.rpartition("@")[2] + parameters.get("host", ""):
            raise ConfigurationError("DATABASE_URL names several hosts; name one.")
        port = _read_port(parameters.pop("port", "") or "5432" if parts.port is None else str(parts.port))
    except ValueError:
        raise ConfigurationError(UNREADABLE) from None
    if parts.scheme.split("+")[0] not in SCHEMES:
        raise ConfigurationError("DATABASE_URL must begin with postgres:// or postgresql://.")
    host = unquote(parts.hostname or "") or parameters.pop("host", "localhost")
    user = unquote(parts.username or "") or parameters.pop("user", "")
    database = unquote(parts.path.removeprefix("/")) or parameters.pop("dbname", "") or user
    if not database:
        raise ConfigurationError("DATABASE_URL must name a database: postgres://user:password@host:5432/name.")
    credentials: Credentials = {
        "host": host,
        "port": port,
        "user": user or None,
        "password": unquote(parts.password) if parts.password else parameters.pop("password", None),
        "database": database,
        "pgbouncer": _read_switch(parameters, "pgbouncer") or _is_pooler(host, port),
        "server_settings": {"application_name": parameters.pop("application_name", "doable")},
    }
    _read_ssl(parameters, credentials)
    _read_timeout(parameters, credentials)
    _read_options(parameters, credentials)
    _read_session(parameters, credentials)
    for name in sorted(parameters):
        if not NAME.fullmatch(name):
            raise ConfigurationError(UNREADABLE)  # the rest of a password that holds a bare question mark
        if name not in DROPPED:
            raise ConfigurationError(f"DATABASE_URL has a parameter that is not understood: {name}. Take it out.")
        logger.info("DATABASE_URL: %s is left out, %s", name, DROPPED[name])
    return credentials


def _read_port(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and 1 <= int(text) <= 65535):  # noqa: PLR2004 - TCP's last port
        raise ValueError
    return int(text)


def _is_pooler(host: str, port: int) -> bool:
    """Whether a pooler in transaction mode listens there, by the names that Neon and Supabase give to theirs."""
    return "-pooler" in host or (host.endswith(SUPABASE) and port == SUPABASE_POOLER_PORT)


def _read_switch(parameters: dict[str, str], name: str) -> bool:
    value = parameters.pop(name, "").lower()
    if value not in {"", "true", "1", "false", "0"}:
        raise ConfigurationError(f"DATABASE_URL: {name} must be true or false.")
    return value in {"true", "1"}


def _read_session(parameters: dict[str, str], credentials: Credentials) -> None:
    """Read what Prisma, SQLAlchemy and libpq say about the sessions: the schema, prepared statements, the server."""
    if parameters.pop("schema", "") not in {"", "public"}:
        raise ConfigurationError(
            "DATABASE_URL: schema may only be public; for another one write options=-c%20search_path%3Dname."
        )
    for name in ("statement_cache_size", "prepared_statement_cache_size"):
        size = parameters.pop(name, "")
        if size and not (size.isascii() and size.isdecimal() and len(size) <= 6):  # noqa: PLR2004 - a million will do
            raise ConfigurationError(f"DATABASE_URL: {name} must be a number of statements.")
        if size:
            credentials["statement_cache_size"] = int(size)
    target = parameters.pop("target_session_attrs", "")
    if target and target not in WRITABLE:
        raise ConfigurationError(
            "DATABASE_URL: target_session_attrs must be any, read-write or primary: the service writes."
        )
    if target:
        credentials["target_session_attrs"] = target


def _read_ssl(parameters: dict[str, str], credentials: Credentials) -> None:
    mode = _ssl_mode(parameters)
    root = parameters.pop("sslrootcert", "")
    certificate, key = parameters.pop("sslcert", ""), parameters.pop("sslkey", "")
    if mode == "disable":
        credentials["ssl"] = False
    elif mode in {"verify-ca", "verify-full"} or (mode == "require" and root) or certificate:
        try:
            context = ssl.create_default_context(cafile=root if root and root != "system" else None)
            if certificate:
                context.load_cert_chain(certificate, key or None)
        except OSError:
            raise ConfigurationError("DATABASE_URL names a certificate file that cannot be read.") from None
        context.check_hostname = mode == "verify-full"
        credentials["ssl"] = context
    elif mode == "no-verify":
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        credentials["ssl"] = context
        logger.info(NO_VERIFY)
    elif mode in UNVERIFIED_SSL_MODES:
        credentials["ssl"] = mode
    elif mode:
        raise ConfigurationError(
            "DATABASE_URL: sslmode must be disable, allow, prefer, require, verify-ca, verify-full or no-verify."
        )


def _ssl_mode(parameters: dict[str, str]) -> str:
    """The mode of `sslmode` (libpq, and node-postgres's no-verify), made stricter or laxer by Prisma's `sslaccept`."""
    mode, accept = parameters.pop("sslmode", ""), parameters.pop("sslaccept", "")
    if accept not in {"", "strict", "accept_invalid_certs"}:
        raise ConfigurationError("DATABASE_URL: sslaccept must be strict or accept_invalid_certs.")
    if accept == "strict" and mode in {"", "prefer", "require"}:
        return "verify-full"
    if accept == "accept_invalid_certs" and mode == "require":
        return "no-verify"
    return mode


def _read_timeout(parameters: dict[str, str], credentials: Credentials) -> None:
    seconds = parameters.pop("connect_timeout", "")
    if seconds and not seconds.isdecimal():
        raise ConfigurationError("DATABASE_URL: connect_timeout must be a number of seconds.")
    if seconds and int(seconds):
        credentials["timeout"] = float(seconds)


def _read_options(parameters: dict[str, str], credentials: Credentials) -> None:
    """Read libpq's `options`: `-c name=value` pairs become server settings; Neon's `endpoint=…` goes by SNI anyway."""
    words = parameters.pop("options", "").replace("-c ", "-c").split()
    for word in words:
        name, equals, value = word.removeprefix("-c").removeprefix("--").partition("=")
        if word.startswith("-") and equals:
            credentials["server_settings"][name] = value
        elif name in {"endpoint", "project"}:
            logger.info("DATABASE_URL: options %s is left out, TLS server name indication carries it", name)
        else:
            raise ConfigurationError("DATABASE_URL: options may hold only '-c name=value'.")
