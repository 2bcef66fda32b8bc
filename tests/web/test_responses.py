"""The heads of responses: no header occurs twice, and no value can add another one."""

from __future__ import annotations

import pytest
from sanic.headers import format_http1_response

from service.web.responses import Answer


async def test_no_header_of_a_response_occurs_twice(alice):
    key = {"Idempotency-Key": "one"}
    tasks, missing = "/api/me/tasks", "/api/me/tasks/999999"
    created = [await alice.post(tasks, json={"title": "Milk"}, headers=key) for _ in range(2)]
    await alice.make()
    one, listed = f"{tasks}/{created[0].json()['id']}", await alice.get(f"{tasks}?limit=1&count=true")
    known = {"If-None-Match": listed.headers["etag"]}
    origin = {"Origin": "https://app.example.com"}
    replies = [
        *created,
        listed,
        await alice.get(f"{tasks}?limit=1&count=true", headers=known),
        await alice.get(one, headers=origin),
        await alice.patch(f"{one}/complete"),
        await alice.head(one),
        await alice.get(missing),
        await alice.put(tasks),
        await alice.options(one),
        await alice.get("/api/me/export"),
        await alice.head("/api/me/export"),
        await alice.get("/health/ready"),
        await alice.delete(one),
        await alice.delete("/api/me/trash"),
    ]
    assert [reply.status_code for reply in replies] == [
        201, 201, 200, 304, 200, 200, 200, 404, 405, 204, 200, 200, 200, 204, 200
    ]  # fmt: skip
    for reply in replies:
        names = [name.lower() for name, _ in reply.headers.multi_items()]
        assert sorted(names) == sorted(set(names)), reply.request


@pytest.mark.parametrize("value", ["text", 'W/"a, b"', "a\tb", "\x01\x7f", ""])
def test_a_head_is_the_one_that_sanic_writes(value):
    answer = Answer("{}", 200, {"ETag": value, "Vary": "Origin"}, "application/json")
    assert answer.head() == format_http1_response(200, answer.processed_headers)
    assert answer.head().endswith(b"\r\nVary: Origin\r\ncontent-type: application/json\r\n\r\n")


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        ("a\r\nSet-Cookie: b", b"aSet-Cookie: b"),
        ("a\nb", b"ab"),
        ("a\rb", b"ab"),
        ("a\0b", b"ab"),
        ("größer", "größer".encode()),
        (12, b"12"),
    ],
)
def test_a_value_cannot_add_a_header(value, sent):
    head = Answer(None, 204, {"ETag": value}).head()
    assert head == b"HTTP/1.1 204 No Content\r\nETag: " + sent + b"\r\n\r\n"
