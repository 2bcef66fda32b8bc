"""Fixtures of the trials: each trial has its own PostgreSQL, service and load."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from tests.trials.cluster import Cluster, prepare
from tests.trials.stage import HEADER, Stage

SECRET = "a secret for tests alone, of more than 32 bytes"


@pytest.fixture(scope="session")
def outer_folder() -> Iterator[Path]:
    """A folder for prepared data that PostgreSQL's user may access."""
    made = Path(tempfile.mkdtemp(prefix="doable-trials-"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest.fixture(scope="session")
def empty_data(outer_folder) -> Path:
    """The data folder of a stopped server with an empty database."""
    return prepare(outer_folder / "data")


@pytest.fixture
async def cluster(empty_data, launch) -> AsyncIterator[Cluster]:
    """A running, migrated server of the trial."""
    made = Cluster(empty_data)
    try:
        await made.start()
        migration = launch([sys.executable, "-m", "service", "migrate"], DATABASE_URL=made.url)
        assert await migration.exit_code(60) == 0, migration.stderr
        yield made
    finally:
        await asyncio.to_thread(made.remove)


@pytest.fixture(scope="session")
def head() -> dict[str, bool]:
    """Record whether the head of the table has been printed."""
    return {"printed": False}


@pytest.fixture
async def stage(cluster, launch, sign, capsys, head) -> AsyncIterator[Callable[..., Stage]]:
    """`stage(workers=2)` prepares a trial; its result is one line of a table."""

    def say(line: str) -> None:
        if "PYTEST_XDIST_WORKER" in os.environ:
            return  # a parallel test process has no terminal
        with capsys.disabled():
            print(line if head["printed"] else f"{HEADER}\n{line}", flush=True)
            head["printed"] = True

    made: list[Stage] = []

    def make(**options) -> Stage:
        made.append(Stage(cluster, launch, sign, say, secret=SECRET, **options))
        return made[-1]

    yield make
    for trial in made:
        for follower in trial.followers:
            await follower.stop()
