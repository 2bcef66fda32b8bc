"""Shared by the API tests: the shape of error responses, and raw bytes on a socket that no HTTP client would send."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import NamedTuple
from urllib.parse import urlsplit

import httpx
import pytest

MEMBERS = {"type", "title", "status", "detail", "code", "request_id"}
BESIDE = {"version_mismatch": {"current"}, "batch_failed": {"index", "error"}, "successor_changed": {"successor"}}
CHALLENGES = {
    "authentication_required": "Bearer",
    "invalid_token": 'Bearer error="invalid_token"',
    "invalid_request": 'Bearer error="invalid_request"',
}


class Answer(NamedTuple):
    """A response from a raw socket, with the attributes of an httpx response."""

    status_code: int
    headers: httpx.Headers
    content: bytes

    @property
    def text(self) -> str:
        return self.content.decode()

    def json(self) -> dict:
        return httpx.Response(200, content=self.content).json()


@pytest.fixture(scope="session")
def refusal() -> Callable[..., dict]:
    """`refusal(response, 422, "validation_error", "title")` checks an error response completely, and returns its body.

    The arguments after the code are the fields that `errors` must name, in this order.
    """

    def check(response: httpx.Response | Answer, status: int, code: str, *fields: str) -> dict:
        assert response.status_code == status, response.text
        headers = response.headers
        assert headers["content-type"] == "application/problem+json"
        assert headers["x-content-type-options"] == "nosniff"
        body = response.json()
        beside = BESIDE.get(code, {"errors"} if fields else set())
        assert set(body) == MEMBERS | beside
        assert body["type"] == f"urn:doable:problem:{code}"
        assert body["code"] == code
        assert body["status"] == status
        assert body["request_id"] == headers["x-request-id"]
        assert re.fullmatch(r"[A-Za-z0-9._-]{1,128}", body["request_id"])
        assert body["title"]
        assert re.fullmatch(r"\S.*[.?]", body["detail"], re.DOTALL)
        assert [error["field"] for error in body.get("errors", ())] == list(fields)
        assert all(error["message"] for error in body.get("errors", ()))
        assert headers.get("www-authenticate") == CHALLENGES.get(code)
        assert ("allow" in headers) == (status == 405)
        assert ("retry-after" in headers) == (status in {429, 503} or code == "request_in_progress")
        assert not {"etag", "location", "link", "server"} & set(headers)
        if isinstance(response, httpx.Response):
            is_private(response)
        return body

    return check


def is_private(response: httpx.Response) -> None:
    """Check that a response under /api has headers against shared caching, and that any other response has none."""
    private = urlsplit(str(response.request.url)).path.startswith("/api/")
    assert (response.headers.get("cache-control") == "private, no-cache") == private
    assert (response.headers.get("vary") == "Authorization, Origin") == private


@pytest.fixture(scope="session")
def private() -> Callable[[httpx.Response], None]:
    return is_private


@pytest.fixture(scope="session")
def exchange(server) -> Callable[[bytes], Awaitable[list[Answer]]]:
    """Return a function that sends raw bytes, reads until the service closes, and returns the responses in order."""

    async def send(sent: bytes) -> list[Answer]:
        address = urlsplit(server)
        async with asyncio.timeout(60):
            reader, writer = await asyncio.open_connection(address.hostname, address.port)
            writer.write(sent)
            try:
                received = await reader.read()
            finally:
                writer.close()
        return _answers(received)

    return send


def _answers(received: bytes) -> list[Answer]:
    answers = []
    while received:
        head, _, received = received.partition(b"\r\n\r\n")
        line, *lines = head.decode("latin-1").split("\r\n")
        headers = httpx.Headers([tuple(line.split(": ", 1)) for line in lines])
        length = int(headers.get("content-length", 0))
        answers.append(Answer(int(line.split(" ")[1]), headers, received[:length]))
        received = received[length:]
    return answers
