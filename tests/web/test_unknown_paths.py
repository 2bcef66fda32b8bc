"""An unknown path gets an error that suggests the right path. The text depends on the path and never quotes it."""

from __future__ import annotations

import re

import pytest

from service.web import other_paths

GUESSES = [
    ("GET", "/api/tasks", "/api/me/tasks"), ("POST", "/api/tasks", "/api/me/tasks"),
    ("GET", "/api/Tasks/", "/api/me/tasks"),
    ("GET", "/api/tasks/5", "/api/me/tasks"), ("PATCH", "/api/tasks/5/complete", "/api/me/tasks"),
    ("GET", "/api/todos", "/api/me/tasks"), ("DELETE", "/api/tasks", "/api/me/tasks"),
    ("GET", "/api/trash", "/api/me/trash"), ("GET", "/api/export", "/api/me/export"),
    ("POST", "/api/import", "/api/me/import"),
    ("GET", "/api/tasks/trash", "/api/me/tasks"), ("GET", "/api/tasks/tasks", "/api/me/tasks"),
    ("GET", "/api/lists", "/api/me/lists"), ("POST", "/lists", "/api/me/lists"),
    ("GET", "/api/events", "/api/me/events"),
    ("GET", "/tasks", "/api/me/tasks"), ("POST", "/todos", "/api/me/tasks"), ("GET", "/tasks/5", "/api/me/tasks"),
    ("GET", "/api/me/list", "/api/me/lists"), ("GET", "/api/alice/projects", "/api/me/lists"),
    ("POST", "/api/batch", "/api/me/batch"), ("GET", "/api/me/task", "/api/me/tasks"),
    ("GET", "/api/alice/todos", "/api/me/tasks"),
    ("PATCH", "/api/me/tasks/5/toggle", "/api/me/tasks/{task_id}/complete"),
    ("POST", "/api/alice/tasks/5/done", "/api/me/tasks/{task_id}/complete"),
    ("POST", "/api/me/tasks/5/Restore/", "/api/me/trash/{task_id}/restore"),
    ("GET", "/api/me/summary", "/api/me/tasks/summary"), ("GET", "/api/changes", "/api/me/changes"),
    ("GET", "/api/v1/tasks", "no version"), ("GET", "/api/v1", "no version"), ("GET", "/v2/tasks", "no version"),
    ("GET", "/api/v1/me/tasks", "no version"),
    ("GET", "/api/auth/token", "auth server"), ("POST", "/api/auth/sign-in/email", "auth server"),
    ("POST", "/login", "auth server"),
    ("GET", "/", "/api/me/tasks"), ("GET", "/api", "/api/me/tasks"), ("GET", "/api/", "/api/me/tasks"),
]  # fmt: skip


async def test_a_commonly_guessed_path_is_404_with_the_right_path(alice, refusal, statements, subtests):
    for method, path, hint in GUESSES:
        with subtests.test(method=method, path=path, hint=hint):
            with statements() as seen:
                response = await alice.request(method, path)
            body = refusal(response, 404, "not_found")
            assert hint in body["detail"]
            assert "/docs" in body["detail"] or hint == "auth server"
            assert seen == []


@pytest.mark.parametrize(
    "path", ["/nothing", "/favicon.ico", "/api/me/nothing", "/api/me/tasks/1/2", "/api/me/tasks/summary/1"]
)
async def test_any_other_unknown_path_is_404_with_a_link_to_the_docs(alice, refusal, path):
    assert refusal(await alice.get(path), 404, "not_found")["detail"] == other_paths.NO_ROUTE


@pytest.mark.parametrize("path", ["/api/bob/tasks", "/api/tasksy/tasks", "/api/v1x/tasks", "/api/anybody"])
async def test_the_path_of_another_user_stays_one_constant_403(alice, refusal, path):
    refusal(await alice.get(path), 403, "forbidden")


@pytest.mark.parametrize("name", ["tasks", "trash", "v1", "auth"])
async def test_a_user_whose_id_is_such_a_word_works_under_it(caller, name):
    user = caller(name)
    made = await user.make()
    assert (await user.get(f"/api/{name}/tasks")).json() == [made]
    assert (await user.get(f"/api/{name}/tasks/{made['id']}")).json() == made
    assert (await user.get(f"/api/{name}")).status_code == 405  # the path is a route: DELETE erases the user
    assert (await user.request("DELETE", f"/api/{name}", json={"confirm": name})).status_code == 204


async def test_a_user_with_such_an_id_and_one_without_look_the_same_to_others(alice, caller):
    before = await alice.get("/api/tasks/tasks")
    await caller("tasks").make()
    after = await alice.get("/api/tasks/tasks")
    assert before.json() | {"request_id": ""} == after.json() | {"request_id": ""}


@pytest.mark.parametrize("path", ["/api/tasks", "/api/v1/tasks"])
async def test_without_a_token_a_path_of_the_form_of_a_route_is_401_as_always(http, refusal, path):
    refusal(await http.get(path), 401, "authentication_required")


@pytest.mark.parametrize(
    "path", ["/api/tasks/%3Cscript%3E", "/v1/../../etc/passwd", "/tasks/${jndi:x}", "/api/v1/s3cret"]
)
async def test_no_error_quotes_the_path(alice, refusal, path):
    detail = refusal(await alice.get(path), 404, "not_found")["detail"]
    assert not re.search(r"script|passwd|jndi|s3cret", detail)


@pytest.mark.parametrize("user", [".", ".."])
async def test_a_subject_of_dots_gets_no_path_that_clients_would_normalize(caller, user):
    dotted = caller(user)
    created = await dotted.post("/api/me/tasks", json={"title": "A"})
    assert created.status_code == 201
    assert created.headers["location"] == f"/api/me/tasks/{created.json()['id']}"
    assert (await dotted.get(created.headers["location"])).json() == created.json()


@pytest.mark.parametrize("path", ["/api/../tasks", "/api/%2e%2e/tasks", "/api/.%2E/tasks"])
async def test_the_link_to_the_next_page_of_a_subject_of_dots_names_me(caller, exchange, path):
    dotted = caller("..")
    for title in ("A", "B"):
        await dotted.post("/api/me/tasks", json={"title": title})
    head = f"Host: x\r\nAuthorization: {dotted.headers['authorization']}\r\nConnection: close\r\n\r\n"
    (page,) = await exchange(f"GET {path}?limit=1 HTTP/1.1\r\n{head}".encode())
    assert page.status_code == 200
    assert page.headers["link"].startswith("</api/me/tasks?limit=1&cursor=")


@pytest.mark.parametrize("user", ["a/b", "a b", "auth0|1", "...", "ü", "%2e%2e", "a?b#c", "*", "me2"])
async def test_the_path_of_any_other_subject_can_be_used_unchanged(caller, user):
    other = caller(user)
    created = await other.post("/api/me/tasks", json={"title": "A"})
    assert "/me/" not in created.headers["location"]
    assert (await other.get(created.headers["location"])).json() == created.json()
