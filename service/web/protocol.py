"""The time limits of a connection: for the arrival of a request, and for reading its response."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from time import monotonic as current_time
from typing import Any

from sanic.exceptions import RequestTimeout
from sanic.http import Stage
from sanic.server.protocols.http_protocol import HttpProtocol

from service.web.http1 import PIECE, StrictHttp

LINGER = 30.0  # maximum seconds for which a connection keeps reading after an early response
LINGER_IDLE = 5.0  # seconds without a byte after which it stops sooner
LINGER_SIZE = 64 * 1024 * 1024  # maximum bytes that it reads, twice the largest body
KERNEL_BUFFER = 128 * 1024  # bytes that the kernel buffers for a slow client


class DeadlineProtocol(HttpProtocol):
    """Ends requests that take longer than READ_TIMEOUT seconds to arrive, headers and body together.

    Sanic's own REQUEST_TIMEOUT restarts with every byte, so a client that sends one byte per second can hold a
    connection for ever ("Slowloris"). The time begins when the service begins to read the request. For a pipelined
    request, that is after the response to the previous one. One timer per connection is enough, because it checks the
    deadline only when it fires. A connection without a request has the same time limit.

    It also aborts connections whose client reads a response at less than SEND_RATE bytes per second, on average of
    SEND_TIMEOUT seconds. Responses are written in pieces, each after the client has read most of the previous one, so
    that a long response to a slow client does not fill the transport's buffer.

    If the client is still sending, a connection is closed gently: see `close`.
    """

    HTTP_CLASS = StrictHttp

    __slots__ = (
        "_buffer_size",
        "_dropped",
        "_idle_since",
        "_linger_timer",
        "_lingers_until",
        "_paused_for",
        "_paused_since",
        "_reading_since",
        "_reading_timer",
        "_sending_timer",
        "_taken",
        "_written",
        "expects_more",
        "is_fresh",
        "on_sent",
    )

    def __init__(self, **options: Any) -> None:  # noqa: ANN401 - Sanic's own
        """Create the protocol with Sanic's options."""
        super().__init__(**options)
        self.expects_more = False  # whether the client may still send data that will not be read
        self.is_fresh = True  # whether no request has begun yet
        self.on_sent: Callable[[], None] | None = None  # called when the response is written, or was given up
        self._buffer_size: int = self.app.config.REQUEST_BUFFER_SIZE  # bytes
        self._reading_since = 0.0
        self._reading_timer: asyncio.TimerHandle | None = None
        self._sending_timer: asyncio.TimerHandle | None = None
        self._linger_timer: asyncio.TimerHandle | None = None
        self._written = 0  # bytes written since the connection began
        self._taken = 0  # bytes of these that the client had read when the window began
        self._paused_since = self._paused_for = 0.0  # seconds of the window in which writing waited for the client
        self._dropped = 0  # bytes that arrived after the connection was closed
        self._idle_since = self._lingers_until = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # reason: as Sanic's
        """Start the timer for the first request."""
        super().connection_made(transport)  # type: ignore[no-untyped-call]  # reason: Sanic leaves it untyped
        if (line := transport.get_extra_info("socket")) and line.family in {socket.AF_INET, socket.AF_INET6}:
            # By default, the kernel buffers 4 MB for each client, and reports free space only after a third was sent.
            line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, KERNEL_BUFFER)
        self._reading_since = self.loop.time()
        self._arm(self.app.config.READ_TIMEOUT)

    def data_received(self, data: bytes) -> None:
        """Store received data. Drop it after the connection was closed."""
        if self._linger_timer is not None:
            self._drop(len(data))
            return
        if self.is_fresh:
            self._reading_since = self.loop.time()  # the first request is about to begin
        # The rest is Sanic's own method, without its lookup of a setting in each call.
        self._time = current_time()
        self.recv_buffer += data
        if len(self.recv_buffer) >= self._buffer_size and self.transport:
            self.transport.pause_reading()
        self._data_received.set()

    async def send(self, data: bytes | memoryview) -> None:
        """Write `data` in pieces. Write each piece after the client has read most of the previous data."""
        transport = self.transport
        if len(data) <= PIECE and transport and self._can_write.is_set() and not transport.is_closing():
            self._written += len(data)  # the usual case, without three more coroutines
            transport.write(data)
            self._time = current_time()
        else:
            view = memoryview(data)
            for start in range(0, len(view), PIECE):
                await self._write(view[start : start + PIECE])

    def pause_writing(self) -> None:
        """Start to measure how fast the client reads. asyncio calls this when the write buffer is full."""
        super().pause_writing()  # type: ignore[no-untyped-call]  # reason: Sanic leaves it untyped
        self._paused_since = self.loop.time()
        if self._sending_timer is None:
            self._begin_window()

    def resume_writing(self) -> None:
        """Continue to write. asyncio calls this when the buffer is mostly sent, Sanic when the connection is lost."""
        if self._is_paused:
            self._paused_for += self.loop.time() - self._paused_since
        super().resume_writing()  # type: ignore[no-untyped-call]  # reason: Sanic leaves it untyped

    def check_timeouts(self) -> None:
        """Check Sanic's time limits. Time that the service waits for a client does not count for RESPONSE_TIMEOUT."""
        http = self.http
        waits_for_body = http is not None and http.stage is Stage.HANDLER and bool(http.request_body)
        if waits_for_body or self._is_paused:
            self._time = current_time()
        super().check_timeouts()  # type: ignore[no-untyped-call]  # reason: Sanic leaves it untyped

    async def drained(self) -> None:
        """Wait until the client has read the written data, except for the little in the transport's buffer."""
        await self._can_write.wait()

    def begin_request(self) -> None:
        """Start the time limit for the arrival of a request. `StrictHttp` calls this whenever it begins to read one.

        The arrival of data does not start it, because the data of a pipelined request may arrive long before.
        """
        self.is_fresh = False
        self._reading_since = self.loop.time()
        if self._reading_timer is None:
            self._arm(self.app.config.READ_TIMEOUT)

    def read_until(self, seconds: float) -> None:
        """Extend the deadline of the current request to `seconds` from now, if that is later."""
        later = self.loop.time() + seconds - self.app.config.READ_TIMEOUT
        self._reading_since = max(self._reading_since, later)

    def close(self, timeout: float | None = None) -> None:
        """Close the connection; gently if the client may still be sending a request that has its response already.

        Closing it immediately would reset it, and the reset may destroy the response before the client has read it.
        Therefore only the sending side is closed, and received data is dropped for a while (RFC 9112 section 9.6).
        """
        transport = self.transport
        if self.expects_more and self._linger_timer is None and transport and not transport.is_closing():
            try:
                transport.write_eof()
            except OSError:  # the client has closed the connection
                super().close(timeout)
                return
            if self._callback_check_timeouts:
                self._callback_check_timeouts.cancel()
            self.recv_buffer.clear()
            self._idle_since = self.loop.time()
            self._lingers_until = self._idle_since + LINGER
            self._linger_timer = self.loop.call_later(LINGER_IDLE, self._look_at_lingering)
            transport.resume_reading()
        else:
            super().close(timeout)

    def answered(self) -> None:
        """Call `on_sent`, after the response was passed to the transport or was given up."""
        if self.on_sent is not None:
            self.on_sent()
            self.on_sent = None

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel the timers of the connection."""
        self.answered()
        for timer in (self._reading_timer, self._sending_timer, self._linger_timer):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)  # type: ignore[no-untyped-call]  # reason: Sanic leaves it untyped

    @property
    def _is_reading(self) -> bool:
        """Whether a head or a body is arriving. This includes the body of a request that has its response already."""
        http = getattr(self, "_http", None)
        return http is not None and (http.stage is Stage.REQUEST or bool(http.request_body))

    @property
    def _is_paused(self) -> bool:
        """Whether writing waits for the client to read."""
        return not self._can_write.is_set()

    def _arm(self, seconds: float) -> None:
        self._reading_timer = self.loop.call_later(seconds, self._look)

    def _look(self) -> None:
        self._reading_timer = None
        if not (self._is_reading or self.is_fresh):
            return
        left = self._reading_since + self.app.config.READ_TIMEOUT - self.loop.time()
        if left > 0:
            self._arm(left)
        elif self.is_fresh:
            self.close()
        elif self._task:
            self._http.exception = RequestTimeout("the request did not arrive in time")
            self._http.forget_body()  # otherwise Sanic would keep reading the body after the response
            self._time = current_time()  # start the time limit of the response
            self._task.cancel()

    async def _write(self, piece: bytes | memoryview) -> None:
        if self._is_paused:
            await self.drained()
        self._written += len(piece)
        await super().send(piece)  # type: ignore[no-untyped-call]  # reason: Sanic leaves it untyped

    def _begin_window(self) -> None:
        self._paused_since, self._paused_for = self.loop.time(), 0.0
        self._taken = self._taken_until_now()
        self._sending_timer = self.loop.call_later(self.app.config.SEND_TIMEOUT, self._look_for_reader)

    def _taken_until_now(self) -> int:
        return self._written - (self.transport.get_write_buffer_size() if self.transport else 0)

    def _look_for_reader(self) -> None:
        """Abort the connection if the client has read less than SEND_RATE bytes per second while writing waited."""
        self._sending_timer = None
        if self.transport is None or not self._is_paused:
            return
        waited = self._paused_for + self.loop.time() - self._paused_since
        if self._taken_until_now() - self._taken < self.app.config.SEND_RATE * waited:
            self.transport.abort()
        else:
            self._begin_window()

    def _drop(self, size: int) -> None:
        self._dropped += size
        self._idle_since = self.loop.time()
        if self._dropped > LINGER_SIZE and self.transport:
            self.transport.abort()

    def _look_at_lingering(self) -> None:
        now = self.loop.time()
        ends = min(self._lingers_until, self._idle_since + LINGER_IDLE)
        if ends > now:
            self._linger_timer = self.loop.call_later(ends - now, self._look_at_lingering)
        elif self.transport:
            self.transport.abort()
