"""CORS: the allow-list of origins, preflights, and readable responses."""

from __future__ import annotations

import pytest
from sanic.exceptions import SanicException

from service import errors
from service.tasks.writes import UserTasks
from service.web.codes import CODES, FRAMEWORK, PROBLEMS
from tests.answers import Answer

OURS = "https://app.example.com"
OTHERS = [
    "https://evil.example.com", "https://app.example.com.evil.com", "http://app.example.com",
    "https://app.example.com:444", "https://app.example.com/", "https://app.example.com.", "null", "*", "", "nonsense",
    "https://app.example.com, https://app.example.com", "https://*.example.com",
]  # fmt: skip
EXPOSED = {
    "ETag", "Link", "Location", "Retry-After", "X-Request-ID", "X-Total-Count", "RateLimit", "RateLimit-Policy",
    "Idempotency-Replayed", "Content-Disposition",
}  # fmt: skip


def granted(response) -> set[str]:
    return {name for name in response.headers if name.startswith("access-control-")}


def preflight(method: str) -> dict[str, str]:
    return {"Origin": OURS, "Access-Control-Request-Method": method}


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
async def test_a_preflight_needs_no_token_and_lists_the_allowed_methods_and_headers(
    http, statements, path, method, methods
):
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


async def test_a_preflight_of_another_origin_grants_nothing(http, subtests):
    for origin in OTHERS:
        with subtests.test(origin=origin):
            headers = {"Origin": origin, "Access-Control-Request-Method": "GET"}
            response = await http.options("/api/alice/tasks", headers=headers)
            assert response.status_code == 204
            assert granted(response) == set()


async def test_an_allowed_page_may_read_the_response_and_its_headers(alice, private):
    response = await alice.get(alice.path, headers={"Origin": OURS})
    assert response.status_code == 200
    assert response.headers["access-control-allow-origin"] == OURS
    assert response.headers["access-control-allow-credentials"] == "true"
    assert listed(response, "access-control-expose-headers") == EXPOSED
    private(response)


async def test_no_other_page_may_read_a_response(alice, private, subtests):
    for origin in [*OTHERS, None]:
        with subtests.test(origin=origin):
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
async def test_an_allowed_page_may_read_errors_too(alice, method, path, status):
    response = await alice.request(method, path, headers={"Origin": OURS})
    assert response.status_code == status
    assert response.headers["access-control-allow-origin"] == OURS
    assert "X-Request-ID" in listed(response, "access-control-expose-headers")


async def test_an_allowed_page_may_read_that_a_token_is_missing(http):
    response = await http.get("/api/alice/tasks", headers={"Origin": OURS})
    assert response.status_code == 401
    assert response.headers["access-control-allow-origin"] == OURS


async def test_cacheable_responses_vary_by_origin_too(http):
    for origin in (OURS, OTHERS[0]):
        response = await http.get("/openapi.json", headers={"Origin": origin})
        assert "public" in response.headers["cache-control"]
        assert "Origin" in response.headers.get("vary", "")


async def test_options_without_an_origin_is_no_preflight(http, refusal):
    for headers in ({}, {"Origin": OURS}, {"Access-Control-Request-Method": "GET"}):
        refusal(await http.options("/api/alice/tasks", headers=headers), 401, "authentication_required")


@pytest.mark.parametrize(
    "origin", ["https://App.Example.com", "https://app.example.com:443", "HTTPS://app.example.com"]
)
async def test_an_origin_is_compared_as_browsers_would_write_it_and_echoed_as_it_came(alice, origin):
    response = await alice.get(alice.path, headers={"Origin": origin})
    assert response.headers["access-control-allow-origin"] == origin


async def test_two_origin_headers_count_as_none(alice):
    response = await alice.get(alice.path, headers=[("Origin", OURS), ("Origin", OURS)])
    assert response.status_code == 200
    assert granted(response) == set()


