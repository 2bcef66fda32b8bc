"""Decide which tests run in one process, and how many processes there are, when pytest-xdist runs the suite.

Tests that share something expensive (a browser, an npm installation, a machine under load) are grouped by their file.
pytest-xdist's own groups (`--dist loadgroup`) are not used: xdist 3.8.0 writes the group into the private
`Item._nodeid`, which pytest 9.2.0 no longer reads, so its groups are silently ignored. `pytest_xdist_make_scheduler`
and `_split_scope` are xdist's documented extension points, and depend on node ids alone.
"""

from __future__ import annotations

import os

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

# Each file in these folders, and each of these files, runs in one process, in the order of its tests. xdist begins with
# these groups.
TOGETHER = ("tests/end_to_end/", "tests/trials/", "tests/tasks/test_plans.py", "tests/web/test_openapi.py")
BROWSER = ("tests/end_to_end/test_documentation.py", "tests/end_to_end/test_playground.py")  # they share one browser
# Tests that start processes, wait for limits or run a program of their own for seconds. They come next: one of them
# among the last tests would run alone while the other processes have nothing left to do.
LONG = (
    "tests/web/test_schemathesis.py", "tests/serving/", "tests/database/test_migrations.py",
    "tests/database/test_distribution.py", "tests/operations/test_tracing.py", "tests/transfer/test_transfers.py",
    "tests/web/test_resources.py", "tests/auth/test_rotation.py", "tests/operations/test_worker_metrics.py",
    "tests/clients/",
)  # fmt: skip


class FileGroups(LoadScopeScheduling):
    """Keep the files of the folders in TOGETHER together, and spread all other tests one by one."""

    def _split_scope(self, nodeid: str) -> str:
        if nodeid.startswith(BROWSER):
            return "browser"
        return nodeid.partition("::")[0] if nodeid.startswith(TOGETHER) else nodeid


def begin_with_long_tests(items: list[pytest.Item]) -> None:
    """Sort the tests so that those of the files in LONG come first, in the order of LONG."""
    places = {
        item: next((at for at, begin in enumerate(LONG) if item.nodeid.startswith(begin)), len(LONG)) for item in items
    }
    items.sort(key=places.__getitem__)


@pytest.hookimpl
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> FileGroups:
    """Return the scheduler for any distribution mode."""
    return FileGroups(config, log)


@pytest.hookimpl
def pytest_xdist_auto_num_workers() -> int:
    """Return one process more than there are cores: some tests wait for a timeout or for another process."""
    return (os.cpu_count() or 1) + 1
