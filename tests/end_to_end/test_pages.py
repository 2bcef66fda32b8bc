"""Every snippet of these pages runs unchanged, or is listed here with the reason why it does not run.

The shell commands of a page run one after another in one shell. Their output must be the output in the page, except for
times, ids and the like (`pages.VARYING`). An ellipsis in a page matches any text.
"""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import BinaryIO

import asyncpg
import httpx
import jwt
import pytest

from service.config import Settings
from service.config.spelling import unknown_settings
from tests.conftest import Issuer, Launched
from tests.end_to_end.pages import DOCS, Command, Snippet, commands, is_as_shown, run, snippets
from tests.end_to_end.test_snippets import NAMED, RUN_AS_SCRIPT
from tests.end_to_end.test_snippets import PAGES as TYPED
from tests.starter import Forked, Starter

ROOT = Path(__file__).parents[2]
PAGES = [
    *sorted((DOCS / "tutorial").glob("*.md")),
    *sorted((DOCS / "how-to").glob("*.md")),
    DOCS / "reference" / "command-line.md",
    DOCS / "reference" / "listing.md",
]
# These show what is printed, answered or stored elsewhere; nothing in them can be run. test_docs.py compares the
# problems among them with the code.
OUTPUT = frozenset({"", "json", "http", "text"})
ASSIGNMENT = re.compile(r"(export )?[A-Z_]+=[^\s']*( [A-Z_]+=[^\s']*)*")
BETTER_AUTH = (
    "the code is run with a real Better Auth by tests/end_to_end/test_better_auth.py, from examples/better-auth"
)
DOCKER = "there is no Docker where the tests run"
CITUS = "there is no Citus where the tests run; tests/database/test_distribution.py has a stand-in"
SOURCES = "it changes the source tree; tests/database/test_migrations.py covers models that changed, and migrations"
NO_DUMP = "the clients of PostgreSQL must be as new as its server; `make trials` dumps and restores where they are"
HEROKU = "there is no Heroku where the tests run; tests/serving/test_heroku.py runs what can be run without"
ROTATED = "tests/auth/test_rotation.py runs the commands of this page"
SEVERAL = "it needs nginx, HAProxy and Redis"

# By page: the start of a snippet, and the reason why it does not run.
NOT_RUN = {
    "add-a-field-to-a-task.md": {
        "colour = fields": SOURCES, "MAXIMUM_COLOUR": SOURCES, "@verb": SOURCES, "FILTERS =": SOURCES,
        "class ListParameters": SOURCES, "$ make migration": SOURCES,
    },
    "first-tasks.md": {
        "$ make run": "tests/serving/test_command_line.py does what `make run` does, in a folder of its own",
    },
    "back-up-and-restore.md": {
        "pg_dump ": NO_DUMP, "$ pg_restore ": NO_DUMP, "createdb ": NO_DUMP, "psql ": NO_DUMP,
        '$ DATABASE_URL="$RESTORED_URL"': NO_DUMP,
    },
    "change-the-schema-safely.md": {"from tortoise import": SOURCES},
    "command-line.md": {"$ doable ": "tests/serving/test_command_line.py compares what the commands print"},
    "connect-a-frontend.md": {
        'import { betterAuth } from "better-auth"': BETTER_AUTH,
        'import { createAuthClient } from "better-auth/react"': BETTER_AUTH,
        "BETTER_AUTH_URL=http://localhost:3000 make run": "test_command_line.py starts with BETTER_AUTH_URL",
        "(cd doable/clients/typescript": "tests/clients/test_typescript.py packs the client",
    },
    "deploy-on-heroku.md": {
        "heroku ": HEROKU, "git push heroku": HEROKU, "echo 3.13 > .python-version": "it commits to this repository",
        "curl -s http://localhost:5000": "tests/serving/test_heroku.py waits for the answer of the rehearsal",
        "python3 -m venv /tmp/heroku": "tests/serving/test_heroku.py runs it",
    },
    "keep-a-list-live.md": {"curl -N": "it does not end; tests/sync/test_event_streams.py reads streams"},
    "monitor.md": {
        "scrape_configs:": "there is no Prometheus where the tests run",
        "groups:": "there is no Prometheus where the tests run; test_docs.py checks the names of the metrics",
    },
    "outgrow-one-database.md": {
        "CREATE EXTENSION": CITUS, "SELECT citus_": CITUS, "SELECT truncate_local_data": CITUS, "CITUS_URLS=": CITUS,
        "$ doable distribute": CITUS,
    },
    "rotate-a-secret.md": {
        "NEW=$(openssl": ROTATED, "export BETTER_AUTH_SECRET=": ROTATED, "The service accepts tokens": ROTATED,
    },
    "run-several-machines.md": {"events {}": SEVERAL, "export DATABASE_URL=": SEVERAL, "for i in 1 2 3": SEVERAL},
    "run-with-docker.md": {"docker ": DOCKER},
    "trace-requests.md": {"pip install": "tests/operations/test_tracing.py runs with what the extra installs"},
    "use-better-auth-with-nextjs.md": {
        'import { betterAuth } from "better-auth"': BETTER_AUTH,
        'import { createAuthClient } from "better-auth/react"': BETTER_AUTH,
        "BETTER_AUTH_URL=http://localhost:3000 make run": "test_command_line.py starts with BETTER_AUTH_URL",
        '$ curl -s -H "Authorization: Bearer $(npm run -s token)': BETTER_AUTH,
        "jwt({ jwt: { definePayload": "a part of Better Auth's configuration",
    },
    "write-a-migration.md": {
        "list_name = fields": SOURCES, "$ make migration": SOURCES, "async def upgrade": SOURCES,
        "$ make check": SOURCES, "$ .venv/bin/python -m service migrate": SOURCES,
    },
}  # fmt: skip


