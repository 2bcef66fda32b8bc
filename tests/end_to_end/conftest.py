"""Fixtures of the end-to-end tests. Each file runs in one process: its tests share a browser or an installation."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

PROCESS = os.environ.get("PYTEST_XDIST_WORKER", "main")
RUN = os.environ.get("PYTEST_XDIST_TESTRUNUID", str(os.getpid()))


@pytest.fixture(scope="module", autouse=True)
def one_process(request) -> None:
    """Fail if tests of this file run in a second process too: then the groups of tests/scheduling.py do not hold."""
    folder = Path(tempfile.gettempdir()) / f"doable-groups-{RUN}"
    folder.mkdir(exist_ok=True)
    marker = folder / request.path.stem
    try:
        with marker.open("x") as created:
            created.write(PROCESS)
    except FileExistsError:
        assert marker.read_text() == PROCESS, f"{request.path.name} runs in {marker.read_text()} and in {PROCESS}"
