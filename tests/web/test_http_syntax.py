"""HTTP/1.1 of RFC 9110 and RFC 9112: requests to refuse behind a lenient proxy, and requests that every server accepts.

Each case is bytes on a socket, and names the paragraph of the RFC.
"""

from __future__ import annotations

import asyncio
from typing import NamedTuple
from urllib.parse import urlsplit

import pytest

from tests.locks import WAITING

TITLE = b'{"title":"A"}'
SMUGGLED = b"DELETE /api/me/tasks?status=all HTTP/1.1\r\nHost: x\r\n\r\n"


class Case(NamedTuple):
    """A request after the header with the token, and the paragraph of the RFC."""

    name: str
    paragraph: str
    head: bytes  # more header lines, each with its CRLF
    body: bytes = b""
    line: bytes = b"POST /api/me/tasks HTTP/1.1"
    usual: bytes = b"Host: localhost\r\nContent-Type: application/json\r\n"


LENGTH = b"Content-Length: 13\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
LAST = b"\r\n0\r\n\r\n"

REFUSED = [
    Case("a bare LF in a value", "9112 2.2", b"X: a\nTransfer-Encoding: chunked\r\n" + LENGTH, TITLE),
    Case("a bare LF as a line's end", "9112 2.2", b"X: a\n" + LENGTH, TITLE),
    Case("a bare CR in a value", "9112 2.2", b"X: a\rb\r\n" + LENGTH, TITLE),
    Case("a bare CR as a line's end", "9112 2.2", b"X: a\rY: b\r\n" + LENGTH, TITLE),
    Case("two CRs", "9112 2.2", b"X: a\r\r\n" + LENGTH, TITLE),
    Case("NUL in a value", "9110 5.5", b"X: a\x00b\r\n" + LENGTH, TITLE),
    Case("a control character in a value", "9110 5.5", b"X: a\x1bb\r\n" + LENGTH, TITLE),
    Case("DEL in a value", "9110 5.5", b"X: a\x7f\r\n" + LENGTH, TITLE),
    Case("bare LFs throughout", "9112 2.2", b"\n\n", line=b"GET /health/live HTTP/1.1\nHost: x", usual=b""),
    Case("a bare CR before the request line", "9112 2.2", LENGTH, TITLE, b"\rPOST /api/me/tasks HTTP/1.1"),
    Case("a bare LF before the request line", "9112 2.2", LENGTH, TITLE, b"\nPOST /api/me/tasks HTTP/1.1"),
    Case("a vertical tab in a name", "9110 5.6.2", b"Transfer-Encoding\x0b: chunked\r\n" + LENGTH, TITLE),
    Case("an empty name", "9110 5.6.2", b": a\r\n" + LENGTH, TITLE),
    Case("a space in a name", "9110 5.6.2", b"X Y: a\r\n" + LENGTH, TITLE),
    Case("a space behind a name", "9112 5.1", b"Content-Length : 13\r\n", TITLE),
    Case("a tab behind a name", "9112 5.1", b"Transfer-Encoding\t: chunked\r\n", TITLE),
    Case("a quote in a name", "9110 5.6.2", b'X"Y: a\r\n' + LENGTH, TITLE),
    Case("a name that is not ASCII", "9110 5.6.2", "Ümlaut: a\r\n".encode() + LENGTH, TITLE),
    Case("a line without a colon", "9112 5", b"X\r\n" + LENGTH, TITLE),
    Case("a folded line", "9112 5.2", b"X: a\r\n b\r\n" + LENGTH, TITLE),
    Case("a folded first line", "9112 2.2", b" X: a\r\n" + LENGTH, TITLE, usual=b""),
    Case("two spaces in the request line", "9112 3", LENGTH, TITLE, b"POST  /api/me/tasks HTTP/1.1"),
    Case("a tab in the request line", "9112 3", LENGTH, TITLE, b"POST\t/api/me/tasks HTTP/1.1"),
    Case("a space behind the version", "9112 3", LENGTH, TITLE, b"POST /api/me/tasks HTTP/1.1 "),
    Case("a control character in the target", "9112 3.2", LENGTH, TITLE, b"POST /api/me/tasks?\x01 HTTP/1.1"),
    Case("a method that is no token", "9110 9.1", LENGTH, TITLE, b"PO(ST /api/me/tasks HTTP/1.1"),
    Case("HTTP/1.2", "9110 2.5", LENGTH, TITLE, b"POST /api/me/tasks HTTP/1.2"),
    *(
        Case(f"the target {target!r}", "9112 3.2", LENGTH, TITLE, b"POST " + target + b" HTTP/1.1")
        for target in (b"*", b"*api/me/tasks", b"api/me/tasks", b"?a=1", b"localhost:80", b"http:",
                       b"http:/api/me/tasks", b"http://", b"http:///api/me/tasks")
    ),
    Case("full-width digits as a length", "9110 8.6", "Content-Length: \uff11\uff13\r\n".encode(), TITLE),
    Case("Arabic digits as a length", "9110 8.6", "Content-Length: \u0661\u0663\r\n".encode(), TITLE),
    Case("a signed length", "9110 8.6", b"Content-Length: +13\r\n", TITLE),
    Case("a negative length", "9110 8.6", b"Content-Length: -13\r\n", TITLE),
    Case("an underscore in a length", "9110 8.6", b"Content-Length: 1_3\r\n", TITLE),
    Case("a hexadecimal length", "9110 8.6", b"Content-Length: 0xd\r\n", TITLE),
    Case("a no-break space before a length", "9110 8.6", "Content-Length: \u00a013\r\n".encode(), TITLE),
    Case("an empty length", "9110 8.6", b"Content-Length:\r\n", TITLE),
    Case("an endless length", "9110 8.6", b"Content-Length: " + b"9" * 200 + b"\r\n", TITLE),
    Case("two lengths", "9112 6.3", LENGTH + b"Content-Length: 12\r\n", TITLE),
    Case("one length twice", "9112 6.3", LENGTH + LENGTH, TITLE),
    Case("a list of lengths", "9112 6.3", b"Content-Length: 13, 13\r\n", TITLE),
    Case("a length beside a coding", "9112 6.3", LENGTH + CHUNKED, b"d\r\n" + TITLE + LAST),
    Case("another transfer coding", "9112 6.1", b"Transfer-Encoding: gzip\r\n", TITLE),
    Case("chunked under another coding", "9112 6.1", b"Transfer-Encoding: chunked, gzip\r\n", TITLE),
    Case("chunked over another coding", "9112 6.1", b"Transfer-Encoding: gzip, chunked\r\n", b"d\r\n" + TITLE + LAST),
    Case("chunked twice", "9112 6.1", CHUNKED + CHUNKED, b"d\r\n" + TITLE + LAST),
    Case("chunked in quotes", "9112 6.1", b'Transfer-Encoding: "chunked"\r\n', b"d\r\n" + TITLE + LAST),
    Case("chunked behind a vertical tab", "9112 6.1", b"Transfer-Encoding: \x0bchunked\r\n", b"d\r\n" + TITLE + LAST),
    Case("chunked in HTTP/1.0", "9112 6.1", CHUNKED, b"d\r\n" + TITLE + LAST, b"POST /api/me/tasks HTTP/1.0"),
    Case("no Host", "9112 3.2", LENGTH, TITLE, usual=b"Content-Type: application/json\r\n"),
    Case("two Hosts", "9112 3.2", b"Host: other\r\n" + LENGTH, TITLE),
    Case("one Host twice", "9112 3.2", b"Host: localhost\r\n" + LENGTH, TITLE),
    Case("two Hosts in HTTP/1.0", "9112 3.2", b"Host: other\r\n" + LENGTH, TITLE, b"POST /api/me/tasks HTTP/1.0"),
    *(
        Case(f"the Host {host!r}", "9112 3.2", LENGTH + b"Content-Type: application/json\r\n", TITLE,
             usual=b"Host: " + host + b"\r\n")
        for host in (b"a b", b"a, b", b"user@a", b"a/b", b"a:b", b"a:1:2", b"[::1", b"::1", b"a\\b", b"\xe4", b"a%zz",
                     b"a?b", b"a#b")
    ),
    *(
        Case(f"the chunk size {size!r}", "9112 7.1", CHUNKED, size + b"\r\n" + TITLE + LAST)
        for size in (
            b"0xd", b" d ", b" d", b"d ", b"\td", "\uff44".encode(), "\uff11".encode(), b"-d", b"+d", b"0_d", b"d_",
            b"", b";x", b"z", b"d\x0b", b"d\x00", b"d,", b"0" * 20 + b"d", b"d\n", b"d;a\nb", b"d;a\rb", b"d;\x00",
        )
    ),
    *(
        Case(f"{behind!r} behind a chunk", "9112 7.1", CHUNKED, b"d\r\n" + TITLE + behind + b"0\r\n\r\n")
        for behind in (b"XX", b"\n", b"\n\n", b"\r", b"\r\r", b"", b" \r\n", b"0\r\n")
    ),
    Case("a trailer that is no field", "9112 7.1.2", CHUNKED, b"d\r\n" + TITLE + b"\r\n0\r\nX Y: 1\r\n\r\n"),
    Case("a folded trailer", "9112 7.1.2", CHUNKED, b"d\r\n" + TITLE + b"\r\n0\r\nX: 1\r\n y\r\n\r\n"),
    Case("a bare LF in a trailer", "9112 7.1.2", CHUNKED, b"d\r\n" + TITLE + b"\r\n0\r\nX: 1\nY: 2\r\n\r\n"),
    Case("a request in place of a trailer", "9112 7.1.2", CHUNKED, b"d\r\n" + TITLE + b"\r\n0\r\n" + SMUGGLED),
    Case("trailers without end", "9112 7.1.2", CHUNKED, b"d\r\n" + TITLE + b"\r\n0\r\n" + b"X: 1234567\r\n" * 2_000),
    Case("a trailer without end", "9112 7.1.2", CHUNKED, b"d\r\n" + TITLE + b"\r\n0\r\nX: " + b"1" * 20_000),
    Case("a chunk extension without end", "9112 7.1.1", CHUNKED, b"d;" + b"x" * 20_000),
    Case("extensions without end", "9112 7.1.1", CHUNKED, (b"1;" + b"x" * 100 + b"\r\n \r\n") * 200),
    Case("empty lines without end", "9112 2.2", LENGTH, TITLE, b"\r\n" * 20 + b"POST /api/me/tasks HTTP/1.1"),
]  # fmt: skip