def reason(snippet: Snippet) -> str | None:
    """Return the reason why the snippet does not run; None if it runs."""
    reasons = NOT_RUN.get(snippet.page, {})
    return next((why for begins, why in reasons.items() if snippet.text.startswith(begins)), None)


def is_settings(snippet: Snippet) -> bool:
    """Return whether the snippet only sets variables, without the output of a program."""
    lines = snippet.text.splitlines()
    return snippet.language == "sh" and "$" not in snippet.text and all(map(ASSIGNMENT.fullmatch, lines))


def is_shell(snippet: Snippet) -> bool:
    return snippet.language in {"sh", "console"} and not reason(snippet) and not is_settings(snippet)


def is_tested_as_code(snippet: Snippet) -> bool:
    """Return whether a test compiles the snippet, or runs it as a script."""
    fenced = f"```{snippet.language}\n{snippet.text}```"
    typed = snippet.page in TYPED and NAMED.search(fenced) is not None
    return typed or any(snippet.text.startswith(begins) for begins in RUN_AS_SCRIPT.get(snippet.page, ()))


EVERY = [snippet for page in PAGES for snippet in snippets(page)]
SHELL = sorted({snippet.page for snippet in EVERY if is_shell(snippet)})
SETTINGS = [snippet for snippet in EVERY if is_settings(snippet) and not reason(snippet)]
SQL = [snippet for snippet in EVERY if snippet.language == "sql" and not reason(snippet)]


def test_every_snippet_is_run_or_has_a_reason_why_not():
    left = [
        f"{snippet.page}: {snippet.text.splitlines()[0]}"
        for snippet in EVERY
        if not (snippet.language in OUTPUT or is_shell(snippet) or is_tested_as_code(snippet) or reason(snippet))
        and snippet not in SETTINGS + SQL
    ]
    assert left == []


def test_every_reason_belongs_to_a_snippet():
    assert set(NOT_RUN) <= {page.name for page in PAGES}
    unused = [
        (page, begins)
        for page, reasons in NOT_RUN.items()
        for begins in reasons
        if not any(snippet.page == page and snippet.text.startswith(begins) for snippet in EVERY)
    ]
    assert unused == []


@pytest.mark.parametrize("snippet", SETTINGS, ids=lambda snippet: f"{snippet.page}: {snippet.text.splitlines()[0]}")
def test_each_setting_in_a_guide_is_a_setting_of_the_service(snippet):
    pairs = [pair.split("=", 1) for pair in snippet.text.replace("export ", "").split()]
    variables = {name: value.strip("'\"") for name, value in pairs}
    if "BETTER_AUTH_SECRET" in variables:  # a placeholder for a secret
        variables["BETTER_AUTH_SECRET"] = variables["BETTER_AUTH_SECRET"].ljust(32, "x")
    settings = {field.name.upper() for field in dataclasses.fields(Settings)}
    Settings.from_environ(variables)
    assert unknown_settings(variables, settings) == {}
    assert all(name in settings or name.startswith("OTEL_") for name in variables)


@pytest.mark.parametrize("snippet", SQL, ids=lambda snippet: f"{snippet.page}: {snippet.text.splitlines()[0]}")
async def test_the_database_accepts_the_sql_of_a_guide(snippet, connection):
    transaction = connection.transaction()
    await transaction.start()
    try:
        await connection.execute(snippet.text)
    finally:
        await transaction.rollback()


