"""Which browsers' pages may call: the allow-list, preflights, and what pages may read."""

from __future__ import annotations

import pytest

OURS = "https://app.example.com"
OTHERS = [
    "https://evil.example.com", "https://app.example.com.evil.com", "http://app.example.com",
    "https://app.example.com:444", "https://APP.example.com", "https://app.example.com/", "null", "*", "",
]  # fmt: skip
EXPOSED = {
    "ETag", "Link", "Location", "Retry-After", "X-Request-ID", "X-Total-Count", "RateLimit", "RateLimit-Policy",
    "Idempotency-Replayed",
}  # fmt: skip


def granted(response) -> set[str]:
    return {name for name in response.headers if name.startswith("access-control-")}


def listed(response, name: str) -> set[str]:
    return set(response.headers[name].split(", "))


@pytest.mark.parametrize(
    ("path", "method", "methods"),
    [
        ("/api/alice/tasks", "POST", {"GET", "HEAD", "OPTIONS", "POST", "DELETE"}),
        ("/api/alice/tasks/5", "PATCH", {"GET", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE"}),
        ("/api/alice/tasks/5", "DELETE", {"GET", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE"}),
        ("/api/alice/tasks/5/complete", "PATCH", {"OPTIONS", "PATCH", "POST"}),
        ("/api/alice/tasks/summary", "GET", {"GET", "HEAD", "OPTIONS"}),
        ("/health", "GET", {"GET", "HEAD", "OPTIONS"}),
    ],
)
async def test_a_preflight_needs_no_token_and_tells_what_may_be_sent(http, statements, path, method, methods):
    headers = {
        "Origin": OURS,
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": "authorization",
    }
    with statements() as seen:
        response = await http.options(path, headers=headers)
    assert response.status_code == 204
    assert response.content == b""
    assert response.headers["access-control-allow-origin"] == OURS
    assert response.headers["access-control-allow-credentials"] == "true"
    assert listed(response, "access-control-allow-methods") >= methods - {"OPTIONS"}
    assert method in listed(response, "access-control-allow-methods")
    assert listed(response, "access-control-allow-headers") >= {"Authorization", "Content-Type", "X-Request-ID"}
    assert int(response.headers["access-control-max-age"]) > 0
    assert response.headers["x-request-id"]
    assert "Origin" in response.headers.get("vary", "")
    assert seen == []


@pytest.mark.parametrize("origin", OTHERS)
async def test_to_another_origin_a_preflight_grants_nothing(http, origin):
    headers = {"Origin": origin, "Access-Control-Request-Method": "GET"}
    response = await http.options("/api/alice/tasks", headers=headers)
    assert response.status_code == 204
    assert granted(response) == set()


async def test_a_page_of_ours_may_read_the_answer_and_its_headers(alice, private):
    response = await alice.get(alice.path, headers={"Origin": OURS})
    assert response.status_code == 200
    assert response.headers["access-control-allow-origin"] == OURS
    assert response.headers["access-control-allow-credentials"] == "true"
    assert listed(response, "access-control-expose-headers") == EXPOSED
    private(response)


@pytest.mark.parametrize("origin", [*OTHERS, None])
async def test_no_other_page_may(alice, private, origin):
    response = await alice.get(alice.path, headers={"Origin": origin} if origin is not None else {})
    assert response.status_code == 200
    assert granted(response) == set()
    private(response)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/api/alice/tasks/0", 404),
        ("GET", "/api/bob/tasks", 403),
        ("GET", "/api/alice/nothing", 404),
        ("PUT", "/api/alice/tasks", 405),
        ("POST", "/api/alice/tasks", 400),
        ("GET", "/api/alice/tasks?limit=0", 422),
    ],
)
async def test_a_page_of_ours_may_read_errors_too(alice, method, path, status):
    response = await alice.request(method, path, headers={"Origin": OURS})
    assert response.status_code == status
    assert response.headers["access-control-allow-origin"] == OURS
    assert "X-Request-ID" in listed(response, "access-control-expose-headers")


async def test_a_page_of_ours_may_read_that_a_token_is_missing(http):
    response = await http.get("/api/alice/tasks", headers={"Origin": OURS})
    assert response.status_code == 401
    assert response.headers["access-control-allow-origin"] == OURS


async def test_what_is_shared_by_caches_varies_by_origin_too(http):
    for origin in (OURS, OTHERS[0]):
        response = await http.get("/openapi.json", headers={"Origin": origin})
        assert "public" in response.headers["cache-control"]
        assert "Origin" in response.headers.get("vary", "")


async def test_options_without_a_page_behind_it_is_no_preflight(http, refusal):
    for headers in ({}, {"Origin": OURS}, {"Access-Control-Request-Method": "GET"}):
        refusal(await http.options("/api/alice/tasks", headers=headers), 401, "authentication_required")


async def test_a_preflight_of_no_route_is_not_found(http, refusal):
    headers = {"Origin": OURS, "Access-Control-Request-Method": "GET"}
    refusal(await http.options("/api/alice/nothing", headers=headers), 404, "not_found")
