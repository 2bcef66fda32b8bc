"""Heroku's files and commands: the Procfile with only the variables of a new app, app.json, and the rehearsal."""

from __future__ import annotations

import dataclasses
import json
import re
import signal
import sys
from pathlib import Path

import httpx
import pytest
from packaging.specifiers import SpecifierSet

from service.config import Settings
from tests.conftest import SECRET

ROOT = Path(__file__).parents[2]
# Heroku runs these lines in a shell. They contain nothing that a shell would replace.
PROCFILE = dict(re.findall(r"^(\w+): ([\w -]+)$", (ROOT / "Procfile").read_text(), re.MULTILINE))
GUIDE = (ROOT / "docs/how-to/deploy-on-heroku.md").read_text()
MANIFEST = json.loads((ROOT / "app.json").read_text())


async def is_ready(port: int) -> bool:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", verify=False) as client:
        return (await client.get("/health/ready")).status_code == 200


async def test_the_procfile_runs_with_only_the_variables_of_a_new_app(
    launch, make_database, free_port, eventually, sign
):
    variables = {"PORT": str(free_port), "DATABASE_URL": await make_database("heroku"), "BETTER_AUTH_SECRET": SECRET}
    released = launch(PROCFILE["release"].split(), **variables)
    assert await released.exit_code() == 0, released.stderr
    assert released.stdout.splitlines()[-1] == "doable: the schema is up to date."
    web = launch(PROCFILE["web"].split(), **variables)
    await eventually(lambda: is_ready(free_port))
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{free_port}", verify=False) as client:
        assert (await client.get("/health/ready")).json()["status"] == "ok"
        headers = {"Authorization": f"Bearer {sign('ada')}"}
        created = await client.post("/api/me/tasks", json={"title": "From Heroku"}, headers=headers)
    assert created.status_code == 201
    web.signal(signal.SIGTERM)
    assert await web.exit_code() == 0
    assert web.stderr == ""


# It runs the commands of the Procfile, which the test before this one runs too, with the settings of the guide.
@pytest.mark.trial
async def test_the_rehearsal_of_the_guide_serves(launch, make_database, unused_port, eventually):
    (block,) = re.findall(r"^```sh\n(python3 -m venv .*?)^```", GUIDE, re.MULTILINE | re.DOTALL)
    venv, install, *commands = block.splitlines()
    assert install == "/tmp/heroku/bin/pip install --require-hashes -r requirements.txt"
    assert venv == "python3 -m venv /tmp/heroku"
    script = "\n".join(commands).replace("/tmp/heroku/bin/python", sys.executable)
    script = re.sub(r"DATABASE_URL=\S+", f"DATABASE_URL='{await make_database('rehearsed')}'", script)
    port = unused_port()
    script, replaced = re.subn(r"PORT=5000", f"PORT={port}", script)
    assert replaced == 1
    script = script.replace("BETTER_AUTH_URL=https://app.example.com", f"BETTER_AUTH_SECRET='{SECRET}'")
    launch(["bash", "-ec", script])
    await eventually(lambda: is_ready(port))


def test_the_manifest_names_settings_and_a_python_version_that_the_project_supports():
    assert set(MANIFEST["env"]) <= {field.name.upper() for field in dataclasses.fields(Settings)}
    example = {name: var["value"] for name, var in MANIFEST["env"].items() if "value" in var}
    Settings.from_environ(example)
    required = re.search(r'^requires-python = "(.+)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    (named,) = re.findall(r"echo (\S+) > \.python-version", GUIDE)
    assert SpecifierSet(required[1]).contains(named)


def test_the_guide_sets_only_variables_that_are_settings():
    set_there = {
        name for line in re.findall(r"config:set (.*)", GUIDE) for name in re.findall(r"\b([A-Z_]{4,})=", line)
    }
    assert set_there == {"BETTER_AUTH_URL", "CORS_ORIGINS", "DB_CONNECTIONS", "BETTER_AUTH_SECRET"}
