"""The TypeScript client: its types, its own tests against a real service, its size and its package."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from clients import document
from service.lists.schemas import List, ListFields
from service.tasks.schemas import Task, TaskFields
from service.web import openapi
from tests.clients.control import Control
from tests.end_to_end.npm import NODE, NPM, install
from tests.end_to_end.test_snippets import write_project

ROOT = Path(__file__).parents[2]
CLIENT = ROOT / "clients" / "typescript"
LEFT_OUT = {"user_id", "series_start", "occurrence_number"}  # fields of responses that a replication does not need
SECONDS = 300  # for one command, on a busy machine

needs_node = pytest.mark.skipif(
    not (NODE and NPM), reason="LOUD: node is not installed, so the TypeScript client is NOT tested"
)


def run(*command: str, cwd: Path = CLIENT, **options: object) -> str:
    """Run a command in the client's folder, and return its output."""
    done = subprocess.run(
        command,
        cwd=cwd,
        timeout=SECONDS,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        **options,
    )
    assert done.returncode == 0, f"{' '.join(map(str, command))}:\n{done.stdout}"
    return done.stdout


def test_the_types_belong_to_the_api(app):
    wrong = document.fault(openapi.document(app), document.TYPES.read_text())
    assert wrong is None, f"{wrong}: run `make client-types`, which needs node"


def test_types_of_another_api_and_edited_types_are_noticed(app):
    described, types = openapi.document(app), document.TYPES.read_text()
    assert document.fault(described, types.replace("priority", "urgency")) == "types.gen.ts was edited"
    changed = json.loads(json.dumps(described))
    changed["components"]["schemas"]["Task"]["properties"]["urgency"] = {"type": "string"}
    assert document.fault(changed, types) == "the API has changed since types.gen.ts was generated"
    assert document.fault(described, types.partition("\n")[2]) == "types.gen.ts has no header with digests"


def test_the_replication_of_rxdb_has_each_field():
    """The compiler finds a field that is missing elsewhere. Only trials install RxDB, so that it can check rxdb.js."""
    text = (CLIENT / "src" / "rxdb.js").read_text()
    common = re.search(r"const all = {(.*?)};", text)[1]
    for kind, shown, sent in (("task", Task, TaskFields), ("list", List, ListFields)):
        schema = re.search(rf'schemaOf\("{kind}", {{(.*?)}}\)', text, re.DOTALL)[1]
        writable = re.search(rf"^  {kind}: \[(.*)\],$", text, re.MULTILINE)[1]
        fields = {"uid", *re.findall(r"(\w+):", schema + common)}
        assert fields == {*shown.__struct_fields__} - LEFT_OUT
        read_only = {name for name, annotation in sent.__annotations__.items() if "ReadOnly" in annotation}
        assert {*re.findall(r"\w+", writable)} == fields & {*sent.__struct_fields__} - read_only


@pytest.fixture
async def control(launch, unused_port, eventually, http, settings) -> AsyncIterator[int]:
    """The port of a control of services on the database of the tests."""

    async def is_live(port: int) -> None:
        await eventually(lambda: http.get(f"http://127.0.0.1:{port}/health/live"))

    environment = {"DATABASE_URL": settings.database_url, "BETTER_AUTH_SECRET": settings.better_auth_secret}
    made = Control(launch, unused_port, is_live, environment)
    yield await made.listen()
    made.server.close()


@needs_node
@pytest.mark.usefixtures("empty")
async def test_the_tests_of_the_client_pass(server, launch, settings, control):
    install(CLIENT)
    files = sorted(str(file.relative_to(CLIENT)) for file in (CLIENT / "tests").glob("*.test.js"))
    process = launch(
        [NODE, "--test", "--test-concurrency=4", "--test-timeout=240000", *files], cwd=CLIENT,
        DOABLE_URL=server, DOABLE_SECRET=settings.better_auth_secret, DOABLE_CONTROL=str(control),
    )  # fmt: skip
    assert await process.exit_code(SECONDS) == 0, process.stdout + process.stderr


