"""Fixtures of the end-to-end tests. Each file runs in one process: its tests share an installation or the browser."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator

import pytest

from tests.end_to_end.chromium import Browser, chromium

PROCESS = os.environ.get("PYTEST_XDIST_WORKER", "main")


@pytest.fixture(scope="module", autouse=True)
def one_process(request, tmp_path_factory) -> None:
    """Fail if tests of this file run in a second process too: then the groups of tests/scheduling.py do not hold."""
    folder = tmp_path_factory.getbasetemp()
    marker = (folder if PROCESS == "main" else folder.parent) / f"{request.path.stem}.process"
    try:
        with marker.open("x") as created:
            created.write(PROCESS)
    except FileExistsError:
        assert marker.read_text() == PROCESS, f"{request.path.name} runs in {marker.read_text()} and in {PROCESS}"


@pytest.fixture(scope="session")
async def browser(tmp_path_factory) -> AsyncIterator[Browser]:
    async with chromium(tmp_path_factory.mktemp("profile")) as running:
        yield running
