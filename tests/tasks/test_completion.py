"""Completing and reopening: a request without a body toggles, and one with a body sets; PATCH and POST are equal."""

from __future__ import annotations

import asyncio

import pytest

from tests.etags import etag_of

JSON = {"Content-Type": "application/json"}


@pytest.fixture(params=["PATCH", "POST"])
def complete(request, alice):
    """Call …/complete for a task of alice, with each of its methods."""

    async def call(task: dict, **options: object):
        return await alice.request(request.param, f"{alice.path}/{task['id']}/complete", **options)

    return call


async def test_a_missing_task_cannot_be_completed(complete, refusal):
    refusal(await complete({"id": 1}), 404, "task_not_found")
    refusal(await complete({"id": 1}, json={"completed": True}), 404, "task_not_found")


async def test_a_completion_without_a_body_toggles(alice, complete, private, subtests):
    for nothing in [{}, {"content": b""}, {"content": b"", "headers": JSON}, {"content": b" \n", "headers": JSON}]:
        with subtests.test(nothing=nothing):
            task = await alice.make(due_date="2026-12-24", tags=["home"])
            response = await complete(task, **nothing)
            completed = response.json()
            assert response.status_code == 200
            assert response.headers["content-type"] == "application/json"
            assert response.headers["etag"] == etag_of(completed)
            private(response)
            assert completed == task | {
                "completed": True,
                "completed_at": completed["updated_at"],
                "updated_at": completed["updated_at"],
                "version": task["version"] + 1,
            }
            assert completed["updated_at"] > task["updated_at"]
            reopened = (await complete(task, **nothing)).json()
            assert reopened == task | {"updated_at": reopened["updated_at"], "version": task["version"] + 2}
            assert (await alice.get(f"{alice.path}/{task['id']}")).json() == reopened


@pytest.mark.parametrize("completed", [True, False])
async def test_a_completion_with_a_body_sets_and_a_repetition_changes_nothing(alice, complete, completed):
    task = await alice.make(completed=not completed)
    first = await complete(task, json={"completed": completed})
    assert first.status_code == 200
    assert first.json()["completed"] is completed
    assert (first.json()["completed_at"] is not None) is completed
    assert first.json()["version"] == 2
    second = await complete(task, json={"completed": completed})
    assert second.status_code == 200
    assert second.json() == first.json()
    assert second.headers["etag"] == first.headers["etag"]


async def test_completed_at_is_kept_until_the_task_is_reopened(alice, complete):
    task = await alice.make()
    done = (await complete(task, json={"completed": True})).json()
    path = f"{alice.path}/{task['id']}"
    renamed = (await alice.patch(path, json={"title": "B", "completed": True})).json()
    assert renamed["completed_at"] == done["completed_at"] < renamed["updated_at"]
    reopened = (await alice.patch(path, json={"completed": False})).json()
    assert reopened["completed_at"] is None
    again = (await complete(task)).json()
    assert again["completed_at"] == again["updated_at"] > renamed["updated_at"]


async def test_a_completion_ignores_read_only_fields(alice, complete):
    task = await alice.make()
    sent = {"completed": True, "id": 0, "user_id": "bob", "version": 99, "completed_at": "1999-01-01T00:00:00Z"}
    response = await complete(task, json={**sent, "created_at": None, "updated_at": None})
    assert response.status_code == 200
    assert response.json()["completed_at"] == response.json()["updated_at"]
    assert response.json()["id"] == task["id"]


async def test_an_unclear_completion_body_changes_nothing(alice, complete, refusal, subtests):
    task = await alice.make()
    for body, field in [
        *(({"completed": value}, "completed") for value in ("yes", "true", 1, 0, None, [], {})),
        ({"completed": True, "title": "B"}, "title"),
        ({"done": True, "completed": True}, "done"),
    ]:
        with subtests.test(body=body, field=field):
            refusal(await complete(task, json=body), 422, "validation_error", field)
            assert (await alice.get(f"{alice.path}/{task['id']}")).json() == task


async def test_no_concurrent_toggle_is_lost(alice, complete):
    task = await alice.make()
    answers = await asyncio.gather(*(complete(task) for _ in range(15)))
    assert {answer.status_code for answer in answers} == {200}
    flips = sorted((answer.json()["version"], answer.json()["completed"]) for answer in answers)
    assert flips == [(version, version % 2 == 0) for version in range(2, 17)]


async def test_of_many_concurrent_completions_only_one_changes_the_task(alice, complete):
    task = await alice.make()
    answers = await asyncio.gather(*(complete(task, json={"completed": True}) for _ in range(15)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.content for answer in answers}) == 1
    assert answers[0].json()["version"] == 2
