"""The order of checks, the same for every route: a request with several faults gets the first error in this order.

404 for an unknown route, 401, 403, 404 for an impossible id, 405, 415, 400, 422, and then the database.
"""

from __future__ import annotations

import pytest

BODIES = {
    "fine": (b'{"title": "A", "completed": true}', "application/json"),
    "invalid": (b'{"title": 1, "completed": 1}', "application/json"),
    "malformed": (b'{"title": ', "application/json"),
    "undeclared": (b'{"title": ', "text/plain"),
}
WRITES = [("PUT", ""), ("PATCH", ""), ("PATCH", "/complete"), ("POST", "/complete")]
CREATE = ("POST", None)


@pytest.fixture
def ask(alice, http):
    """Return a function that sends one request with the given faults."""

    async def ask(method, tail, body="fine", *, task="1", user="alice", anonymous=False):  # noqa: PLR0913 - one for each fault
        content, media_type = BODIES[body]
        headers = {"Content-Type": media_type}
        if not anonymous:
            headers["Authorization"] = alice.headers["authorization"]
        path = f"/api/{user}/tasks" + (f"/{task}{tail}" if tail is not None else "")
        return await http.request(method, path, content=content, headers=headers)

    return ask


@pytest.mark.parametrize(("method", "tail"), WRITES)
async def test_a_valid_request_reaches_the_database(ask, refusal, statements, method, tail):
    with statements() as seen:
        response = await ask(method, tail)
    if tail:  # …/complete takes no title
        refusal(response, 422, "validation_error", "title")
    else:
        refusal(response, 404, "task_not_found")
        assert len(seen) == 1


@pytest.mark.parametrize(("method", "tail"), [*WRITES, CREATE])
class TestWithoutTheDatabase:
    @pytest.fixture(autouse=True)
    def untouched(self, statements):
        with statements() as seen:
            yield
        assert seen == []

    async def test_422_comes_before_404_for_a_missing_task(self, ask, refusal, method, tail):
        response = await ask(method, tail, "invalid")
        fields = ("title", "completed")
        refusal(response, 422, "validation_error", *fields)

    async def test_400_comes_before_422(self, ask, refusal, method, tail):
        refusal(await ask(method, tail, "malformed"), 400, "malformed_json")

    async def test_415_comes_before_400(self, ask, refusal, method, tail):
        refusal(await ask(method, tail, "undeclared"), 415, "unsupported_media_type")

    async def test_405_comes_before_415(self, ask, refusal, method, tail):
        wrong = "PATCH" if tail is None else "PUT" if tail else "POST"
        refusal(await ask(wrong, tail, "undeclared"), 405, "method_not_allowed")

    async def test_403_comes_before_all_of_them(self, ask, refusal, method, tail):
        for wrong in (method, "FOO", "TRACE"):
            for task in ("1", "abc"):
                for body in BODIES:
                    refusal(await ask(wrong, tail, body, task=task, user="bob"), 403, "forbidden")

    async def test_401_comes_before_403(self, ask, refusal, method, tail):
        for wrong in (method, "FOO", "TRACE"):
            for body in BODIES:
                response = await ask(wrong, tail, body, task="abc", user="bob", anonymous=True)
                refusal(response, 401, "authentication_required")

    async def test_404_for_an_unknown_route_comes_before_401(self, ask, refusal, method, tail):
        for anonymous in (True, False):
            response = await ask(method, f"{tail or ''}/nothing/at/all", "undeclared", user="bob", anonymous=anonymous)
            refusal(response, 404, "not_found")


@pytest.mark.parametrize(("method", "tail"), WRITES)
async def test_404_for_an_impossible_id_comes_before_405(ask, refusal, statements, method, tail):
    with statements() as seen:
        for wrong in (method, "FOO", "PUT" if tail else "POST"):
            refusal(await ask(wrong, tail, "undeclared", task="abc"), 404, "task_not_found")
    assert seen == []


@pytest.mark.parametrize("tail", ["?limit=0", "?nothing", "/summary?tz=Nowhere", "/abc"])
async def test_the_owner_is_checked_before_the_query(alice, refusal, statements, tail):
    with statements() as seen:
        refusal(await alice.get(f"/api/bob/tasks{tail}"), 403, "forbidden")
    assert seen == []


async def test_another_user_with_a_body_over_the_limit_is_refused_or_disconnected(alice):
    response = await alice.post("/api/bob/tasks", content=b" " * 70_000, headers={"Content-Type": "application/json"})
    assert response.status_code in {403, 413}


async def test_a_bad_token_is_refused_before_a_good_path(http, refusal, statements):
    with statements() as seen:
        response = await http.get("/api/me/tasks", headers={"Authorization": "Bearer a.b.c"})
    refusal(response, 401, "invalid_token")
    assert seen == []


async def test_a_caller_whose_id_is_the_word_me_is_refused(caller, refusal, statements):
    with statements() as seen:
        refusal(await caller("me").get("/api/me/tasks"), 401, "invalid_token")
    assert seen == []