ACCEPTED = [
    Case("a length", "9112 6.3", LENGTH, TITLE),
    Case("leading zeros in a length", "9110 8.6", b"Content-Length: 00013\r\n", TITLE),
    Case("white space around a length", "9110 5.5", b"Content-Length:\t 13 \t\r\n", TITLE),
    Case("chunked", "9112 7.1", CHUNKED, b"d\r\n" + TITLE + LAST),
    Case("Chunked", "9112 7", b"Transfer-Encoding: Chunked\r\n", b"d\r\n" + TITLE + LAST),
    Case("CHUNKED and a name in lower case", "9112 7", b"transfer-encoding:CHUNKED\t\r\n", b"d\r\n" + TITLE + LAST),
    Case("a size in upper case and with zeros", "9112 7.1", CHUNKED, b"000D\r\n" + TITLE + LAST),
    Case("several chunks", "9112 7.1", CHUNKED, b"1\r\n{\r\n0c\r\n" + TITLE[1:] + b"\r\n000\r\n\r\n"),
    Case("a trailer", "9112 7.1.2", CHUNKED, b"d\r\n" + TITLE + b"\r\n0\r\nX-Sum: 1\r\n\r\n"),
    Case("two trailers", "9112 7.1.2", CHUNKED, b"d\r\n" + TITLE + b"\r\n0\r\nX: 1\r\nContent-Length: 99\r\n\r\n"),
    Case("chunk extensions", "9112 7.1.1", CHUNKED, b'd;a;b=c;d="e f"\r\n' + TITLE + b"\r\n0;last\r\n\r\n"),
    Case("white space before an extension", "9112 7.1.1", CHUNKED, b"d ; a = b\r\n" + TITLE + LAST),
    Case("an empty line before the request", "9112 2.2", LENGTH, TITLE, b"\r\nPOST /api/me/tasks HTTP/1.1"),
    Case("two of them", "9112 2.2", LENGTH, TITLE, b"\r\n\r\nPOST /api/me/tasks HTTP/1.1"),
    Case("HTTP/1.0 without a Host", "9112 3.2", b"Content-Type: application/json\r\n" + LENGTH, TITLE,
         b"POST /api/me/tasks HTTP/1.0", b""),
    Case("an absolute target", "9112 3.2.2", LENGTH, TITLE, b"POST http://localhost/api/me/tasks HTTP/1.1"),
    Case("obsolete text in a value", "9110 5.5", b"X: \xe4\xff\r\n" + LENGTH, TITLE),
    Case("a tab in a value", "9110 5.5", b"X: a\tb\r\n" + LENGTH, TITLE),
    Case("an empty value", "9110 5.5", b"X:\r\n" + LENGTH, TITLE),
    Case("every sign of a token in a name", "9110 5.6.2", b"!#$%&'*+-.^_`|~09azAZ: a\r\n" + LENGTH, TITLE),
    Case("an expectation in HTTP/1.0", "9110 10.1.1", b"Expect: 100-continue\r\n" + LENGTH, TITLE,
         b"POST /api/me/tasks HTTP/1.0"),
    *(
        Case(f"the Host {host!r}", "9112 3.2", LENGTH + b"Content-Type: application/json\r\n", TITLE,
             usual=b"Host: " + host + b"\r\n")
        for host in (b"", b"a", b"a:8000", b"127.0.0.1:1", b"[::1]:8000", b"[fe80::1]", b"a:", b"a_b", b"A.example.",
                     b"a%41")
    ),
    Case("white space behind a Host and around a type", "9110 5.5", LENGTH, TITLE,
         usual=b"Host: localhost \t\r\nContent-Type:\tapplication/json \t\r\n"),
    Case("white space around an Idempotency-Key", "9110 5.5", b"Idempotency-Key: \tk \t\r\n" + LENGTH, TITLE),
    Case("white space behind an expectation", "9110 5.5", b"Expect: 100-continue \t\r\n" + LENGTH, TITLE,
         b"POST /api/me/tasks HTTP/1.0"),
    Case("empty elements beside an expectation", "9110 5.6.1.2", b"Expect: , 100-Continue ,\r\n" + LENGTH, TITLE,
         b"POST /api/me/tasks HTTP/1.0"),
]  # fmt: skip


