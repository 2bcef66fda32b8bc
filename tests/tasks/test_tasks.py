"""Creating, reading and changing tasks."""

from __future__ import annotations

import asyncio
import re
from itertools import pairwise

import pytest

from tests.etags import etag_of

MOMENT = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{6}Z")
SERIES = ("repeat", "series", "occurrence", "next_due")
FIELDS = [
    "id", "uid", "user_id", "title", "description", "completed", "completed_at", "priority", "tags", "due_date",
    "due_at", "list_id", "parent_id", "position", "created_at", "updated_at", "version", *SERIES,
]  # fmt: skip
VERBS = [("GET", ""), ("PUT", ""), ("PATCH", ""), ("DELETE", ""), ("PATCH", "/complete"), ("POST", "/complete"),
         ("POST", "/skip")]  # fmt: skip
FULL = {
    "title": "Water the plants",
    "description": "The ones on the balcony too",
    "completed": True,
    "priority": "high",
    "tags": ["home", "Garden"],
    "due_date": "2026-12-24",
}


async def test_without_a_token_a_task_is_neither_shown_nor_changed(alice, http, refusal, subtests):
    task = await alice.make()
    for method, tail in VERBS:
        with subtests.test(method=method, tail=tail):
            response = await http.request(method, f"{alice.path}/{task['id']}{tail}", json={"title": "Mine now"})
            refusal(response, 401, "authentication_required")
            assert (await alice.get(f"{alice.path}/{task['id']}")).json() == task


async def test_with_another_users_token_a_task_is_neither_shown_nor_changed(alice, bob, refusal, subtests):
    task = await alice.make()
    for method, tail in VERBS:
        with subtests.test(method=method, tail=tail):
            response = await bob.request(method, f"{alice.path}/{task['id']}{tail}", json={"title": "Mine now"})
            refusal(response, 403, "forbidden")
            sent = {} if method == "DELETE" or tail == "/skip" else {"completed": True}
            refusal(await bob.request(method, f"{bob.path}/{task['id']}{tail}", json=sent), 404, "task_not_found")
            assert (await alice.get(f"{alice.path}/{task['id']}")).json() == task


async def test_the_response_to_a_creation_has_the_whole_task_its_location_and_etag(alice, private):
    response = await alice.post(alice.path, json={"title": "  Water the plants "})
    task = response.json()
    assert response.status_code == 201
    assert response.headers["content-type"] == "application/json"
    assert response.headers["location"] == f"/api/alice/tasks/{task['id']}"
    assert response.headers["etag"] == etag_of(task)
    private(response)
    assert list(task) == FIELDS
    assert task["title"] == "Water the plants"
    found = await alice.get(response.headers["location"])
    assert found.json() == task
    assert found.headers["etag"] == response.headers["etag"]


async def test_a_title_is_enough_and_every_other_field_has_its_default(alice):
    task = await alice.make("Water the plants")
    assert task == {
        "id": task["id"],
        "uid": task["uid"],
        "user_id": "alice",
        "title": "Water the plants",
        "description": None,
        "completed": False,
        "completed_at": None,
        "priority": "none",
        "tags": [],
        "due_date": None,
        "due_at": None,
        "list_id": None,
        "parent_id": None,
        "position": "U1ffffe",
        "created_at": task["updated_at"],
        "updated_at": task["updated_at"],
        "version": 1,
        **dict.fromkeys(SERIES),
    }
    assert type(task["id"]) is int
    assert MOMENT.fullmatch(task["created_at"])


async def test_a_task_may_be_created_with_every_field_at_once(alice):
    task = await alice.make(**FULL)
    assert task | FULL == task
    assert task["completed_at"] == task["created_at"]


async def test_without_a_title_nothing_is_created(alice, refusal):
    refusal(await alice.post(alice.path, json={"description": "Which?"}), 422, "validation_error", "title")
    assert (await alice.get(alice.path)).json() == []


