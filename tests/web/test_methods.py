"""HEAD and OPTIONS for every route with GET, 405 with Allow, and trailing slashes."""

from __future__ import annotations

import re

import pytest

from service.web.methods import CompiledOnce

ALLOWED = {
    "/api/me/tasks": {"GET", "HEAD", "OPTIONS", "POST", "DELETE"},
    "/api/me/tasks/{id}": {"GET", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE"},
    "/api/me/tasks/{id}/complete": {"PATCH", "POST"},
    "/api/me/tasks/summary": {"GET", "HEAD", "OPTIONS"},
    "/health": {"GET", "HEAD", "OPTIONS"},
    "/health/live": {"GET", "HEAD", "OPTIONS"},
    "/health/ready": {"GET", "HEAD", "OPTIONS"},
    "/docs": {"GET", "HEAD", "OPTIONS"},
    "/openapi.json": {"GET", "HEAD", "OPTIONS"},
}
METHODS = {"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"}
NONCE = re.compile(
    r"nonce-[\w-]{22}|(?<=csp-nonce\" content=\")[\w-]{22}"
)  # the documentation page has another one each time
READABLE = [path for path, methods in ALLOWED.items() if "GET" in methods]


def allow(response) -> set[str]:
    return set(response.headers["allow"].replace(" ", "").split(","))


def comparable(response) -> dict[str, str]:
    """Return the headers without those that differ in each response."""
    return {name: NONCE.sub("", value) for name, value in response.headers.items() if name != "x-request-id"}


@pytest.mark.usefixtures("one_minute")
@pytest.mark.parametrize("path", READABLE)
async def test_head_responds_as_get_without_the_body(alice, path):
    path = path.format(**await alice.make())
    alice.headers["Accept-Encoding"] = "identity"
    got, head = await alice.get(path), await alice.head(path)
    assert head.status_code == got.status_code == 200
    assert head.content == b""
    assert comparable(head) == comparable(got)
    assert head.headers["content-length"] == str(len(got.content))


@pytest.mark.parametrize("path", ["/api/me/tasks/1", "/api/me/tasks?limit=0", "/api/bob/tasks", "/nothing"])
async def test_head_of_an_error_has_its_status_and_headers(alice, path):
    got, head = await alice.get(path), await alice.head(path)
    assert head.status_code == got.status_code
    assert head.content == b""
    assert head.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("path", ALLOWED)
async def test_options_lists_the_same_methods_as_a_405(alice, refusal, path):
    methods = ALLOWED[path]
    path = path.format(**await alice.make())
    answer = await alice.options(path)
    assert answer.status_code == 204
    assert answer.content == b""
    assert allow(answer) == methods | {"OPTIONS"}
    for method in METHODS - methods - {"OPTIONS"}:
        response = await alice.request(method, path)
        if method == "HEAD":
            assert response.status_code == 405
        else:
            refusal(response, 405, "method_not_allowed")
        assert allow(response) == methods | {"OPTIONS"}
        assert method not in allow(response)


@pytest.mark.parametrize("method", ["TRACE", "FOO", "PROPFIND", "NONE", "QUERY"])
async def test_a_rare_http_method_is_not_allowed_either(alice, refusal, method):
    response = await alice.request(method, alice.path)
    refusal(response, 405, "method_not_allowed")
    assert allow(response) == ALLOWED["/api/me/tasks"]
    assert b"Bearer" not in response.content


@pytest.mark.parametrize("method", ["DELETE", "PUT", "FOO"])
async def test_a_method_of_no_route_is_not_found(alice, refusal, method):
    refusal(await alice.request(method, "/api/alice/nothing"), 404, "not_found")


@pytest.mark.parametrize("path", READABLE)
async def test_a_trailing_slash_makes_no_difference_to_reading(alice, path):
    path = path.format(**await alice.make())
    plain, slashed = await alice.get(path), await alice.get(f"{path}/")
    assert slashed.status_code == plain.status_code == 200
    assert NONCE.sub("", slashed.text) == NONCE.sub("", plain.text)


async def test_a_trailing_slash_makes_no_difference_to_writing(alice):
    created = await alice.post(f"{alice.path}/", json={"title": "A"})
    assert created.status_code == 201
    path = created.headers["location"]
    assert not path.endswith("/")
    assert (await alice.put(f"{path}/", json={"title": "B"})).json()["title"] == "B"
    assert (await alice.patch(f"{path}/complete/")).json()["completed"] is True
    assert (await alice.delete(f"{path}/")).status_code == 204
    assert (await alice.delete(f"{alice.path}/?status=all")).json() == {"deleted": 0}


async def test_an_unknown_route_is_404_with_or_without_a_token(alice, http, refusal, subtests):
    for path in [
        "/",
        "/api",
        "/api/",
        "/api/alice/nothing",
        "/api/alice/task",
        "/api/alice/tasks/1/2",
        "/api/alice/tasks/1/complete/2",
        "/api//tasks",
        "//api/alice/tasks",
        "/API/alice/tasks",
        "/api/alice/tasks.json",
        "/api/alice/tasks/summary/1",
        "/health/none",
        "/docs/nothing.js",
        "/docs/..%2f..%2fetc%2fpasswd",
        "/favicon.ico",
        "/.env",
        "/debug",
    ]:
        with subtests.test(path=path):
            for caller in (http, alice):
                response = await caller.get(f"{caller.base_url}".rstrip("/") + path)
                refusal(response, 404, "not_found")


async def test_the_search_for_routes_is_compiled_when_they_are_complete(server, app):
    router = CompiledOnce()
    router.add("/api/<user_id:str>/tasks", ["GET"], test_the_search_for_routes_is_compiled_when_they_are_complete)
    router.finalize()
    assert router.find_route is None
    router.reset()
    router.finalize(do_compile=True)
    assert router.get("/api/me/tasks", "GET", None)[2] == {"user_id": "me"}
    assert isinstance(app.router, CompiledOnce)
    assert app.router.finalized