@pytest.fixture
def sent(sign):
    """Return the bytes of a case's request. It closes the connection, unless the case keeps it open."""

    def make(case: Case, *, close: bool = True) -> bytes:
        head = case.line + b"\r\n" + case.usual + b"Authorization: Bearer " + sign("alice").encode() + b"\r\n"
        return head + case.head + (b"Connection: close\r\n" if close else b"") + b"\r\n" + case.body

    return make


async def test_an_ambiguous_request_is_a_bad_request_and_ends_the_connection(exchange, sent, alice, refusal, subtests):
    for case in REFUSED:
        with subtests.test(case.name):
            answers = await exchange(sent(case, close=False) + SMUGGLED)
            assert len(answers) == 1, "what follows is no request"
            refusal(answers[0], 400, "bad_request")
            assert answers[0].headers["connection"] == "close"
            assert (await alice.get(alice.path)).json() == []


async def test_an_unambiguous_request_is_accepted(exchange, sent, alice, subtests):
    for case in ACCEPTED:
        with subtests.test(case.name, paragraph=case.paragraph):
            (answer,) = await exchange(sent(case))
            assert (answer.status_code, answer.headers["connection"]) == (201, "close"), answer.text
    assert [task["title"] for task in (await alice.get(alice.path)).json()] == ["A"] * len(ACCEPTED)