async def test_me_is_an_alias_for_the_caller_and_the_location_names_the_real_id(alice):
    response = await alice.post("/api/me/tasks", json={"title": "Mine"})
    assert response.headers["location"] == f"/api/alice/tasks/{response.json()['id']}"
    assert (await alice.get("/api/me/tasks")).json() == (await alice.get(alice.path)).json() == [response.json()]


async def test_a_user_id_may_be_any_text_and_the_location_works(caller, subtests):
    for user_id in [
        "dFz1UQm3T0yLbXkA", "auth0|123", "a/b", "a..b", "100%", "%41", "ada@example.com", "a b+c", 'a>b<"c', "üñí😀",
        "x" * 255, "Me",
    ]:  # fmt: skip
        with subtests.test(user_id=user_id):
            ada = caller(user_id)
            response = await ada.post(ada.path, json={"title": "Mine"})
            assert response.status_code == 201, response.text
            assert response.json()["user_id"] == user_id
            assert response.headers["location"].startswith(ada.path + "/")
            assert (await ada.get(response.headers["location"])).json() == response.json()


async def test_an_impossible_id_is_404(alice, refusal, statements, subtests):
    for task_id in [
        "0",
        "-1",
        "+1",
        "1.0",
        "1e3",
        "01",
        "٣",
        "9223372036854775808",
        "9" * 40,
        "abc",
        "%201",
        "1%00",
        "1%2F",
        "null",
    ]:
        with subtests.test(task_id=task_id):
            with statements() as seen:
                response = await alice.get(f"{alice.path}/{task_id}")
            refusal(response, 404, "task_not_found")
            assert seen == []