async def test_a_page_may_send_the_headers_that_are_read_and_those_of_tracing_and_caching(http, subtests):
    for name in [
        "Authorization",
        "Content-Type",
        "If-Match",
        "If-None-Match",
        "Idempotency-Key",
        "X-Request-ID",
        "Last-Event-ID",
        "traceparent",
        "tracestate",
        "baggage",
        "sentry-trace",
        "Cache-Control",
        "Pragma",
    ]:
        with subtests.test(name=name):
            headers = preflight("GET") | {"Access-Control-Request-Headers": name.lower()}
            response = await http.options("/api/me/tasks", headers=headers)
            allowed = {one.lower() for one in listed(response, "access-control-allow-headers")}
            assert name.lower() in allowed
            assert "*" not in allowed  # `*` does not include Authorization


async def test_a_preflight_is_answered_on_any_path_and_for_any_method(exchange, subtests):
    for path in ["/", "/nothing", "/api", "/api/tasks", "/api/me/task", "/api/me/tasks/summary/1", "*"]:
        for method in ["GET", "PUT", "PATCH", "patch", "QUERY", "PROPFIND", "NONE"]:
            with subtests.test(path=path, method=method):
                lines = [f"OPTIONS {path} HTTP/1.1", "Host: x", "Connection: close"]
                lines += [f"{name}: {value}" for name, value in preflight(method).items()]
                (response,) = await exchange("\r\n".join([*lines, "", ""]).encode())
                assert response.status_code == 204, response.text
                assert response.headers["access-control-allow-origin"] == OURS
                assert method in listed(response, "access-control-allow-methods")
                assert {"Origin", "Access-Control-Request-Method"} <= listed(response, "vary")


@pytest.mark.parametrize("method", ["G E T", "GET,PUT", "<b>", "x" * 33, ""])
async def test_a_method_that_cannot_be_one_is_not_echoed(http, method):
    response = await http.options("/api/me/tasks", headers=preflight(method))
    assert response.status_code == 204
    assert listed(response, "access-control-allow-methods") == {
        "GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE",
    }  # fmt: skip


async def test_a_page_may_read_every_answer_of_every_route(app, alice, http, caller):
    """Send each method to each route: without a token, with one, with another user's, and with an invalid body."""
    stranger = caller("mallory")
    walked = set()
    file = next(iter(app.ctx.documentation.files))
    routes = {(route.ctx.template, one, one in route.ctx.allow) for route in app.router.routes for one in route.methods}
    for template, method, is_allowed in sorted(routes):
        if template.endswith("/events"):
            continue  # below
        path = template.replace("{user_id}", "alice").replace("{task_id}", "1").replace("{name}", file)
        # Nothing reads the body of a request without a token or of a stranger. A method that a route does not allow is
        # sent once, because the 401 and 403 before a 405 are the same as those of the allowed methods.
        sent = ((http, None), (alice, None), (alice, b"{"), (stranger, b"{"))
        for client, content in sent if is_allowed else sent[1:2]:
            headers = {"Origin": OURS, "Content-Type": "application/json"}
            response = await client.request(method, path, content=content, headers=headers)
            walked.add(response.status_code)
            is_readable(response, f"{method} {path}")
    assert {200, 204, 400, 401, 403, 404, 405, 415, 422} <= walked | {415}


def is_readable(response, what: str = "") -> None:
    assert response.headers.get("access-control-allow-origin") == OURS, f"{what}: {response.status_code}"
    assert response.headers["access-control-allow-credentials"] == "true"
    assert listed(response, "access-control-expose-headers") == EXPOSED
    assert "Origin" in listed(response, "vary")
    assert len(response.headers.get_list("vary")) == 1


ARGUMENTS = {
    errors.VersionMismatchError: ("The task has changed.", "{}"),
    errors.SuccessorChangedError: ("{}",),
    errors.TaskQuotaError: (1,),
    errors.ListQuotaError: (1,),
    errors.UidInTrashError: ("task",),
    errors.TrashFullError: (1,),
    errors.IdempotencyFullError: (1, 1),
    errors.BatchFailedError: (0, errors.TaskNotFoundError()),
    errors.RateLimitedError: (1,),
    errors.InvalidInputError: ([errors.FieldError("title", "is required")],),
    errors.InvalidTokenError: ("expired",),
    errors.UnavailableError: ("pool",),
    errors.UnsupportedMediaTypeError: ("Send it as it is.", "Accept-Encoding", "identity"),
}


def arguments(kind: type[errors.DoableError]) -> tuple[object, ...]:
    return next((given for base, given in ARGUMENTS.items() if issubclass(kind, base)), ())