async def test_the_next_request_begins_where_the_body_ends_whatever_empty_lines_follow(exchange, sent, subtests):
    for case in [*ACCEPTED[:6], *ACCEPTED[8:12]]:
        for between in [b"", b"\r\n", b"\r\n\r\n"]:
            with subtests.test(case.name, between=between):
                last = b"GET /health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
                answers = await exchange((sent(case, close=False) + between) * 2 + last)
                assert [answer.status_code for answer in answers] == [201, 201, 200]


async def test_white_space_around_a_value_is_no_part_of_it(exchange):
    """RFC 9110 section 5.5."""
    (answer,) = await exchange(
        b"GET /health/live HTTP/1.1\r\nHost: x\r\nX-Request-ID:\t id-1 \t\r\nOrigin:\thttps://app.example.com \t\r\n"
        b"Connection:\tclose \t\r\n\r\n"
    )
    assert answer.headers["x-request-id"] == "id-1"
    assert answer.headers["access-control-allow-origin"] == "https://app.example.com"
    assert answer.headers["connection"] == "close"


async def test_a_request_sent_byte_by_byte_means_the_same(server, sent):
    case = Case("", "", b"Transfer-Encoding: Chunked\r\n", b"1;x\r\n{\r\nc\r\n" + TITLE[1:] + b"\r\n0\r\nX: 1\r\n\r\n")
    address = urlsplit(server)
    async with asyncio.timeout(60):
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        for byte in b"\r\n" + sent(case):
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0)
        assert (await reader.read()).startswith(b"HTTP/1.1 201 ")
        writer.close()


