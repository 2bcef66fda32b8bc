"""Bodies as bytes: JSON, objects and Content-Type."""

from __future__ import annotations

import pytest

from service.errors import MalformedInputError
from service.tasks.schemas import read_draft
from service.transfer import imports

MALFORMED = {
    "empty": b"",
    "blank": b" \n",
    "not JSON": b"title=A",
    "cut off": b'{"title": "A',
    "a comma too many": b'{"title": "A",}',
    "two values": b'{"title": "A"} {}',
    "single quotes": b"{'title': 'A'}",
    "a comment": b'{"title": "A"} // b',
    "NaN": b'{"title": "A", "id": NaN}',
    "Infinity": b'{"title": "A", "id": Infinity}',
    "-Infinity": b'{"title": Infinity}',
    "1e400": b'{"title": "A", "id": 1e400}',
    "two byte order marks": b'\xef\xbb\xbf\xef\xbb\xbf{"title": "A"}',
    "a byte order mark within": b'{\xef\xbb\xbf"title": "A"}',
    "half a byte order mark": b'\xef\xbb{"title": "A"}',
    "UTF-16": '{"title": "A"}'.encode("utf-16"),
    "not UTF-8": b'{"title": "\xff"}',
    "not UTF-8 in a name": b'{"\xff": 1, "title": "A"}',
    "not UTF-8 where it is ignored": b'{"title": "A", "id": "\xff"}',
    "overlong UTF-8": b'{"title": "\xc0\xaf"}',
    "a surrogate in UTF-8": b'{"title": "\xed\xa0\x80"}',
    "a lone high surrogate": b'{"title": "\\ud800"}',
    "a lone low surrogate": b'{"title": "\\udc00"}',
    "surrogates the wrong way round": b'{"title": "\\ude00\\ud83d"}',
    "a lone surrogate in a name": b'{"\\ud800": 1, "title": "A"}',
    "a lone surrogate where it is ignored": b'{"title": "A", "id": "\\ud800"}',
    "a raw NUL": b'{"title": "a\x00"}',
    "a raw line break": b'{"title": "a\nb"}',
    "20k arrays": b"[" * 20_000 + b"]" * 20_000,
    "20k arrays where they are ignored": b'{"title": "A", "id": ' + b"[" * 20_000 + b"]" * 20_000 + b"}",
    "6k objects": b'{"title":' * 6_000 + b"1" + b"}" * 6_000,
}
NO_OBJECT = [b"[]", b'[{"title": "A"}]', b'"title"', b"1", b"true", b"null", b"1e5"]
WRITES = [("POST", ""), ("PUT", "/{id}"), ("PATCH", "/{id}"), ("PATCH", "/{id}/complete"), ("POST", "/{id}/complete")]
JSON = {"Content-Type": "application/json"}


@pytest.fixture
async def send(alice):
    """Return a function that sends bytes to each route with a body; the one task must not change."""
    task = await alice.make()

    async def send(body: bytes, headers: dict[str, str], writes=WRITES) -> list:
        answers = [
            await alice.request(method, alice.path + tail.format(**task), content=body, headers=headers)
            for method, tail in writes
        ]
        assert (await alice.get(alice.path)).json() == [task]
        return answers

    return send


@pytest.mark.parametrize(
    "sent", [{"Content-Length": "0"}, {"Content-Length": "5"}, {"Transfer-Encoding": "chunked"}], ids=str
)
async def test_a_body_of_a_read_request_is_ignored_without_a_log_line(alice, caplog, sent):
    content = b"" if sent.get("Content-Length") == "0" else b"hello" if "Content-Length" in sent else chunks()
    for method in ("GET", "HEAD"):
        response = await alice.request(method, alice.path, content=content, headers=sent)
        assert (response.status_code, response.text) == (200, "[]" if method == "GET" else "")
        content = chunks() if "Transfer-Encoding" in sent else content
    assert not [record.message for record in caplog.records if "consumed" in record.message]


async def chunks():
    yield b"he"
    yield b"llo"


async def test_a_body_that_is_not_json_is_malformed(send, refusal, subtests):
    for name, body in MALFORMED.items():
        with subtests.test(name):
            writes = WRITES if body.strip() else WRITES[:3]  # a completion needs no body
            for response in await send(body, JSON, writes):
                refusal(response, 400, "malformed_json")


async def test_json_that_is_not_an_object_is_invalid(send, refusal, subtests):
    for body in NO_OBJECT:
        with subtests.test(body=body):
            writes = WRITES if body != b"null" else WRITES[:3]  # for a completion, null counts as no body
            for response in await send(body, JSON, writes):
                refusal(response, 422, "validation_error", "body")


