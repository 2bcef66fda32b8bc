"""Carry the requests of HTTPX over asyncio's streams and httptools.

HTTPX's own transport and client take nine tenths of the client's CPU time for a request in these tests. The tests send
tens of thousands of requests over loopback, and need neither TLS nor proxies nor HTTP/2.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import select
from collections.abc import AsyncIterator, Callable

import httptools
import httpx

CONNECTIONS = 100  # at once, as in HTTPX
DEFAULT = httpx.USE_CLIENT_DEFAULT  # in place of an option that is not given
parsed = functools.lru_cache(1_000)(httpx.URL)  # tests ask for the same paths again and again


class Client(httpx.AsyncClient):
    """HTTPX without cookies, redirects, authentication and hooks. A URL is a path below `base_url`, or absolute.

    An option that it does not support is a TypeError.
    """

    def __init__(self, base_url: str, headers: dict[str, str] | None = None) -> None:
        self._carrier = Transport()
        super().__init__(base_url=base_url, headers=headers, timeout=30, transport=self._carrier, trust_env=False)
        self._base = base_url

    def build_request(
        self, method: str, url: str | httpx.URL, *, headers: dict[str, str] | None = None, **options: object
    ) -> httpx.Request:
        """Return a request with the client's headers and these ones."""
        together = self.headers
        if headers:
            together = together.copy()
            together.update(headers)
        content = {name: options.pop(name, None) for name in ("content", "data", "files", "json", "params")}
        address = parsed(self._base + url if isinstance(url, str) and "://" not in url else url)
        timeout = options.pop("timeout", DEFAULT)
        _refuse(options)
        seconds = self.timeout if timeout is DEFAULT else httpx.Timeout(timeout)
        return httpx.Request(method, address, headers=together, extensions={"timeout": seconds.as_dict()}, **content)

    async def send(self, request: httpx.Request, *, stream: bool = False, **options: object) -> httpx.Response:
        """Send a request. Return its response, whose body remains to be read if it is a `stream`."""
        _refuse(options)
        response = await self._carrier.handle_async_request(request)
        try:
            if not stream:
                await response.aread()
        except BaseException:
            await response.aclose()
            raise
        return response


def _refuse(options: dict[str, object]) -> None:
    """Raise TypeError if an option has a value. HTTPX passes all options, most of them without one."""
    if given := [name for name, value in options.items() if value is not None and value is not DEFAULT]:
        raise TypeError(f"the client of the tests does not support {', '.join(given)}")


class Transport(httpx.AsyncBaseTransport):
    """HTTP/1.1 over connections that are used again. It raises the exceptions of HTTPX."""

    def __init__(self) -> None:
        self._free = asyncio.Semaphore(CONNECTIONS)
        self._idle: list[Connection] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request, and return its response as soon as its head is complete."""
        await self._free.acquire()
        connection = None
        try:
            connection = self._reused() or await Connection.open(request)
            exchange = Exchange(connection, request, self._release)
            return await exchange.response()
        except BaseException:
            self._release(connection, reusable=False)
            raise

    def _reused(self) -> Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if connection.is_silent():
                return connection
            connection.close()
        return None

    def _release(self, connection: Connection | None, *, reusable: bool) -> None:
        self._free.release()
        if connection and reusable:
            self._idle.append(connection)
        elif connection:
            connection.close()

    async def aclose(self) -> None:
        """Close the connections that no request uses."""
        while self._idle:
            self._idle.pop().close()


class Connection:
    """A TCP connection to the server."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.close = writer.close
        self._poll = select.poll()
        self._poll.register(writer.get_extra_info("socket"), select.POLLIN)

    @classmethod
    async def open(cls, request: httpx.Request) -> Connection:
        """Connect to the host of a request."""
        try:
            return cls(*await asyncio.open_connection(request.url.host, request.url.port or 80))
        except OSError as error:
            raise httpx.ConnectError(str(error), request=request) from error

    def is_silent(self) -> bool:
        """Return whether nothing has arrived, not even the end of the connection."""
        return not self.reader.at_eof() and not self._poll.poll(0)


class Exchange(httpx.AsyncByteStream):
    """A request and its response, whose body it yields. httptools calls the methods whose names begin with `on_`."""

    def __init__(self, connection: Connection, request: httpx.Request, release: Callable[..., None]) -> None:
        self._connection, self._request = connection, request
        self._release: Callable[..., None] | None = release
        self._seconds = request.extensions.get("timeout", {}).get("read")
        self._parser = httptools.HttpResponseParser(self)
        self._headers: list[tuple[bytes, bytes]] = []
        self._parts: list[bytes] = []
        self._has_head = self._is_complete = self._is_kept = False

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        self._has_head = True
        if self._request.method == "HEAD":
            self.on_message_complete()

    def on_body(self, part: bytes) -> None:
        self._parts.append(part)

    def on_message_complete(self) -> None:
        self._is_complete = True
        self._is_kept = self._parser.should_keep_alive()

    async def response(self) -> httpx.Response:
        """Send the request and receive the head of the response."""
        with contextlib.suppress(ConnectionError):  # the server may answer before it has read everything
            await self._send()
        while not self._has_head:
            await self._receive()
        stream: httpx.AsyncByteStream = self
        if self._is_complete:
            stream = httpx.ByteStream(b"".join(self._parts))
            await self.aclose()
        status = self._parser.get_status_code()
        return httpx.Response(status, headers=self._headers, stream=stream, request=self._request)

    async def _send(self) -> None:
        request, writer = self._request, self._connection.writer
        target = b"%b %b HTTP/1.1" % (request.method.encode(), request.url.raw_path)
        unsent = b"\r\n".join([target, *map(b": ".join, request.headers.raw), b"\r\n"])
        is_chunked = "Transfer-Encoding" in request.headers
        async for part in request.stream:
            writer.write(unsent + (b"%x\r\n%b\r\n" % (len(part), part) if is_chunked else part))
            unsent = b""
            await writer.drain()
        writer.write(unsent + (b"0\r\n\r\n" if is_chunked else b""))
        await writer.drain()

    async def _receive(self) -> None:
        try:
            async with asyncio.timeout(self._seconds):
                received = await self._connection.reader.read(65_536)
            if not received:
                raise httpx.RemoteProtocolError("the response is incomplete", request=self._request)
            self._parser.feed_data(received)
        except TimeoutError as error:
            raise httpx.ReadTimeout("", request=self._request) from error
        except OSError as error:
            raise httpx.ReadError(str(error), request=self._request) from error
        except httptools.HttpParserError as error:
            raise httpx.RemoteProtocolError(str(error), request=self._request) from error

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            parts, self._parts = self._parts, []
            for part in parts:
                yield part
            if self._is_complete and not self._parts:
                return
            await self._receive()

    async def aclose(self) -> None:
        """End the exchange. The connection is used again if the response is complete and the server keeps it."""
        if self._release:
            self._release(self._connection, reusable=self._is_kept)
            self._release = None