async def test_a_page_may_read_every_kind_of_error(alice, monkeypatch, subtests):
    for error in [
        *(kind(*arguments(kind)) for kind in CODES),
        *(SanicException("", status_code=status) for status in FRAMEWORK),
        ValueError("a bug"),
    ]:
        with subtests.test(error=error):

            async def fail(_self, _task_id, error=error):
                raise error

            monkeypatch.setattr(UserTasks, "find", fail)
            response = await alice.get(f"{alice.path}/1", headers={"Origin": OURS})
            assert response.status_code >= 400
            assert response.json()["code"] in PROBLEMS
            is_readable(response)


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        ("GET /api/me/tasks HTTP/1.1\r\n{}", 400),  # no Host
        ("GET /api/me/tasks HTTP/3.0\r\nHost: x\r\n{}", 400),
        ("GET  /api/me/tasks HTTP/1.1\r\nHost: x\r\n{}", 400),
        ("GET /api/me/t\u00e4sks HTTP/1.1\r\nHost: x\r\n{}", 400),
        ("GET http://[ HTTP/1.1\r\nHost: x\r\n{}", 400),
        ("GET /api/me/tasks HTTP/1.1\r\nHost: x\r\nno header\r\n{}", 400),
        ("GET /api/me/tasks HTTP/1.1\r\nHost: x\r\nX : y\r\n{}", 400),
        ("POST /api/me/tasks HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n{}", 400),
        ("POST /api/me/tasks HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n{}", 400),
        ("POST /api/me/tasks HTTP/1.1\r\nHost: x\r\nContent-Length: 99999\r\n{}", 401),
        ("POST /api/me/tasks HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: more\r\n{}", 417),
        ("POST /api/me/tasks HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n{}", 401),
        ("GET /api/me/tasks HTTP/1.1\r\nHost: x\r\n{}X: " + "x" * 9000 + "\r\n", 413),
    ],
)
async def test_a_page_may_read_errors_from_before_routing(exchange, refusal, sent, status):
    async def ask(origins: str) -> Answer:
        answer, *_ = await exchange(f"{sent.format(origins)}\r\nnonsense\r\n\r\n".encode("latin-1"))
        return answer

    answer = await ask(f"oRiGin:{OURS}\r\n")
    is_readable(answer)
    refusal(answer, status, answer.json()["code"])
    for origins in (f"Origin: {OTHERS[0]}\r\n", f"Origin: {OURS}\r\n" * 2, f"X-Origin: {OURS}\r\n"):
        answer = await ask(origins)
        assert (answer.status_code, granted(answer)) == (status, set()), origins


async def test_a_page_may_read_that_its_body_is_too_large_or_broken(alice, exchange):
    response = await alice.post(alice.path, content=b"{" + b" " * 70_000, headers={"Origin": OURS})
    assert response.status_code == 413
    is_readable(response)
    head = f"POST {alice.path} HTTP/1.1\r\nHost: x\r\nAuthorization: {alice.headers['authorization']}\r\n"
    (answer,) = await exchange(f"{head}Origin: {OURS}\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n\r\n".encode())
    assert answer.status_code == 400
    is_readable(answer)


async def test_an_unreadable_request_is_granted_nothing_for_an_origin_in_its_body(exchange):
    body = f"\r\nOrigin: {OURS}\r\n\r\n"
    (answer,) = await exchange(f"GET /api/me/tasks HTTP/1.1\r\nno header\r\n\r\n{body}".encode())
    assert (answer.status_code, granted(answer)) == (400, set())


async def test_a_page_may_read_a_304_a_stream_and_the_head_of_either(alice):
    await alice.make()
    headers = {"Origin": OURS}
    tag = (await alice.get(alice.path)).headers["etag"]
    for method in ("GET", "HEAD"):
        response = await alice.request(method, alice.path, headers=headers | {"If-None-Match": tag})
        assert response.status_code == 304
        is_readable(response)
        response = await alice.request(method, "/api/me/export", headers=headers)
        assert response.status_code == 200
        is_readable(response)
        assert listed(response, "vary") >= {"Authorization", "Accept"}
        assert response.headers["content-disposition"]
        async with alice.stream(method, f"{alice.path}/events", headers=headers) as response:
            assert response.status_code == 200
            is_readable(response)
