"""The command line: `doable run`, `migrate`, `purge`, `distribute`, `token` and `check`."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import io
import logging
import os
import signal
import sys
from collections.abc import Sequence

INTERRUPTED = 130  # the exit code after Ctrl-C: 128 plus the number of SIGINT

try:
    from service import __version__, auth, database, logs, serving
    from service.config import Settings
    from service.database import distribution, failures, migrations
    from service.development import sandbox
    from service.development.landing import Landing
    from service.development.playground import Playground
    from service.errors import ConfigurationError, DoableError, UnavailableError
    from service.operations import purge
    from service.serving import preflight
except KeyboardInterrupt:  # the imports take most of a second, so Ctrl-C may arrive during them
    sys.exit(INTERRUPTED)

WELCOME = """
  Doable is ready: {address}/docs
{playground}
  To paste (the token is for the user '{user}' and lasts a day):

    export TOKEN={token}
    curl -H "Authorization: Bearer $TOKEN" -H "Content-Type: application/json" -d '{{"title": "Water the plants"}}' {address}/api/me/tasks
    curl -H "Authorization: Bearer $TOKEN" {address}/api/me/tasks
    curl -H "Authorization: Bearer $TOKEN" {address}/api/me/tasks/summary

  Ctrl-C stops everything; the data stays in {folder}.

