"""Parse DATABASE_URL, in the formats of Heroku, Neon and libpq, into arguments for asyncpg.

asyncpg parses URLs too, but misreads or refuses many of these formats. docs/decisions/0026 lists them.
"""

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
# https://www.postgresql.org/docs/current/libpq-ssl.html#LIBPQ-SSL-PROTECTION, and no-verify of node-postgres.
SSL_MODES = "disable, allow, prefer, require, verify-ca, verify-full or no-verify"
# Parameters that asyncpg does not support, and that can be ignored safely, with the reason for the log.
DROPPED = {
    "channel_binding": "asyncpg does not support SCRAM channel binding",
    "gssencmode": "asyncpg does not support GSSAPI encryption",
    **dict.fromkeys(
        ("keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count"),
        "the operating system's TCP settings apply",
    ),
    "uselibpqcompat": "sslmode always has libpq's meaning",
    "supa": "only Supabase uses it, to see the origin of the URL",
    # Prisma's own: https://www.prisma.io/docs/orm/overview/databases/postgresql#arguments
    "connection_limit": "DB_CONNECTIONS sets the pool size",
    "pool_timeout": "DB_ACQUIRE_TIMEOUT limits the wait for a connection",
    "socket_timeout": "DB_STATEMENT_TIMEOUT limits the time of a statement",
    "max_connection_lifetime": "connections are kept while they are in use",
    "max_idle_connection_lifetime": "idle connections are closed after four minutes",
}
# The hosts of Supabase whose port 6543 is a pooler in transaction mode. Their port 5432 is not.
SUPABASE = (".pooler.supabase.com", ".supabase.co")
SUPABASE_POOLER_PORT = 6543
NO_VERIFY = (
    "DATABASE_URL: the connection is encrypted without a check of the server's certificate, so an attacker on the "
    "network could impersonate the database; sslmode=verify-full checks it"
)

NAME = re.compile(r"[A-Za-z_]+", re.ASCII)
UNREADABLE = (
    "DATABASE_URL cannot be read: check its host and port, and percent-encode the password's special characters."
)


def parse(url: str) -> Credentials:
    """Return the keyword arguments of asyncpg's connect, and `pgbouncer` (bool), for a URL.

    Raises ConfigurationError for an unknown scheme, port or parameter. The message never contains the URL.
    Source of the parameters: https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-PARAMKEYWORDS
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
    pgbouncer = _take(parameters, "pgbouncer", "(?i:true|1|false|0)", "must be true or false")
    credentials: Credentials = {
        "host": host,
        "port": port,
        "user": user or None,
        "password": unquote(parts.password) if parts.password else parameters.pop("password", None),
        "database": database,
        "pgbouncer": pgbouncer.lower() in {"true", "1"} or _is_pooler(host, port),
        "server_settings": {"application_name": parameters.pop("application_name", "doable")}
        | _take_options(parameters.pop("options", "")),
        **_take_ssl(parameters),
        **_take_session(parameters),
    }
    for name in sorted(parameters):
        if not NAME.fullmatch(name):
            raise ConfigurationError(UNREADABLE)  # the rest of a password that contains an unencoded question mark
        if name not in DROPPED:
            raise ConfigurationError(f"DATABASE_URL has a parameter that is not supported: {name}. Remove it.")
        logger.info("DATABASE_URL: %s is ignored, %s", name, DROPPED[name])
    return credentials


def _read_port(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and 1 <= int(text) <= 65535):  # noqa: PLR2004 - TCP's last port
        raise ValueError
    return int(text)


def _is_pooler(host: str, port: int) -> bool:
    """Return whether the host and port are those of a pooler in transaction mode at Neon or Supabase."""
    return "-pooler" in host or (host.endswith(SUPABASE) and port == SUPABASE_POOLER_PORT)


def _take(parameters: dict[str, str], name: str, form: str, rule: str) -> str:
    """Remove a parameter and return its value, empty if it is not set.

    Raises ConfigurationError with `rule` if the value does not match the regular expression `form`.
    """
    value = parameters.pop(name, "")
    if value and not re.fullmatch(form, value, re.ASCII):
        raise ConfigurationError(f"DATABASE_URL: {name} {rule}.")
    return value


def _take_session(parameters: dict[str, str]) -> Credentials:
    """Read the parameters of libpq, Prisma and SQLAlchemy about timeout, schema, prepared statements and server."""
    found: Credentials = {}
    if seconds := int(_take(parameters, "connect_timeout", r"\d{1,9}", "must be a number of seconds") or 0):
        found["timeout"] = float(seconds)
    _take(parameters, "schema", "public", "must be public; for another schema use options=-c%20search_path%3Dname")
    for name in ("statement_cache_size", "prepared_statement_cache_size"):
        if size := _take(parameters, name, r"\d{1,6}", "must be a number of statements"):
            found["statement_cache_size"] = int(size)
    writable = "must be any, read-write or primary: the service writes"
    if target := _take(parameters, "target_session_attrs", "any|read-write|primary", writable):
        found["target_session_attrs"] = target
    return found


def _take_ssl(parameters: dict[str, str]) -> Credentials:
    """Read the parameters of libpq, node-postgres (no-verify) and Prisma (`sslaccept`) about TLS."""
    mode = _take(parameters, "sslmode", re.sub(", | or ", "|", SSL_MODES), f"must be {SSL_MODES}")
    accept = _take(parameters, "sslaccept", "strict|accept_invalid_certs", "must be strict or accept_invalid_certs")
    if accept == "strict" and mode in {"", "prefer", "require"}:
        mode = "verify-full"
    elif accept == "accept_invalid_certs" and mode == "require":
        mode = "no-verify"
    root, certificate, key = (parameters.pop(name, "") for name in ("sslrootcert", "sslcert", "sslkey"))
    if mode == "disable":
        return {"ssl": False}
    if not (certificate or mode.startswith("verify") or mode == "no-verify" or (mode == "require" and root)):
        return {"ssl": mode} if mode else {}
    try:
        context = ssl.create_default_context(cafile=root if root and root != "system" else None)
        if certificate:
            context.load_cert_chain(certificate, key or None)
    except OSError:
        raise ConfigurationError("DATABASE_URL names a certificate file that cannot be read.") from None
    context.check_hostname = mode == "verify-full"
    if mode == "no-verify" and not certificate:
        context.verify_mode = ssl.CERT_NONE
        logger.info(NO_VERIFY)
    return {"ssl": context}


def _take_options(options: str) -> dict[str, str]:
    """Return the server settings in libpq's `options`: its `-c name=value` pairs.

    Neon's `endpoint=…` is ignored, because TLS server name indication already contains the endpoint.
    """
    settings: dict[str, str] = {}
    for word in options.replace("-c ", "-c").split():
        name, equals, value = word.removeprefix("-c").removeprefix("--").partition("=")
        if word.startswith("-") and equals:
            settings[name] = value
        elif name in {"endpoint", "project"}:
            logger.info("DATABASE_URL: options %s is ignored, TLS server name indication contains it", name)
        else:
            raise ConfigurationError("DATABASE_URL: options may contain only '-c name=value'.")
    return settings