class Stage:
    """A folder for the commands of the pages, and a service as `make run` starts it."""

    def __init__(self, folder: Path, database_url: str, starter: Starter):
        self.folder, self.starter = folder, starter
        self.database_url = database_url
        self.services: list[Launched] = []
        (folder / ".venv" / "bin").mkdir(parents=True)
        starter.write_python(folder / ".venv" / "bin" / "python")
        (folder / "Makefile").symlink_to(ROOT / "Makefile")

    @property
    def environment(self) -> dict[str, str]:
        """Return the environment of a command."""
        path = f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin"
        return {"PATH": path, "HOME": str(self.folder), "PYTHONPATH": str(ROOT), "LC_ALL": "C.UTF-8"}

    @property
    def secret(self) -> str:
        """Return the generated secret of the service, with which `doable token` signs in this folder."""
        return (self.folder / ".data" / "secret").read_text().strip()

    async def start(self, port: int, **variables: str) -> str:
        """Serve on `port` with more settings, and return the address."""
        environment = {**self.environment, "DATABASE_URL": self.database_url, "PORT": str(port), **variables}

        def begin(stdout: BinaryIO, stderr: BinaryIO) -> Forked:
            options = {"cwd": self.folder, "env": environment, "stdout": stdout, "stderr": stderr}
            return self.starter.start(["-m", "service", "run", "--development"], **options)

        self.services.append(Launched(begin, self.folder, len(self.services)))
        await self.services[-1].says(" listening ")
        return f"http://localhost:{port}"

    def close(self) -> None:
        for service in self.services:
            service.kill()


@pytest.fixture(scope="module")
async def stage(tmp_path_factory, make_database, starter) -> AsyncIterator[Stage]:
    made = Stage(tmp_path_factory.mktemp("pages"), await make_database("pages"), starter)
    yield made
    made.close()


@pytest.fixture(scope="module")
async def served(stage, unused_port) -> str:
    """The address of the service that all pages share."""
    return await stage.start(unused_port())


@pytest.fixture
async def nothing_stored(served, stage) -> None:
    """Start without users and tasks."""
    connection = await asyncpg.connect(stage.database_url)
    await connection.execute("DELETE FROM users")
    await connection.close()


@pytest.fixture
async def environment(stage, served, nothing_stored) -> dict[str, str]:
    """Return the environment of a page's commands, with a token of the user `alice`."""
    token = jwt.encode({"sub": "alice", "exp": 2**32}, stage.secret, "HS256")
    return {**stage.environment, "TOKEN": token, "ALICE": token}


@pytest.fixture
async def issuer_of(make_issuer) -> AsyncIterator[Callable[[str], Awaitable[Issuer]]]:
    """`await issuer_of("RS256")` starts an issuer that publishes one key."""
    async with AsyncExitStack() as started:

        async def start(algorithm: str) -> Issuer:
            issuer = make_issuer()
            issuer.add("one", algorithm)
            await issuer.start()
            started.push_async_callback(issuer.stop)
            return issuer

        yield start


async def follow(page: str, stage: Stage, environment: dict[str, str], places: dict[str, str]) -> None:
    """Run the shell commands of a page and compare the output; `places` replaces addresses of the page."""
    if missing := [program for program in PROGRAMS if not shutil.which(program)]:
        pytest.skip(f"LOUD: there is no {' and no '.join(missing)}, so the commands of {page} are NOT tested")
    listed = [
        command._replace(
            text=replaced(command.text, places),
            shown=None if command.shown is None else replaced(command.shown, places),
        )
        for snippet in EVERY
        if snippet.page == page and is_shell(snippet)
        for command in commands(snippet)
    ]
    for command, printed in zip(listed, await run(listed, stage.folder, environment), strict=True):
        if command.shown is not None and not is_as_shown(command.shown, printed):
            pytest.fail(f"{page} shows\n{command.text}\n{command.shown}\n\nnot\n{printed}", pytrace=False)


def replaced(text: str, places: dict[str, str]) -> str:
    for old, new in places.items():
        text = text.replace(old, new)
    return text


PROGRAMS = ("curl", "make", "openssl")  # Programs that the pages require, besides Python and POSIX
TABLES = ("users", "tasks", "idempotency_keys")
# Pages whose commands need more than a service and a token.
APART = {
    "change-the-schema-safely.md",
    "limit-rates.md",
    "outgrow-one-database.md",
    "use-another-issuer.md",
    "use-better-auth-with-nextjs.md",
    "use-neon.md",
}
STORED = {
    "listing.md": ["Apple", "Banana", "Cherry"],
    "move-tasks-in-and-out.md": ["Water the plants", "Buy milk"],
}  # titles of existing tasks that a page requires