async def test_a_connection_is_idle_behind_a_stray_crlf_and_not_in_a_request(server, app, sent, monkeypatch):
    monkeypatch.setitem(app.config, "READ_TIMEOUT", 0.3)
    address = urlsplit(server)
    async with asyncio.timeout(60):
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        writer.write(sent(ACCEPTED[0], close=False) + b"\r\n")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 201 ")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.8):
                await reader.readuntil(b"HTTP/1.1 408")
        writer.write(sent(ACCEPTED[0]))
        assert b"HTTP/1.1 201 " in await reader.read()
        writer.close()


@pytest.mark.parametrize("begun", [b"", b"\r\n"], ids=["nothing", "a CRLF"])
async def test_a_connection_on_which_no_request_begins_ends_with_the_read_timeout(server, app, monkeypatch, begun):
    monkeypatch.setitem(app.config, "READ_TIMEOUT", 0.3)
    address = urlsplit(server)
    async with asyncio.timeout(30):
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        writer.write(begun)
        assert await reader.read() == b""
        writer.close()


@pytest.mark.one_database(reason="locks")
@pytest.mark.parametrize(
    ("second", "status"),
    [
        (b"GET /health/live HTTP/1.1\r\nHo", 408),
        (b"POST /api/me/tasks HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n", 401),
    ],
    ids=["a head", "a body"],
)
async def test_a_pipelined_request_that_does_not_arrive_ends_with_the_read_timeout_too(  # noqa: PLR0913, PLR0917 - each is a fixture
    alice, server, app, sent, connection, monkeypatch, eventually, second, status
):
    """The first response takes longer than the timeout, so the timer of the connection fires before the second request
    is read."""
    await alice.make("Another")
    monkeypatch.setitem(app.config, "READ_TIMEOUT", 0.3)
    monkeypatch.setitem(app.config, "REQUEST_TIMEOUT", 1_000)  # Sanic's own limit, which each byte of a head restarts
    address = urlsplit(server)
    async with asyncio.timeout(60):
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        async with connection.transaction():
            await connection.execute("SELECT FROM users WHERE id = 'alice' FOR UPDATE")
            writer.write(sent(ACCEPTED[0], close=False) + second)
            await eventually(lambda: connection.fetchval(WAITING))
            await asyncio.sleep(0.3)  # in the same loop as the timer of the connection, which began before
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 201 ")
        assert f"HTTP/1.1 {status} ".encode() in await reader.read()
        writer.close()


async def test_a_head_that_does_not_end_is_a_408_after_the_read_timeout(exchange, app, refusal, monkeypatch):
    monkeypatch.setitem(app.config, "READ_TIMEOUT", 0.3)
    (answer,) = await exchange(b"GET /health/live HTTP/1.1\r\nHost: x")
    refusal(answer, 408, "request_timeout")
    assert answer.headers["connection"] == "close"