@needs_node
@pytest.mark.types
def test_client_and_how_tos_are_typed_strictly(tmp_path):
    install(CLIENT)
    (tmp_path / "how-tos").mkdir()
    write_project(tmp_path / "how-tos")
    project = {"extends": f"{CLIENT}/tests/tsconfig.json", "compilerOptions": {"outDir": str(tmp_path)}}
    (tmp_path / "tsconfig.json").write_text(json.dumps(project))
    # One compiler for both projects reads the libraries once.
    run(NODE, "node_modules/typescript/bin/tsc", "--build", str(tmp_path), str(tmp_path / "how-tos"))
    declared = {file.relative_to(tmp_path / "src") for file in (tmp_path / "src").rglob("*.d.ts")}
    assert declared == {file.with_suffix(".d.ts") for file in sources()} - {Path("rxdb.d.ts")}  # see the last test
    assert " any;" not in (tmp_path / "src" / "index.d.ts").read_text()


@needs_node
def test_the_package_is_small_and_complete():
    install(CLIENT)
    run(NODE, "scripts/size.js")
    (packed,) = json.loads(run(NPM, "pack", "--dry-run", "--json", "--ignore-scripts", "--loglevel=silent"))
    names = {file["path"] for file in packed["files"]}
    assert {f"src/{file}" for file in sources() if file.suffix == ".js"} <= names
    assert {"package.json", "README.md"} <= names
    assert not [name for name in names if re.match(r"(tests|scripts|node_modules)/", name)]


def sources() -> list[Path]:
    """Return the files of the client, relative to their folder."""
    return [file.relative_to(CLIENT / "src") for file in (CLIENT / "src").rglob("*.[jt]s")]


@needs_node
@pytest.mark.trial  # the compiler reads the declarations of React and TanStack DB too, which takes eight seconds
def test_the_declared_types_are_complete_for_a_project_that_checks_its_libraries(tmp_path):
    install(CLIENT)
    compiler = CLIENT / "node_modules" / "typescript" / "bin" / "tsc"
    run(NODE, str(compiler), "--project", "tests", "--outDir", str(tmp_path))
    (tmp_path / "node_modules").symlink_to(CLIENT / "node_modules")
    declarations = sorted(str(file) for file in (tmp_path / "src").rglob("*.d.ts"))
    lib = "es2023,dom,dom.iterable,dom.asynciterable"
    options = ("--noEmit", "--strict", "--module", "nodenext", "--target", "es2022", "--lib", lib)
    run(NODE, str(compiler), *options, *declarations, cwd=tmp_path)


@needs_node
@pytest.mark.trial
@pytest.mark.usefixtures("empty")
async def test_the_replication_of_rxdb_is_typed_strictly_and_its_tests_pass(server, launch, settings, tmp_path):
    install(CLIENT)
    folder = CLIENT / "tests" / "rxdb"
    try:
        install(folder)
    except AssertionError as failed:
        if not re.search(r"ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ETIMEDOUT|ENETUNREACH", str(failed)):
            raise
        pytest.skip(f"LOUD: no package registry, so the RxDB replication is NOT tested: {failed}")
    run(NODE, "node_modules/typescript/bin/tsc", "--project", str(folder), "--outDir", str(tmp_path / "types"))
    assert (tmp_path / "types" / "rxdb.d.ts").is_file()
    # RxDB needs seventy packages, so the client itself does not install it. A copy of the client finds it here.
    shutil.copytree(CLIENT / "src", tmp_path / "src")
    (tmp_path / "tests").mkdir()
    for file in (CLIENT / "tests" / "service.js", folder / "rxdb.test.js"):
        shutil.copy(file, tmp_path / "tests")
    shutil.copy(folder / "package.json", tmp_path)
    (tmp_path / "node_modules").symlink_to(folder / "node_modules")
    process = launch(
        [NODE, "--test", "--test-timeout=240000", "tests/rxdb.test.js"], cwd=tmp_path,
        DOABLE_URL=server, DOABLE_SECRET=settings.better_auth_secret,
    )  # fmt: skip
    assert await process.exit_code(SECONDS) == 0, process.stdout + process.stderr
