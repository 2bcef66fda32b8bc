"""The service against its OpenAPI document: Schemathesis generates requests and checks the responses."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest

# The seed generates the same requests for the same document. A warning (only refusals, no data) is a failure too,
# because the test would then check less than it seems to.
CONFIGURATION = """
seed = 20261224
continue-on-failure = true
hooks = {hooks}
warnings = {{ fail-on = true }}

[cache]
enabled = false

[generation]
max-examples = {examples}
database = "none"

[dictionaries]
zones = {{ values = ["UTC", "Europe/Berlin", "America/St_Johns", "Pacific/Chatham"] }}
tasks = {{ values = {tasks} }}
lists = {{ values = {lists} }}

# Other users in the path are tested by name elsewhere; made up ones would be answered 403 and nothing else.
[parameters]
"path.user_id" = "alice"
"path.name" = "{file}"
"path.task_id" = {{ dictionary = "tasks", probability = 0.7 }}
"path.list_id" = {{ dictionary = "lists", probability = 0.9 }}
"query.tz" = {{ dictionary = "zones" }}
"""

ROOT = Path(__file__).parents[2]
SERIES = "5f3c1b0e-6a52-4d0b-9c55-2f0d7a1c8e31"


# The examples of the document are also sent by test_openapi.py, so only `make trials` sends them here. The phase
# "coverage" sends 3,000 requests with each limit of each field, which the tests of the rooms check one by one.
@pytest.mark.parametrize(
    ("examples", "phases"),
    [
        (4, "fuzzing"),
        pytest.param(100, "examples,coverage,fuzzing,stateful", marks=pytest.mark.trial),
    ],
)
async def test_the_service_conforms_to_its_openapi_document_for_generated_requests(  # noqa: PLR0913, PLR0917 - each is a fixture or a case
    app, alice, server, tmp_path, examples, phases
):
    # Only this task is skipped, because any other may be completed by then. The hooks know its uid.
    series = await alice.make("Series", uid=SERIES, due_date="2090-01-05", repeat={"rrule": "FREQ=DAILY"})

    async def write(*operations: dict) -> list[dict]:
        response = await alice.post("/api/me/tasks/batch", json={"operations": operations})
        assert response.status_code == 200, response.text
        return response.json()["results"]

    made = await write(*({"op": "create", "task": {"title": f"Task {number}"}} for number in range(100)))
    tasks = [result["task"]["id"] for result in made]
    if "coverage" not in phases:  # that phase deletes enough for the restoration
        await write(*({"op": "delete", "id": task_id} for task_id in tasks[::4]))
    made = await write(*({"op": "create_list", "list": {"name": f"{number}"}} for number in range(50)))
    lists = [result["list"]["id"] for result in made]
    await write(*({"op": "delete_list", "id": list_id} for list_id in lists[::2]))
    hooks = Path(__file__).with_name("schemathesis_hooks.py")
    configuration = tmp_path / "schemathesis.toml"
    file = next(iter(app.ctx.documentation.files))
    configuration.write_text(
        CONFIGURATION.format(hooks=json.dumps(str(hooks)), tasks=tasks, lists=lists, examples=examples, file=file)
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "schemathesis.cli", "--config-file", str(configuration),
        "run", f"{server}/openapi.json", "--checks", "all", "--no-color", "--phases", phases,
        # They do not end; test_events.py and test_item_events.py listen to them.
            "--exclude-operation-id", "streamTaskEvents", "--exclude-operation-id", "streamEvents",
        "--header", f"Authorization: {alice.headers['authorization']}",
        # These two routes would leave no data for the others; they have their own tests.
        "--exclude-operation-id", "eraseUser", "--exclude-operation-id", "emptyTrash",
        cwd=tmp_path,
        # The hooks import the service. The order of sets would depend on the hash seed, and the requests on that order.
        env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "0",
                          "SERIES": SERIES, "SERIES_ID": str(series["id"])},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    async with asyncio.timeout(300):
        report, _ = await process.communicate()
    assert process.returncode == 0, report.decode()
    assert b"No issues found" in report