@pytest.mark.parametrize(
    ("version", "sent", "kept"),
    [
        ("1.1", [], True),
        ("1.1", ["keep-alive"], True),
        ("1.1", ["keep-alive, TE"], True),
        ("1.1", ["TE"], True),
        ("1.1", ["Close"], False),
        ("1.1", ["TE, close"], False),
        ("1.1", ["close", "keep-alive"], False),
        ("1.0", [], False),
        ("1.0", ["Keep-Alive"], True),
        ("1.0", ["keep-alive, close"], False),
    ],
)
async def test_a_connection_is_kept_as_rfc_9112_section_9_3_says(exchange, version, sent, kept):
    head = f"GET /health/live HTTP/{version}\r\nHost: x\r\n" + "".join(f"Connection: {value}\r\n" for value in sent)
    answers = await exchange(f"{head}\r\nGET /health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    assert answers[0].headers["connection"] == ("keep-alive" if kept else "close")
    assert [answer.status_code for answer in answers] == [200, 200] if kept else [200]


@pytest.mark.parametrize("form", ["json", "csv", "ical"])
async def test_http_1_0_gets_an_export_that_ends_with_the_connection(alice, server, sign, form):
    """RFC 9112 section 6.1: a server must not send Transfer-Encoding to an HTTP/1.0 client."""
    await alice.make(title="A")
    expected = (await alice.get("/api/me/export", params={"format": form})).content
    head, body = await _over_http_1_0(server, sign("alice"), f"/api/me/export?format={form}")
    assert head.startswith(b"HTTP/1.1 200 OK")
    assert b"connection: close" in head
    assert b"transfer-encoding" not in head
    assert b"content-length" not in head
    assert len(body) == len(expected)
    assert body[:10] == expected[:10]


async def test_http_1_0_gets_the_head_of_a_stream_without_chunks(alice, server, sign):
    for path in ("/api/me/export", "/api/me/tasks/events"):
        head, body = await _over_http_1_0(server, sign("alice"), path, method="HEAD")
        assert head.startswith(b"HTTP/1.1 200 OK")
        assert b"connection: close" in head
        assert b"transfer-encoding" not in head
        assert body == b""


@pytest.mark.parametrize(("method", "target"), [("GET", "http://x"), ("GET", "http://x?a=1"), ("OPTIONS", "http://x")])
async def test_an_absolute_target_without_a_path_is_the_root(exchange, refusal, method, target):
    """RFC 9110 section 4.2.3: an empty path means `/`, which only development serves."""
    (answer,) = await exchange(f"{method} {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    refusal(answer, 404, "not_found")


async def test_http_1_0_gets_events_without_chunks(alice, server, sign):
    await alice.make(title="A")
    address = urlsplit(server)
    async with asyncio.timeout(60):
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        writer.write(
            b"GET /api/me/tasks/events?since=0 HTTP/1.0\r\nConnection: keep-alive\r\n"
            b"Authorization: Bearer " + sign("alice").encode() + b"\r\n\r\n"
        )
        head = await reader.readuntil(b"\r\n\r\n")
        assert b"connection: close" in head
        assert b"transfer-encoding" not in head
        events = await reader.readuntil(b'"title" : "A"')
        writer.close()
    assert events.startswith(b"retry: ")
    assert b"\r\n" not in events, "no chunk begins within"


async def _over_http_1_0(server: str, bearing: str, path: str, method: str = "GET") -> tuple[bytes, bytes]:
    address = urlsplit(server)
    async with asyncio.timeout(60):
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        writer.write(f"{method} {path} HTTP/1.0\r\nAuthorization: Bearer {bearing}\r\n\r\n".encode())
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()
    return head, body


class TestOptionsOfTheServer:
    """RFC 9110 section 9.3.7: `OPTIONS *` is about the server, and not about one of its paths."""

    async def test_options_asterisk_lists_the_methods_and_needs_no_token(self, exchange):
        (answer,) = await exchange(b"OPTIONS * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert (answer.status_code, answer.content) == (204, b"")
        assert answer.headers["allow"] == "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-request-id"]

    @pytest.mark.parametrize("line", ["GET *", "OPTIONS /*", "OPTIONS **"])
    async def test_no_other_method_may_have_the_target_asterisk(self, exchange, refusal, line):
        (answer,) = await exchange(f"{line} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        assert answer.status_code in {400, 404}