@pytest.mark.parametrize("body", [b"null", b" null\n"])
async def test_null_counts_as_no_body_if_the_body_is_optional(alice, refusal, body):
    task = await alice.make()
    for method, completed in (("PATCH", True), ("POST", False)):
        response = await alice.request(method, f"{alice.path}/{task['id']}/complete", content=body, headers=JSON)
        assert (response.status_code, response.json()["completed"]) == (200, completed)
    response = await alice.request("DELETE", f"{alice.path}/{task['id']}", content=body, headers=JSON)
    assert (response.status_code, response.content) == (204, b"")
    response = await alice.post(f"/api/me/trash/{task['id']}/restore", content=body, headers=JSON)
    assert response.status_code == 200
    response = await alice.request("DELETE", "/api/me/trash", content=body, headers=JSON)
    assert (response.status_code, response.json()) == (200, {"deleted": 0})
    refusal(await alice.request("DELETE", "/api/me", content=body, headers=JSON), 422, "validation_error", "body")


async def test_the_error_for_malformed_json_names_the_position(send, refusal, subtests):
    for body, place in [
        (b"", 'has no body; send a JSON object such as {"title":"Water the plants"}.'),
        (b" \n", 'has no body; send a JSON object such as {"title":"Water the plants"}.'),
        (b'{"title": A}', "the fault is at byte 10, line 1, column 11."),
        (b'{"title": "A",}', "the fault is at byte 14, line 1, column 15."),
        ('{"title": "Ä",\n "id": x}'.encode(), "the fault is at byte 23, line 2, column 8."),
        (b'{"title": "A"', "it ends too early, after 13 bytes."),
        (b"{", "it ends too early, after 1 byte."),
        (b'{"title": "A"}x', "the fault is at byte 14, line 1, column 15."),
        (b'{"title": tru3}', "the fault is at byte 14, line 1, column 15."),
        (b'{"title": "\\ud800"}', "it contains half of a surrogate pair, or a number that is too large."),
        (b'{"title": ' + b"1" * 6_000 + b"}", "it contains half of a surrogate pair, or a number that is too large."),
        (b'{"title": 1e400}', "it contains half of a surrogate pair, or a number that is too large."),
        (b'{"title": "\\ud800', "it ends too early, after 17 bytes."),
        (b'{"title": "\xff"}', "byte 11 is not UTF-8."),
        (b"[" * 20_000, "it is nested too deeply."),
    ]:
        with subtests.test(body=body, place=place):
            for response in await send(body, JSON, WRITES[:3]):
                assert refusal(response, 400, "malformed_json")["detail"].endswith(place)


def test_deeply_nested_json_is_malformed_and_never_a_500():
    for depth in range(500, 1_100):
        for body in (b"[" * depth, b'{"title": "A", "id": ' + b"[" * depth, b'{"id":' * depth):
            with pytest.raises(MalformedInputError):
                read_draft(body)


async def test_a_body_that_is_not_declared_as_json_is_not_read(send, refusal, subtests):
    for media_type in [
        None,
        "",
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data",
        "application/problem+json",
        "application/jsonx",
        "json",
        "*/*",
        "application/",
        "application/json, application/json",
        'application/json; charset="utf-8',
        "application/json charset=utf-8",
        "application/json; charset",
        ";",
    ]:
        with subtests.test(media_type=media_type):
            headers = {} if media_type is None else {"Content-Type": media_type}
            for response in await send(b'{"title": "A", "completed": true}', headers):
                body = refusal(response, 415, "unsupported_media_type")
                assert "the header 'Content-Type: application/json'" in body["detail"]
                assert "application/json" in response.headers["accept"]


async def test_another_charset_is_refused_with_an_error_that_names_the_charset(send, refusal, subtests):
    for charset in [
        "latin-1",
        "utf-16",
        '"iso-8859-1"',
        " latin-1",
        "utf-8; charset=latin-1",
        "",
        "utf-80",
        '"utf-8 "',
    ]:
        with subtests.test(charset=charset):
            for response in await send(b'{"title": "A"}', {"Content-Type": f"application/json; charset={charset}"}):
                body = refusal(response, 415, "unsupported_media_type")
                assert "charset" in body["detail"]
                assert "charset=utf-8" in response.headers["accept"]


@pytest.mark.parametrize("coding", ["gzip", "br", "deflate, gzip", "identity, gzip", "GZIP"])
async def test_a_content_coding_is_refused_with_an_error_that_names_the_coding(send, refusal, coding):
    for response in await send(b'{"title": "A"}', {**JSON, "Content-Encoding": coding}):
        body = refusal(response, 415, "unsupported_media_type")
        assert "Content-Encoding" in body["detail"]
        assert response.headers["accept-encoding"] == "identity"


