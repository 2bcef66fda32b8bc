"""Create the responses of the API."""

from __future__ import annotations

from functools import cache, lru_cache
from urllib.parse import quote

import msgspec
from msgspec import Struct
from sanic import HTTPResponse
from sanic.headers import format_http1_response

JSON = "application/json"
WORKING_TIME = 15.0  # seconds for which a request deletes rows before it answers 202; RESPONSE_TIMEOUT allows 25
DOTS = frozenset({".", ".."})


class Answer(HTTPResponse):
    """A response with its headers in a dictionary. Its head is written in one step if no header must be sanitised.

    Sanic's multidict takes five times as long for each header. In a dictionary, a header has one value, and its name
    must be spelled the same everywhere: the names that Sanic sets are in lower case.
    """

    __slots__ = ()

    def __init__(
        self,
        body: str | bytes | None = None,
        status: int = 200,
        headers: dict[str, str] | None = None,
        content_type: str | None = None,
    ) -> None:
        """Create the response. Sanic's own initialisers, which this replaces, create two multidicts."""
        self.asgi = False
        self.body = body.encode() if isinstance(body, str) else body or b""
        self.content_type = content_type
        self.stream = None
        self.status = status
        self.headers = {**(headers or {})}  # type: ignore[assignment]  # reason: no multidict
        self._cookies = None

    def head(self) -> bytes:
        """Return the status line and the headers, with the empty line after them.

        Sanic sanitises and encodes each name and value. For eight headers that takes 12 µs, and this takes 2 µs.
        """
        headers = self.headers
        if self.content_type:
            headers.setdefault("content-type", self.content_type)
        try:
            values = "".join(headers.values())
        except TypeError:  # a value is a number
            values = "\n"
        if not values.isascii() or "\r" in values or "\n" in values or "\0" in values:
            return format_http1_response(self.status, self.processed_headers)
        lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
        return b"%b%b\r\n" % (_status_line(self.status), lines.encode())


@cache
def _status_line(status: int) -> bytes:
    return format_http1_response(status, ())[:-2]


def json_document(document: str, status: int = 200, headers: dict[str, str] | None = None) -> HTTPResponse:
    """Return a response with JSON that is already encoded."""
    return Answer(document, status, headers, JSON)


def json_value(value: Struct, status: int = 200, headers: dict[str, str] | None = None) -> HTTPResponse:
    """Return a response with `value` as JSON."""
    return Answer(msgspec.json.encode(value), status, headers, JSON)


@lru_cache(maxsize=1_000)
def home(user_id: str) -> str:
    """Return the path of the user, below which all their resources are.

    For the ids `.` and `..` it contains `me`, because URL parsers remove these segments, even if they are
    percent-encoded (https://url.spec.whatwg.org/#double-dot-path-segment).
    """
    return f"/api/{'me' if user_id in DOTS else quote(user_id, safe='')}"


def unchanged(etag: str) -> HTTPResponse:
    """Return 304: the caller already has the content (RFC 9110 section 15.4.5)."""
    return Answer(status=304, headers={"ETag": etag})


def empty() -> HTTPResponse:
    """Return 204."""
    return Answer(status=204)


def unfinished(value: Struct) -> HTTPResponse:
    """Return 202 with the progress so far. The same request, sent again after Retry-After, continues."""
    return json_value(value, 202, {"Retry-After": "1"})
