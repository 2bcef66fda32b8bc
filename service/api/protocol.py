"""Reading a request must come to an end, and so must the wait for a client that does not take its answer."""

from __future__ import annotations

import asyncio
from time import monotonic as current_time
from typing import Any

from sanic.exceptions import RequestTimeout
from sanic.http import Stage
from sanic.server.protocols.http_protocol import HttpProtocol


class DeadlineProtocol(HttpProtocol):
    """Ends a request that takes longer than READ_TIMEOUT seconds to arrive, headers and body together.

    Sanic's own REQUEST_TIMEOUT begins anew with every byte, so a client that sends one a second holds a connection
    for as long as it likes ("Slowloris"). One timer a connection is enough: it looks again only when it fires.

    Cuts a client off, too, that takes nothing of its answer for SEND_TIMEOUT seconds. Only an answer that the kernel's
    buffers do not hold has to wait for its reader.
    """

    __slots__ = ("_reading_since", "_reading_timer", "_sending_timer", "_unsent")

    def __init__(self, **options: Any) -> None:  # noqa: ANN401 - Sanic's own
        """Take Sanic's options."""
        super().__init__(**options)
        self._reading_since = 0.0
        self._reading_timer: asyncio.TimerHandle | None = None
        self._sending_timer: asyncio.TimerHandle | None = None
        self._unsent = 0  # bytes, at the last look

    def data_received(self, data: bytes) -> None:
        """Note when a request begins to arrive."""
        if not self._is_reading:
            self._reading_since = self.loop.time()
            if self._reading_timer is None:
                self._arm(self.app.config.READ_TIMEOUT)
        super().data_received(data)

    def pause_writing(self) -> None:
        """Begin to look whether the client reads; asyncio says that more waits to be sent than should."""
        super().pause_writing()  # type: ignore[no-untyped-call]  # reason: Sanic leaves it untyped
        self._look_for_reader()

    def resume_writing(self) -> None:
        """Look no more; asyncio says that the client has taken most of it, and Sanic that the connection is gone."""
        if self._sending_timer is not None:
            self._sending_timer.cancel()
            self._sending_timer = None
        self._unsent = 0
        super().resume_writing()  # type: ignore[no-untyped-call]  # reason: Sanic leaves it untyped

    def check_timeouts(self) -> None:
        """Look at Sanic's limits; of RESPONSE_TIMEOUT, which is the service's own, no client uses anything up."""
        http = self.http
        waits_for_body = http is not None and http.stage is Stage.HANDLER and bool(http.request_body)
        if waits_for_body or self._sending_timer is not None:
            self._time = current_time()
        super().check_timeouts()  # type: ignore[no-untyped-call]  # reason: Sanic leaves it untyped

    async def drained(self) -> None:
        """Wait until the client has taken what was written, but for the little that the transport buffers."""
        await self._can_write.wait()

    def read_until(self, seconds: float) -> None:
        """Give the request that is arriving `seconds` from now on in place of READ_TIMEOUT, if that is more."""
        later = self.loop.time() + seconds - self.app.config.READ_TIMEOUT
        self._reading_since = max(self._reading_since, later)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the timer with the connection."""
        if self._reading_timer is not None:
            self._reading_timer.cancel()
            self._reading_timer = None
        super().connection_lost(exc)  # type: ignore[no-untyped-call]  # reason: Sanic leaves it untyped

    @property
    def _is_reading(self) -> bool:
        """Whether a head or a body is under way; the body of a request that is answered already counts too."""
        http = self.http
        return http is not None and (http.stage is Stage.REQUEST or bool(http.request_body))

    def _arm(self, seconds: float) -> None:
        self._reading_timer = self.loop.call_later(seconds, self._look)

    def _look(self) -> None:
        self._reading_timer = None
        if not self._is_reading:
            return
        left = self._reading_since + self.app.config.READ_TIMEOUT - self.loop.time()
        if left > 0:
            self._arm(left)
        elif self._task:
            self._http.exception = RequestTimeout("the request did not arrive in time")
            self._http.request_body = None  # else Sanic would answer, and go on reading what is still to come
            self._time = current_time()  # that of the answer begins
            self._task.cancel()

    def _look_for_reader(self) -> None:
        if self.transport is None:
            return
        before, self._unsent = self._unsent, self.transport.get_write_buffer_size()
        if self._unsent == before:
            self.transport.abort()
        else:
            self._sending_timer = self.loop.call_later(self.app.config.SEND_TIMEOUT, self._look_for_reader)