@pytest.mark.parametrize("page", [page for page in SHELL if page not in APART])
async def test_the_commands_of_a_page_print_what_it_shows(page, stage, served, environment):
    async with httpx.AsyncClient(
        base_url=served, headers={"Authorization": f"Bearer {environment['TOKEN']}"}
    ) as client:
        for title in STORED.get(page, []):
            assert (await client.post("/api/me/tasks", json={"title": title})).status_code == 201
    await follow(page, stage, environment, {"http://localhost:8000": served})


# The output of `make run` when it installs the environment and has no DATABASE_URL.
FIRST_START = re.compile(r"^doable: (making|installing|starting the embedded) .*\n", re.MULTILINE)


@pytest.mark.parametrize("page", [DOCS / "tutorial" / "first-tasks.md", ROOT / "README.md"], ids=lambda page: page.name)
async def test_the_start_of_the_service_prints_what_a_page_shows(page, stage, served):
    block = next(snippet.text for snippet in snippets(page) if snippet.text.startswith("$ make run\n"))
    shown = FIRST_START.sub("", block.removeprefix("$ make run\n")).replace("http://localhost:8000", served)
    printed = stage.services[0].stdout
    assert is_as_shown(shown.replace("port=8000", f"port={served.rpartition(':')[2]}"), printed), printed


async def test_a_limited_user_gets_the_responses_in_the_guide_to_rate_limits(stage, environment, unused_port):
    # The next minute would begin with a new quota, perhaps between two commands. The next day begins less often.
    address = await stage.start(unused_port(), RATE_LIMIT="3/day")
    await follow("limit-rates.md", stage, environment, {"http://localhost:8000": address, ";w=60": ";w=86400"})


async def test_check_prints_the_output_in_the_guide_to_another_issuer(stage, environment, issuer_of):
    issuer = await issuer_of("RS256")
    variables = {**environment, "DATABASE_URL": stage.database_url}
    await follow("use-another-issuer.md", stage, variables, {"http://localhost:8080": issuer.origin})


async def test_check_prints_the_output_in_the_guide_to_better_auth(stage, served, environment, issuer_of):
    issuer = await issuer_of("EdDSA")
    variables = {**environment, "DATABASE_URL": stage.database_url}
    places = {"http://localhost:3000": issuer.origin, "http://localhost:8000": served}
    await follow("use-better-auth-with-nextjs.md", stage, variables, places)


async def test_a_database_is_migrated_and_checked_as_the_guide_to_neon_shows(stage, environment, make_database):
    url = await make_database("neon")
    url += ("&" if "?" in url else "?") + "channel_binding=require"
    addresses = re.findall(r"postgresql://[^']+", (DOCS / "how-to" / "use-neon.md").read_text())
    assert len(addresses) == 2
    await follow("use-neon.md", stage, environment, dict.fromkeys(addresses, url))


async def test_the_newest_migration_is_reverted_as_the_guide_shows(stage, environment, make_database):
    variables = {**environment, "DATABASE_URL": await make_database("down")}
    await run([Command(".venv/bin/python -m service migrate", None)], stage.folder, variables)
    await follow("change-the-schema-safely.md", stage, variables, {})


@pytest.mark.skipif(
    not shutil.which("psql"), reason="LOUD: there is no psql, so copying between databases is NOT tested"
)
async def test_tasks_are_copied_from_one_database_to_another_as_the_guide_shows(
    stage, served, environment, make_database
):
    headers = {"Authorization": f"Bearer {environment['TOKEN']}", "Idempotency-Key": "a key"}
    async with httpx.AsyncClient(base_url=served, headers=headers) as client:
        made = (await client.post("/api/me/tasks", json={"title": "Water the plants", "tags": ["home"]})).json()
    old, new = stage.database_url, await make_database("copied")
    migrate = {"doable migrate": ".venv/bin/python -m service migrate"}
    await follow("outgrow-one-database.md", stage, {**environment, "OLD": old, "NEW": new}, migrate)
    found = []
    for url in (old, new):
        connection = await asyncpg.connect(url)
        found.append([await connection.fetch(f"SELECT * FROM {table} ORDER BY 1") for table in TABLES])
        await connection.close()
    assert found[0] == found[1]
    assert [json.loads(row["document"])["id"] for row in found[1][1]] == [made["id"]]
