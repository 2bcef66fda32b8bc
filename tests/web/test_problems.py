"""The table of errors: complete, without duplicates, and without internal details."""

from __future__ import annotations

import importlib
import inspect
from http import HTTPStatus

import msgspec
import pytest

from service import errors
from service.database.distribution import DistributionError
from service.database.migrations import SchemaLockedError
from service.database.scoping import UnscopedQueryError
from service.database.transactions import MissingRowError
from service.web import problems
from service.web.codes import CODES, FRAMEWORK, PROBLEMS

# Raised by a command, at startup, or because of a bug. In a response each of them is a bug, and 500.
NEVER_ANSWERED = {
    errors.DoableError, errors.ConfigurationError, DistributionError, MissingRowError, SchemaLockedError,
    UnscopedQueryError,
}  # fmt: skip


def domain(base: type[errors.DoableError] = errors.DoableError) -> set[type[errors.DoableError]]:
    """Return `base` and its subclasses in all modules that serve requests. Some are outside of `errors`."""
    importlib.import_module("service.app")
    found = [kind for kind in base.__subclasses__() if kind.__module__.startswith("service.")]
    return {base}.union(*map(domain, found))


def test_every_error_of_the_domain_has_its_problem():
    assert domain() - NEVER_ANSWERED == set(CODES)
    assert set(CODES.values()) <= set(PROBLEMS)


def test_every_error_of_the_framework_has_its_problem():
    for status, (code, detail) in FRAMEWORK.items():
        assert PROBLEMS[code].status == status
        assert detail.endswith(".")


def test_every_problem_can_happen():
    reached = {*CODES.values(), *(code for code, _ in FRAMEWORK.values()), "internal_error"}
    assert reached == set(PROBLEMS)


@pytest.mark.parametrize("problem", PROBLEMS.values(), ids=PROBLEMS)
def test_each_row_of_the_table_is_whole(problem):
    assert problem.code == problem.code.lower().replace(" ", "_")
    assert 400 <= HTTPStatus(problem.status) <= 599
    assert problem.title[0].isupper()
    assert not problem.title.endswith(".")
    assert problem.when.endswith(".")
    assert (problem.challenge is not None) == (
        problem.code in {"authentication_required", "invalid_token", "invalid_request"}
    )


@pytest.mark.parametrize("kind", sorted(domain() - NEVER_ANSWERED, key=lambda kind: kind.__name__))
def test_each_detail_is_a_sentence_for_people(kind):
    arguments = {
        errors.InvalidInputError: ([errors.FieldError("title", "is required")],),
        errors.BatchFailedError: (2, errors.TaskNotFoundError()),
        errors.TaskQuotaError: (10_000,),
        errors.ListQuotaError: (500,),
        errors.UidInTrashError: ("task",),
        errors.IdempotencyFullError: (10_000, 10_485_760),
        errors.VersionMismatchError: ("The task has changed.", "{}"),
        errors.InvalidTokenError: ("a reason for the log",),
        errors.UnavailableError: ("pool",),
        errors.UnsupportedMediaTypeError: ("Send the body as it is.", "Accept-Encoding", "identity"),
    }
    needed = len(inspect.signature(kind).parameters)
    error = kind(*arguments.get(kind, (5,) if needed and "detail" not in inspect.signature(kind).parameters else ()))
    assert error.detail[0].isupper() or isinstance(error, errors.InvalidInputError)
    assert error.detail.endswith(".")
    assert "reason" not in error.detail
    assert "pool" not in error.detail


def test_a_detail_of_input_names_each_fault_and_the_body_lists_them():
    error = errors.InvalidInputError([errors.FieldError("a", "is required"), errors.FieldError("", "is odd")])
    assert error.detail == "a: is required; is odd."
    body = problems.details(PROBLEMS["validation_error"], error.detail, "id-1", error)
    assert msgspec.to_builtins(body) == {
        "type": "urn:doable:problem:validation_error",
        "title": "Invalid input",
        "status": 422,
        "detail": "a: is required; is odd.",
        "code": "validation_error",
        "errors": [{"field": "a", "message": "is required"}, {"field": "", "message": "is odd"}],
        "request_id": "id-1",
    }


def test_a_body_without_faults_has_no_errors():
    body = problems.details(PROBLEMS["not_found"], "There is none.", "id-1", ValueError("secret"))
    assert "errors" not in msgspec.to_builtins(body)
    assert b"secret" not in msgspec.json.encode(body)