MEDIA_TYPES = [
    "application/json", "APPLICATION/JSON", "application/json;", "application/json; charset=utf-8",
    "application/json ;", 'application/json;charset="UTF-8"', "application/json;charset=utf-8;",
    "application/json; odata.metadata=minimal", "application/json; version=1.0", "application/json; charset='utf-8'",
    "application/json; charset = utf-8",
    "application/json;;charset=UTF8", "application/json; charset=utf-8; charset=utf8", 'application/json;v="a;b\\""',
    'application/json; charset="\\u\\t\\f-8"', 'application/json; profile="https://example.com/a,b"; charset=utf-8',
    "application/json; header=present", "application/json;ieee754compatible=true;q=0.5;a=",
]  # fmt: skip


async def test_only_the_charset_of_a_media_types_parameters_counts(alice, subtests):
    for media_type in MEDIA_TYPES:
        with subtests.test(media_type=media_type):
            body = '{"title": "Grüße"}'.encode()
            response = await alice.post(alice.path, content=body, headers={"Content-Type": media_type})
            assert response.status_code == 201
            assert response.json()["title"] == "Grüße"


async def test_an_import_reads_media_types_by_the_same_rules(alice, subtests):
    for media_type in MEDIA_TYPES:
        for name in ["application/json", "text/csv"]:
            with subtests.test(media_type=media_type, name=name):
                content = b'{"tasks": [{"title": "A"}]}' if name == "application/json" else b"title\r\nA\r\n"
                sent = media_type.lower().replace("application/json", name)
                response = await alice.post("/api/me/import", content=content, headers={"Content-Type": sent})
                assert (response.status_code, response.json()) == (200, {"imported": 1, "skipped": 0})


async def test_an_import_says_what_is_wrong_with_its_media_type(alice, refusal):
    for headers, said in (
        ({"Content-Type": "text/plain"}, "'Content-Type: application/json' or 'text/csv'"),
        ({"Content-Type": "text/csv; charset=latin-1"}, "charset"),
        ({"Content-Type": "text/csv", "Content-Encoding": "gzip"}, "Content-Encoding"),
    ):
        response = await alice.post("/api/me/import", content=b"title\nA\n", headers=headers)
        assert said in refusal(response, 415, "unsupported_media_type")["detail"]


@pytest.mark.parametrize("coding", ["identity", "Identity", "", ", identity"])
async def test_a_coding_that_changes_nothing_is_accepted(alice, coding):
    headers = {**JSON, "Content-Encoding": coding}
    assert (await alice.post(alice.path, content=b'{"title": "A"}', headers=headers)).status_code == 201


async def test_one_byte_order_mark_before_json_is_skipped_wherever_json_is_read(alice):
    mark, task = b"\xef\xbb\xbf", await alice.make()
    one = f"{alice.path}/{task['id']}"
    for method, path, content in (
        ("POST", alice.path, b'{"title": "B"}'),
        ("PATCH", one, b'{"title": "C"}'),
        ("PUT", one, b'{"title": "D"}'),
        ("PATCH", f"{one}/complete", b""),
        ("POST", f"{one}/complete", b'{"completed": false}'),
        ("POST", f"{alice.path}/batch", b'{"operations": [{"op": "create", "task": {"title": "E"}}]}'),
        ("POST", "/api/me/import", b'{"tasks": [{"title": "F"}]}'),
        ("DELETE", one, b"{}"),
        ("POST", f"/api/me/trash/{task['id']}/restore", b"{}"),
        ("DELETE", "/api/me", b'{"confirm": "alice"}'),
    ):
        response = await alice.request(method, path, content=mark + content, headers=JSON)
        assert response.status_code in {200, 201, 204}, (method, path, response.text)


async def test_only_put_and_patch_accept_a_merge_patch(alice, refusal):
    headers = {"Content-Type": "application/merge-patch+json"}
    task = await alice.make()
    for method, title in (("PUT", "B"), ("PATCH", "C")):
        response = await alice.request(
            method, f"{alice.path}/{task['id']}", content=f'{{"title": "{title}"}}', headers=headers
        )
        assert response.status_code == 200
        assert response.json()["title"] == title
    response = await alice.post(alice.path, content='{"title": "D"}', headers=headers)
    refusal(response, 415, "unsupported_media_type")


@pytest.mark.parametrize(
    ("body", "title"),
    [
        (b'{"title": "A", "title": "B"}', "B"),
        (b'{"title": "\\ud83d\\ude00"}', "😀"),
        (b'{"title": "A", "id": 1e300, "version": -0.0}', "A"),
        (b'\n{"title"\t:\r"A"}  ', "A"),
        (b'{"\\u0074itle": "A"}', "A"),
    ],
)
async def test_unusual_json_is_still_json_and_of_a_name_sent_twice_the_last_counts(alice, body, title):
    response = await alice.post(alice.path, content=body, headers=JSON)
    assert response.status_code == 201
    assert response.json()["title"] == title