@pytest.mark.parametrize("task_id", ["1", "9223372036854775807"])
async def test_an_unused_id_is_404(alice, refusal, task_id):
    refusal(await alice.get(f"{alice.path}/{task_id}"), 404, "task_not_found")


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
class TestUpdating:
    async def test_a_missing_task_cannot_be_changed(self, alice, refusal, method):
        refusal(await alice.request(method, f"{alice.path}/1", json={"title": "A"}), 404, "task_not_found")

    async def test_an_omitted_field_keeps_its_value(self, alice, private, method):
        task = await alice.make(**FULL)
        response = await alice.request(method, f"{alice.path}/{task['id']}", json={"title": "Feed the cat"})
        changed = response.json()
        assert response.status_code == 200
        assert response.headers["content-type"] == "application/json"
        assert response.headers["etag"] == etag_of(changed)
        assert "location" not in response.headers
        private(response)
        assert changed == task | {
            "title": "Feed the cat",
            "updated_at": changed["updated_at"],
            "version": task["version"] + 1,
        }
        assert changed["updated_at"] > task["updated_at"]
        assert list(changed) == FIELDS
        assert (await alice.get(f"{alice.path}/{task['id']}")).json() == changed

    async def test_null_clears_a_field(self, alice, method):
        task = await alice.make(**FULL)
        cleared = {"description": None, "priority": None, "tags": None, "due_date": None}
        changed = (await alice.request(method, f"{alice.path}/{task['id']}", json=cleared)).json()
        assert [changed[field] for field in cleared] == [None, "none", [], None]
        assert changed["title"] == task["title"]
        assert changed["version"] == task["version"] + 1

    async def test_an_empty_object_changes_nothing(self, alice, method):
        task = await alice.make(**FULL)
        response = await alice.request(method, f"{alice.path}/{task['id']}", json={})
        assert response.status_code == 200
        assert response.json() == task
        assert response.headers["etag"] == etag_of(task)

    async def test_sending_back_a_task_as_it_was_read_changes_nothing(self, alice, method):
        for fields in (FULL, {"due_at": "2026-12-24T18:00:00+01:00"}, {}):
            task = await alice.make(**fields)
            response = await alice.request(method, f"{alice.path}/{task['id']}", json=task)
            assert response.status_code == 200
            assert response.json() == task

    @pytest.mark.parametrize("repeat", [None, {"rrule": "FREQ=WEEKLY"}])
    async def test_an_object_of_the_change_feed_or_of_the_trash_can_be_sent_back(self, alice, method, repeat):
        made = await alice.make("Water", due_date="2090-01-05", repeat=repeat)
        path = f"{alice.path}/{made['id']}"
        await alice.delete(path)
        (trashed,) = (await alice.get("/api/alice/trash")).json()
        task = (await alice.post(f"/api/alice/trash/{made['id']}/restore")).json()
        (change,) = (await alice.get("/api/alice/changes")).json()["changes"]
        assert {"deleted_at"} == {*trashed} - {*task}
        assert {"type"} == {*change} - {*task}
        for sent in (change, trashed):
            response = await alice.request(method, path, json=sent)
            assert (response.status_code, response.json()) == (200, task)
            operation = {"op": "update", "id": made["id"], "changes": sent}
            response = await alice.post("/api/alice/batch", json={"operations": [operation]})
            assert (response.status_code, response.json()["results"]) == (200, [{"status": 200, "task": task}])
            response = await alice.post(alice.path, json=sent)
            assert (response.status_code, response.json()) == (200, task)
        changed = (await alice.request(method, path, json={**change, "title": "Water all"})).json()
        assert changed == task | {
            "title": "Water all", "updated_at": changed["updated_at"], "version": task["version"] + 1,
        }  # fmt: skip

    async def test_an_equal_value_in_another_notation_changes_nothing(self, alice, method):
        task = await alice.make(tags=["home"], due_at="2026-12-24T18:00:00+01:00")
        same = {"title": " A task\n", "description": "  ", "tags": ["home", " HOME"], "due_at": "2026-12-24T17:00:00Z"}
        assert (await alice.request(method, f"{alice.path}/{task['id']}", json=same)).json() == task

    async def test_read_only_fields_are_accepted_and_ignored(self, alice, method):
        task = await alice.make()
        sent = {
            "id": task["id"] + 1, "user_id": "bob", "created_at": "never", "updated_at": 5, "completed_at": [],
            "version": {"a": None},
        }  # fmt: skip
        assert (await alice.request(method, f"{alice.path}/{task['id']}", json=sent)).json() == task
        changed = (await alice.request(method, f"{alice.path}/{task['id']}", json={**sent, "title": "B"})).json()
        assert changed == task | {"title": "B", "updated_at": changed["updated_at"], "version": task["version"] + 1}

    async def test_every_change_takes_the_owners_next_revision_and_a_later_time(self, alice, method):
        seen = [await alice.make()]
        other = await alice.make("Another one takes the revision in between")
        for number in range(5):
            path = f"{alice.path}/{seen[0]['id']}"
            seen.append((await alice.request(method, path, json={"title": f"Title {number}"})).json())
        assert [task["version"] for task in seen] == [1, 3, 4, 5, 6, 7]
        assert other["version"] == 2
        assert all(before["updated_at"] < after["updated_at"] for before, after in pairwise(seen))
        assert {task["created_at"] for task in seen} == {seen[0]["created_at"]}

    async def test_a_bad_change_changes_nothing_at_all(self, alice, refusal, method):
        task = await alice.make()
        sent = {"title": "Good", "priority": "urgent", "completed": None}
        response = await alice.request(method, f"{alice.path}/{task['id']}", json=sent)
        refusal(response, 422, "validation_error", "priority", "completed")
        assert (await alice.get(f"{alice.path}/{task['id']}")).json() == task


async def test_concurrent_changes_of_different_fields_are_all_kept(alice):
    task = await alice.make()
    changes = [{"title": "B"}, {"description": "C"}, {"priority": "low"}, {"tags": ["d"]}, {"due_date": "2026-12-24"}]
    answers = await asyncio.gather(
        *(alice.patch(f"{alice.path}/{task['id']}", json=change) for change in changes)
    )  # fmt: skip
    assert sorted(answer.json()["version"] for answer in answers) == [2, 3, 4, 5, 6]
    found = (await alice.get(f"{alice.path}/{task['id']}")).json()
    for change in changes:
        assert found | change == found
