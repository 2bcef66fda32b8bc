"""The conditions of a write: the error says why the item may not be written, and what to do."""

from __future__ import annotations

import pytest

from service.database.expected import Expected

CHANGED = (
    "The list has changed since you read it, and is now at version 7; compare your change with 'current', and send it "
    "again with that version."
)
EXCLUDED = (
    "If-None-Match excludes this write, because the list exists at version 7; compare your change with 'current' and "
    "try again."
)
MANGLED = (
    'A proxy that compresses responses has changed the ETag in If-Match (to W/"…", or with a suffix such as -gzip), so '
    "it can never match; send the version as 'if_version' in the body, without If-Match."
)


@pytest.mark.parametrize(
    ("expected", "reason"),
    [
        (Expected([6]), CHANGED),
        (Expected([6], excluded=[7]), CHANGED),
        (Expected(None, excluded=[7]), EXCLUDED),
        (Expected(None, absent=True), EXCLUDED),
        (Expected([7], excluded=[7], mangled=True), EXCLUDED),
        (Expected([], mangled=True), MANGLED),
    ],
)
def test_the_error_states_the_condition_that_failed(expected, reason):
    assert not expected.admits(7)
    error = expected.mismatch(7, "{}", "list")
    assert (error.detail, error.document) == (reason, "{}")


def test_the_error_names_a_task_by_default():
    error = Expected([6]).mismatch(7, "{}")
    assert error.detail == CHANGED.replace("list", "task")