async def test_a_body_on_a_route_without_one_is_ignored(alice):
    task = await alice.make()
    for method, path in (("GET", alice.path), ("GET", f"{alice.path}/{task['id']}")):
        assert (await alice.request(method, path, content=b"{", headers={"Content-Type": "x/y"})).status_code == 200
    response = await alice.request("DELETE", alice.path, params={"status": "all"}, json={"reason": "done"})
    assert response.json() == {"deleted": 1}


@pytest.mark.parametrize("path", ["/api/me/tasks/batch", "/api/me/import"])
async def test_a_body_that_does_not_arrive_is_408(  # noqa: PLR0913, PLR0917 - each is a fixture
    app, alice, exchange, refusal, monkeypatch, path
):
    monkeypatch.setitem(app.config, "READ_TIMEOUT", 1.0)
    monkeypatch.setattr(imports, "READ_TIMEOUT", 1.0)
    monkeypatch.setitem(app.config, "RESPONSE_TIMEOUT", 0.6)  # this limits the time of the service alone
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: {alice.headers['authorization']}\r\n"
    head += "Content-Type: application/json\r\nContent-Length: 20\r\n\r\n"
    (answer,) = await exchange(head.encode() + b'{"tasks"')
    refusal(answer, 408, "request_timeout")


async def test_a_response_that_takes_too_long_is_503(  # noqa: PLR0913, PLR0917 - each is a fixture
    app, alice, exchange, connection, refusal, monkeypatch
):
    monkeypatch.setitem(app.config, "RESPONSE_TIMEOUT", 0.2)
    head = f"GET {alice.path} HTTP/1.1\r\nHost: x\r\nAuthorization: {alice.headers['authorization']}\r\n\r\n"
    async with connection.transaction():
        await connection.execute("LOCK TABLE tasks IN ACCESS EXCLUSIVE MODE")
        (answer,) = await exchange(head.encode())
    refusal(answer, 503, "service_unavailable")


# Headers of HTTP clients for requests without a body: axios and superagent keep the type of all requests, jQuery and
# PHP's cURL assume forms, ky and fetch send none, and HTTP proxies may send a length of 0.
WITHOUT_BODY = {
    "fetch": {},
    "axios": {"Content-Type": "application/json", "Accept": "application/json, text/plain, */*"},
    "axios form": {"Content-Type": "application/x-www-form-urlencoded", "Content-Length": "0"},
    "jquery": {
        "Content-Type": "application/x-www-form-urlencoded; charset=UTF-8",
        "X-Requested-With": "XMLHttpRequest",
    },
    "fetch of a string": {"Content-Type": "text/plain;charset=UTF-8"},
    "superagent": {"Content-Type": "application/json", "Content-Length": "0"},
    "a multipart form": {"Content-Type": "multipart/form-data; boundary=x", "Content-Length": "0"},
    "nothing readable": {"Content-Type": "nonsense"},
    "chunked": {"Content-Type": "application/octet-stream", "Transfer-Encoding": "chunked"},
    "coded": {"Content-Type": "application/json", "Content-Encoding": "gzip", "Content-Length": "0"},
}


async def test_an_empty_body_of_any_media_type_counts_as_none(alice, exchange, subtests):
    for name, sent in WITHOUT_BODY.items():
        with subtests.test(name):
            await send_no_body(alice, exchange, sent)


async def send_no_body(alice, exchange, sent: dict[str, str]) -> None:
    task = await alice.make()
    end = "0\r\n\r\n" if "Transfer-Encoding" in sent else ""

    async def ask(method: str, path: str) -> int:
        headers = {"Host": "x", "Authorization": alice.headers["authorization"], "Connection": "close", **sent}
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        (answer,) = await exchange(f"{method} {path} HTTP/1.1\r\n{lines}\r\n{end}".encode())
        return answer.status_code

    path = f"{alice.path}/{task['id']}"
    assert await ask("GET", alice.path) == 200
    assert await ask("GET", path) == 200
    assert await ask("HEAD", path) == 200
    assert await ask("OPTIONS", path) == 204
    assert await ask("POST", f"{path}/complete") == 200
    assert await ask("PATCH", f"{path}/complete") == 200
    assert await ask("DELETE", path) == 204
    assert await ask("POST", f"/api/me/trash/{task['id']}/restore") == 200
    assert await ask("DELETE", f"{alice.path}?status=all") == 200
    assert await ask("DELETE", f"/api/me/trash/{task['id']}") == 204
    assert await ask("DELETE", "/api/me/trash") == 200
    assert await ask("POST", alice.path) in {400, 422}, "there is nothing to create, whatever the type"
    assert await ask("POST", f"{alice.path}/batch") in {400, 422}
    assert await ask("DELETE", "/api/me") in {400, 422}
