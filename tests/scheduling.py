"""Decide which tests run in one process, in which order, and in how many processes, when pytest-xdist runs the suite.

Tests that share something expensive (a browser, an npm installation, a machine under load) are grouped by their file.
pytest-xdist's own groups (`--dist loadgroup`) are not used: xdist 3.8.0 writes the group into the private
`Item._nodeid`, which pytest 9.2.0 no longer reads, so its groups are silently ignored. `pytest_xdist_make_scheduler`
and `_split_scope` are xdist's documented extension points, and depend on node ids alone.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling
from xdist.workermanage import WorkerController

# Each file in these folders, and each of these files, runs in one process, in the order of its tests. The run begins
# with these groups, in this order, because some of them take a quarter of its time.
BROWSER = tuple(f"tests/end_to_end/test_{name}.py" for name in ("documentation", "playground", "replica"))  # share one
# The first installations by npm and the first start of the browser mostly wait for the network and the disk, so the
# first groups of the other processes are tests that compute.
TOGETHER = (
    *BROWSER, "tests/end_to_end/test_better_auth.py", "tests/tasks/test_plans.py", "tests/project/test_packaging.py",
    "tests/database/test_distribution.py", "tests/web/test_openapi.py", "tests/end_to_end/test_pages.py",
    "tests/end_to_end/", "tests/trials/", "tests/tasks/test_positions.py",
)  # fmt: skip
# Tests that start processes, wait for limits, or run a program of their own for seconds. They are spread over the run,
# because the cores are idle if all processes wait at the same time.
WAITING = (
    "tests/web/test_schemathesis.py", "tests/clients/", "tests/serving/", "tests/database/test_pool.py",
    "tests/database/test_migrations.py", "tests/idempotency/test_retries.py", "tests/operations/test_tracing.py",
    "tests/operations/test_worker_metrics.py", "tests/sync/test_event_streams.py", "tests/sync/test_positions.py",
    "tests/transfer/test_transfers.py", "tests/web/test_resources.py", "tests/web/test_unsent.py",
    "tests/auth/test_rotation.py",
)  # fmt: skip
PASSES = 8  # through the files in WAITING, because those that sleep for seconds follow each other in their files
BATCH = 10  # tests of one file that a process takes at once; each message between the processes takes CPU time


class Batches(LoadScopeScheduling):
    """Keep the groups in TOGETHER together, give out tests in WAITING one by one, and all others in batches."""

    def __init__(self, config: pytest.Config, log: Producer) -> None:
        super().__init__(config, log)
        config.option.loadscopereorder = False  # the tests are in the right order
        self._scopes: dict[str, str] = {}

    def add_node_collection(self, node: WorkerController, collection: Sequence[str]) -> None:
        """Assign each test to its batch, and register the tests of a process."""
        if not self._scopes:
            self._scopes = batches(collection)
        super().add_node_collection(node, collection)

    def _split_scope(self, nodeid: str) -> str:
        return self._scopes[nodeid]


def batches(nodeids: Sequence[str]) -> dict[str, str]:
    """Return the name of the batch of each test."""
    seen: Counter[str] = Counter()
    found = {}
    for nodeid in nodeids:
        file = nodeid.partition("::")[0]
        if nodeid.startswith(TOGETHER):
            found[nodeid] = BROWSER[0] if file in BROWSER else file
        elif nodeid.startswith(WAITING):
            found[nodeid] = nodeid
        else:
            found[nodeid] = f"{file} {seen[file] // BATCH}"
            seen[file] += 1
    return found


def put_in_order(items: list[pytest.Item]) -> None:
    """Begin with the groups in TOGETHER, and spread the tests in WAITING over the tests that use the server.

    The remaining tests are short, and end the run. Then all processes end at nearly the same time.
    """
    together, waiting, serving, rest = [], [], [], []
    for item in items:
        file = item.nodeid.partition("::")[0]
        if file.startswith(TOGETHER):
            together.append(item)
        elif file.startswith(WAITING):
            waiting.append(item)
        else:
            (serving if "server" in item.fixturenames else rest).append(item)
    together.sort(key=lambda item: place(item, TOGETHER))
    waiting.sort(key=lambda item: place(item, WAITING))
    waiting = [item for first in range(PASSES) for item in waiting[first::PASSES]]
    step = len(serving) / max(len(waiting), 1)
    places = {item: number for number, item in enumerate(serving)}
    places |= {item: number * step for number, item in enumerate(waiting)}
    items[:] = [*together, *sorted(places, key=places.__getitem__), *rest]


def place(item: pytest.Item, files: Sequence[str]) -> int:
    """Return the place of the test's file or folder in `files`."""
    return next(number for number, begin in enumerate(files) if item.nodeid.startswith(begin))


@pytest.hookimpl
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Batches:
    """Return the scheduler for any distribution mode."""
    return Batches(config, log)


@pytest.hookimpl
def pytest_xdist_auto_num_workers() -> int:
    """Return two processes more than there are cores: some tests wait for a timeout or for another process."""
    return (os.cpu_count() or 1) + 2