"""  # noqa: E501 - lines to paste


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a sub-command. Return the process's exit code: 1 for an error that the operator can correct."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a character that the locale lacks must not end a command
    options = _parser().parse_args(arguments)
    try:
        return int(options.command(options))
    except UnavailableError as error:
        _complain(f"{failures.explain(error)}.")
    except ConfigurationError as error:
        _complain(*error.faults, *preflight.unknown(os.environ))  # a setting may be missing because it is misspelled
    except DoableError as error:
        _complain(error.detail)
    except KeyboardInterrupt:
        return INTERRUPTED
    return 1


def _complain(*sentences: str) -> None:
    for sentence in sentences:
        print(f"doable: {sentence}", file=sys.stderr)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("doable", description="A task backend for your frontend.")
    parser.add_argument("--version", action="version", version=f"doable {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    run = commands.add_parser("run", help="serve the API", description="Serve the API until SIGTERM or Ctrl-C.")
    run.add_argument("--development", action="store_true",
                     help="migrate first, create a secret and a token, and start an embedded PostgreSQL if "
                          "DATABASE_URL is not set")  # fmt: skip
    run.set_defaults(command=_run)

    migrate = commands.add_parser("migrate", help="migrate the database to the newest schema",
                                  description="Apply the missing migrations. If another process migrates, wait until "
                                              "it ends.")  # fmt: skip
    migrate.set_defaults(command=_migrate)

    purge = commands.add_parser("purge", help="delete old tasks and lists from the trash for good",
                                description="Delete tasks and lists that have been in the trash for more than "
                                            "TRASH_RETENTION_DAYS, expired responses to Idempotency-Keys, and the "
                                            "rest of interrupted erasures. The service also does this once a "
                                            "day.")  # fmt: skip
    purge.set_defaults(command=_purge)

    distribute = commands.add_parser("distribute", help="distribute tables and functions over a Citus cluster",
                                     description="Distribute the tables and functions by user with Citus, in one "
                                                 "transaction. Tables that are distributed already stay "
                                                 "unchanged.")  # fmt: skip
    distribute.add_argument("--dry-run", action="store_true",
                            help="check everything, and print the statements without running them")  # fmt: skip
    distribute.set_defaults(command=_distribute)

    token = commands.add_parser("token", help="sign a development token",
                                description="Sign an HS256 token with BETTER_AUTH_SECRET, or with the secret that "
                                            "`make run` created.")  # fmt: skip
    token.add_argument("--user", required=True, metavar="ID", help="the user's id, 1 to 255 characters")
    token.add_argument("--email", help="the e-mail address in the token")
    token.add_argument("--name", help="the name in the token")
    token.add_argument("--seconds", type=int, default=3600, help="the lifetime in seconds (default: 3600)")
    token.set_defaults(command=_token)

    check = commands.add_parser("check", help="print the settings, and test the key set and the database",
                                description="Print the settings (secrets only as set or not set) and the accepted "
                                            "tokens, and test the key set and the database.")  # fmt: skip
    check.set_defaults(command=_check)
    return parser


def _run(options: argparse.Namespace) -> int:
    if options.development:
        return _run_for_development()
    settings = preflight.usable(os.environ)
    logs.configure(settings)
    preflight.warn_of_unknown(os.environ)
    return serving.serve(settings)


def _run_for_development() -> int:
    # Until the server handles SIGTERM itself, the signal must also stop the embedded database.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with contextlib.ExitStack() as stack:
        defaults = {"log_format": "text", "cors_origins": sandbox.FRONTENDS, "host": "127.0.0.1"}
        if not any(os.environ.get(name, "").strip() for name in ("BETTER_AUTH_SECRET", "BETTER_AUTH_SECRETS")):
            defaults["better_auth_secret"] = sandbox.secret()
        settings = Settings.from_environ(os.environ, **defaults)
        listener = stack.enter_context(serving.bind(settings))  # first, so that a port in use starts no database
        defaults["cors_origins"] = sandbox.frontends(settings)
        if not settings.database_url:
            print("doable: starting the embedded PostgreSQL …", flush=True)
            defaults["database_url"] = stack.enter_context(sandbox.embedded_postgres())
        settings = Settings.from_environ(os.environ, **defaults)
        applied = asyncio.run(migrations.migrate(settings))
        print(f"doable: the schema is up to date ({', '.join(applied) or 'nothing to apply'}).", flush=True)
        demo = sandbox.token(settings, sandbox.DEMO_USER, seconds=86_400, name="Demo")
        address = f"http://localhost:{settings.port}"
        page, line = _playground(settings, address)
        _complain(*preflight.unknown(os.environ))
        landing = Landing(address, sandbox.DEMO_USER, page)
        welcome = WELCOME.format(
            address=address, playground=line, user=sandbox.DEMO_USER, token=demo, folder=sandbox.DATA
        )
        # Without `end`, the log could write between the text and its last newline.
        return serving.serve(
            settings, lambda: print(welcome, end="", flush=True), listener=listener, development=landing
        )


def _playground(settings: Settings, address: str) -> tuple[Playground | None, str]:
    """Return the playground (None if the settings allow none), and a line with its address or the reason."""
    try:
        return sandbox.playground(settings), f"  See it live in two tabs: {address}/playground\n"
    except ConfigurationError as error:
        return None, f"  There is no playground. {error.detail}\n"


def _migrate(_options: argparse.Namespace) -> int:
    settings = Settings.from_environ(os.environ)
    logs.configure(settings)
    applied = asyncio.run(migrations.migrate(settings))
    for name in applied:
        print(f"doable: applied {name}")
    print("doable: the schema is up to date.")
    return 0


def _purge(_options: argparse.Namespace) -> int:
    settings = Settings.from_environ(os.environ)
    logs.configure(settings)
    purged = asyncio.run(_empty_trash(settings))
    if purged is None:
        print("doable: another process is purging the trash, so this command did nothing.")
    else:
        print(f"doable: purged {purged:,} {'task or list' if purged == 1 else 'tasks and lists'} deleted more than "
              f"{settings.trash_retention_days} days ago.")  # fmt: skip
    return 0


async def _empty_trash(settings: Settings) -> int | None:
    pool = await database.connect(settings)
    try:
        await purge.finish_erasures(pool)
        purged = await purge.empty_trash(pool, settings)
        await purge.forget_answers(pool)
        return purged
    finally:
        await database.close()


def _distribute(options: argparse.Namespace) -> int:
    settings = Settings.from_environ(os.environ)
    logs.configure(settings)
    done = asyncio.run(distribution.distribute(settings, dry_run=options.dry_run))
    for step in done.steps:
        if step.done:
            print(f"doable: already distributed: {step.name}.")
        else:
            print(f"doable: would run {step.statement}" if options.dry_run else f"doable: distributed {step.name}.")
    if done.workers:
        print(f"doable: {done.workers} worker {'node' if done.workers == 1 else 'nodes'} can store these tables.")
    else:
        print("doable: there is no worker node, so one node holds all data; add nodes with citus_add_node, then move "
              "data to them with citus_rebalance_start.")  # fmt: skip
    return 0


def _token(options: argparse.Namespace) -> int:
    defaults = {}
    if (sandbox.DATA / "secret").is_file():
        defaults["better_auth_secret"] = sandbox.secret()
    settings = Settings.from_environ(os.environ, **defaults)
    print(sandbox.token(settings, options.user, seconds=options.seconds, email=options.email, name=options.name))
    return 0


def _check(_options: argparse.Namespace) -> int:
    logging.getLogger("doable").addHandler(logging.NullHandler())  # the log would repeat the report
    settings, faults = preflight.read(os.environ)
    width = max(map(len, settings.masked()))
    for name, value in settings.masked().items():
        print(f"{name:{width}}  {'(refused)' if name in faults else value}")
    for sentence in preflight.unknown(os.environ):
        print(f"\nWarning: {sentence}")
    wrong = list(faults.values())
    if settings.secrets or settings.key_set_url:
        print("\nThe service accepts tokens signed with")
        for line in auth.accepted(settings):
            print(f"  - {line}")
        wrong += asyncio.run(_try_key_set(settings))
    if settings.database_url and "DATABASE_URL" not in faults:
        wrong += asyncio.run(_try_database(settings))
    _complain(*wrong)
    return 1 if wrong else 0


async def _try_key_set(settings: Settings) -> list[str]:
    """Print how many keys the key set contains; return the faults."""
    keys = auth.published_keys(settings)
    if keys is None:
        print("No key set is configured.")
    elif await keys.fetch():
        print(f"The key set at {keys.url} contains {keys.count} usable {'key' if keys.count == 1 else 'keys'}.")
    else:
        later = "The service would start, and answer its tokens with 503 until the key set can be read."
        return [f"The key set at {keys.url} cannot be read ({keys.failure}). {later}"]
    return []


async def _try_database(settings: Settings) -> list[str]:
    """Print the database's version and migration; return the faults."""
    pool = await database.connect(settings)
    try:
        if unsupported := await pool.unsupported_encoding():
            return [unsupported]
        row = await pool.fetch_one("SHOW server_version")
        applied = await migrations.applied(pool)
    except UnavailableError as error:
        return [f"{failures.explain(error)}."]
    finally:
        await database.close()
    pooled = " through a pooler in transaction mode" if database.is_pooled(settings) else ""
    print(f"The database answers{pooled}: PostgreSQL {row['server_version']}. "
          f"A worker's pool holds {settings.pool_size} connections.")  # fmt: skip
    newest = migrations.newest()
    if newest not in applied:
        latest = applied[0] if applied else "no migration"
        return [f"The schema is at {latest}; run `doable migrate`, or `python -m service migrate`."]
    if applied[0] == newest:
        print(f"The schema is at the newest migration, {newest}.")
    else:
        print(f"The schema is at {applied[0]}, a migration of a later release. This release can use it.")
    return []


if __name__ == "__main__":
    sys.exit(main())
