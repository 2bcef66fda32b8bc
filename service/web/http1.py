"""Sanic's HTTP/1.1 handling of one connection, with a strict parser, and with responses that are sent in pieces."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sanic.compat import Header
from sanic.exceptions import BadRequest, ExpectationFailed, PayloadTooLarge
from sanic.headers import format_http1_response
from sanic.http import Http, Stage
from sanic.http.http1 import HTTP_CONTINUE
from sanic.response import BaseHTTPResponse

from service.web import syntax
from service.web.request import STAND_IN, ApiRequest
from service.web.responses import Answer

if TYPE_CHECKING:
    from service.web.protocol import DeadlineProtocol

MAXIMUM_EMPTY_LINES = 8  # before a request line
MAXIMUM_DROPPED = 8 * 1024  # bytes of chunk extensions and trailers in one request, as for the headers
MAXIMUM_SKIPPED = 64 * 1024  # bytes of an unread body; if more are left, the connection is closed instead
PIECE = 64 * 1024  # bytes
END = b"\r\n"
BLANK = END + END
BODILESS = frozenset({204, 304})  # statuses


class StrictHttp(Http):
    """Sanic's HTTP/1.1, made strict where RFC 9112 requires it, and lenient where the RFC requires that."""

    __slots__ = ("_dropped",)

    protocol: DeadlineProtocol
    # Sanic's own type annotations are too narrow.
    request_body: Any  # None, True or "chunked"
    request_bytes: Any  # an int
    request_bytes_left: Any  # an int
    response_func: Any  # None, or the function that sends the next part of the response

    def init_for_request(self) -> None:
        """Begin with the next request, after the response to the last one was written."""
        self.protocol.answered()
        super().init_for_request()  # type: ignore[no-untyped-call]  # reason: Sanic leaves it untyped

    async def http1_request_header(self) -> None:
        """Receive the head of a request, and create the request.

        This replaces Sanic's method with a strict parser in one pass. Raises BadRequest, PayloadTooLarge and
        ExpectationFailed.
        """
        self._dropped = 0
        buffer, protocol = self.recv_buffer, self.protocol
        end = buffer.find(BLANK)
        if end <= 0 or end >= self.HEADER_MAX_SIZE or buffer[0] == END[0]:
            end = await self._receive_head()
        else:
            protocol.begin_request()
        if end >= self.HEADER_MAX_SIZE:
            raise PayloadTooLarge("Request header exceeds the size limit")
        head = bytes(buffer[:end])
        syntax.check_head(head)
        line, *lines = head.decode(errors="surrogateescape").split("\r\n")
        method, self.url, version = line.split(" ")
        fields = []
        for field in lines:
            name, _, value = field.partition(":")
            fields.append((name.lower(), value.strip(" \t")))  # RFC 9110 section 5.5
        self.head_only = method == "HEAD"
        self.keep_alive = version == "HTTP/1.1"
        url, transport = self.url.encode(), protocol.transport
        request = ApiRequest(url, fields, version[5:], method, transport, protocol.app, head)
        ApiRequest._current.set(request)  # noqa: SLF001 - as Sanic does, for `Request.get_current`
        headers = request.headers
        if "connection" in headers:
            self._read_connection(headers.getall("connection"), request.version)
        self.request_bytes_left = self.request_bytes = 0
        if "content-length" in headers or "transfer-encoding" in headers:
            end -= self._expect_body(headers, request.version)
        del buffer[: end + len(BLANK)]
        self.request, request.stream = request, self
        protocol.state["requests_count"] += 1

    def _expect_body(self, headers: Header, version: str) -> int:
        """Read how the body is framed. Return the number of bytes before it that stay in the buffer."""
        if "expect" in headers:
            self._read_expect(headers.getall("expect"), version)
        if "transfer-encoding" in headers:
            self.request_body = "chunked"
            return len(END)  # so that a CRLF precedes the first chunk, as it precedes all others
        self.request_body = True
        self.request_bytes_left = self.request_bytes = int(headers["content-length"])
        return 0

    def _read_expect(self, sent: list[str], version: str) -> None:
        """Read the expectations of the Expect header (RFC 9110 section 10.1.1). Raises ExpectationFailed."""
        expectations = _elements(sent)
        if expectations - {"", "100-continue"}:
            raise ExpectationFailed("an unknown expectation")
        self.expecting_continue = "100-continue" in expectations and version != "1.0"

    async def read(self) -> bytes | None:
        """Return some bytes of the body, or None at its end. Raises BadRequest and PayloadTooLarge."""
        if self.request_body == "chunked" and self.request_bytes_left == 0:
            if self.expecting_continue:
                self.expecting_continue = False
                await self._send(HTTP_CONTINUE)
            try:
                await self._begin_chunk()
            except BadRequest:
                self.keep_alive = False
                self.forget_body()
                raise
            if not self.request_body:
                return None
        return await super().read()

    async def http1_response_header(self, data: bytes, end_stream: bool) -> None:  # noqa: FBT001 - Sanic's own
        """Send the head of a response, and the available part of its body."""
        if self.request_body or self.request.method == STAND_IN:
            self._leave_unread_body()
        response = self.response
        body = b"" if data else getattr(response, "body", None) or b""
        if end_stream and len(body) <= PIECE:
            if data or self.expecting_continue or (body and response.status in BODILESS):
                await super().http1_response_header(data, end_stream)
            else:
                await self._send(self._complete(response, body))
                self.stage = Stage.IDLE
            return
        streams = not (end_stream or body)
        if streams and self.request.version == "1.0":
            await self._begin_until_close(data)
        elif len(body) > PIECE and not self.head_only and response.status not in BODILESS:
            response.headers["content-length"] = len(body)
            await super().http1_response_header(body[:PIECE], end_stream=False)
            await self.http1_response_normal(memoryview(body)[PIECE:], end_stream=True)  # type: ignore[arg-type]  # reason: no copy
        else:
            await super().http1_response_header(data, end_stream)

    def _complete(self, response: BaseHTTPResponse, body: bytes) -> bytes:
        """Return a whole response, which is sent in one piece, as is usual."""
        headers = response.headers
        if response.status not in BODILESS and not (self.head_only and "content-length" in headers):
            headers["content-length"] = str(len(body))
        headers["connection"] = "keep-alive" if self.keep_alive else "close"
        self.response_size = len(body)
        self.response_func = None
        return _head(response) if self.head_only else _head(response) + body

    async def _receive_head(self) -> int:
        """Receive data until the head is complete. Return its size, or HEADER_MAX_SIZE if it is too long."""
        await self._skip_empty_lines()
        buffer, start = self.recv_buffer, 0
        while (end := buffer.find(BLANK, start)) < 0:
            start = max(0, len(buffer) - 3)
            if start >= self.HEADER_MAX_SIZE:
                return int(self.HEADER_MAX_SIZE)
            if buffer.count(b"\n") > buffer.count(END):
                raise BadRequest("a bare LF in the head")  # the end of the head may never arrive
            await self._receive_more()
        return int(min(end, self.HEADER_MAX_SIZE))

    async def _skip_empty_lines(self) -> None:
        """Skip the empty lines before a request line (RFC 9112 section 2.2).

        The connection stays idle during this, because a CRLF after a body does not begin another request.
        """
        buffer, left = self.recv_buffer, MAXIMUM_EMPTY_LINES
        while len(buffer) < len(END) or buffer.startswith(END):
            if len(buffer) >= len(END):
                del buffer[: len(END)]
                left -= 1
            elif not buffer or buffer == b"\r":
                self.stage = Stage.IDLE
                await self._receive_more()
            else:
                break
            if left < 0:
                raise BadRequest("too many empty lines before the request line")
        self.stage = Stage.REQUEST
        self.protocol.begin_request()

    def _read_connection(self, sent: list[str], version: str) -> None:
        """Read the options of the Connection header (RFC 9112 section 9.3)."""
        options = _elements(sent)
        self.keep_alive = "close" not in options and (version == "1.1" or "keep-alive" in options)

    async def _begin_chunk(self) -> None:
        """Read the start of the next chunk: the CRLF of the previous one, the size and its extensions.

        After the last chunk, read and drop the trailers (RFC 9112 section 7.1.2).
        """
        while len(self.recv_buffer) < len(END):
            await self._receive_more()
        if not self.recv_buffer.startswith(END):
            raise BadRequest("no CRLF after a chunk")
        del self.recv_buffer[: len(END)]
        line = await self._read_line()
        size = syntax.chunk_size(line)
        if not size:
            while trailer := await self._read_line():
                syntax.check_trailer(trailer)
            self.request_body = None
        self.request_bytes_left = size
        self.request_bytes += size

    async def _read_line(self) -> bytes:
        """Read a line. Raises BadRequest if the lines have more than MAXIMUM_DROPPED bytes in total."""
        start = 0
        while (end := self.recv_buffer.find(END, start)) < 0:
            start = max(0, len(self.recv_buffer) - 1)
            if start + self._dropped > MAXIMUM_DROPPED:
                break
            await self._receive_more()
        line = bytes(self.recv_buffer[: max(end, 0)])
        self._dropped += max(0, len(line) - 16)  # the size, at most 16 digits, does not count
        if end < 0 or self._dropped > MAXIMUM_DROPPED:
            raise BadRequest("too many chunk extensions or trailers")
        del self.recv_buffer[: end + len(END)]
        return line

    def _leave_unread_body(self) -> None:
        """Close the connection after an early response if the rest of the body is long, unknown or not yet sent."""
        if self.request.method == STAND_IN:
            self.protocol.expects_more = True
        if not self.request_body:
            return
        if self.request_body == "chunked" or self.expecting_continue or self.request_bytes_left > MAXIMUM_SKIPPED:
            self.expecting_continue = False
            self.keep_alive = False
            self.forget_body()

    def forget_body(self) -> None:
        """Stop reading the body. The connection must close after the response."""
        self.request_body = None
        self.protocol.expects_more = True

    async def _begin_until_close(self, data: bytes) -> None:
        """Begin a stream for HTTP/1.0. It has no chunked coding, so closing the connection ends the stream."""
        response = self.response
        self.keep_alive = False
        response.headers["connection"] = "close"
        self.response_func = self.head_response_ignored if self.head_only else self._go_on_until_close
        self.stage = Stage.RESPONSE
        await self._send(_head(response) + (b"" if self.head_only else data))

    async def _go_on_until_close(self, data: bytes, end_stream: bool) -> None:  # noqa: FBT001 - Sanic's own
        if data:
            await self._send(data)
        if end_stream:
            self.response_func = None
            self.stage = Stage.IDLE


def _elements(sent: list[str]) -> set[str]:
    """Return the elements of a header that is a list of words, in lower case (RFC 9110 section 5.6.1)."""
    return {element.strip(" \t").lower() for element in ",".join(sent).split(",")}


def _head(response: BaseHTTPResponse) -> bytes:
    return (
        response.head()
        if isinstance(response, Answer)
        else format_http1_response(response.status, response.processed_headers)
    )
