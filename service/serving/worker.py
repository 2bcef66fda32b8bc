"""Run one worker process: serve, shut down within a deadline, and exit if it hangs or the supervisor dies.

Two daemon threads watch the event loop, because a blocked loop can neither handle a signal nor measure time. One waits
for SIGTERM and SIGINT, and enforces the deadline of the shutdown. The other checks once a second whether the loop still
runs and whether the supervisor is still alive.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import mmap
import os
import signal
import socket
import sys
import threading
import time
import traceback
from typing import Any, NoReturn

from sanic import Sanic
from sanic.server import runners

from service import logs
from service.telemetry import figures
from service.web.protocol import DeadlineProtocol

logger = logging.getLogger("doable.serving")

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
YOUNG = 10_000  # new objects before a garbage collection; the default is 700, which a few requests create
TICK = 1.0  # seconds between two heartbeats of the loop, and between two checks for them
# The shutdown: requests in flight have STOP_GRACE seconds, then their connections are closed. A process that is still
# running STOP_LIMIT seconds after the signal exits immediately. Heroku kills a process after 30 seconds, Docker after
# 10 by default.
STOP_GRACE = 15.0
STOP_LIMIT = 17.0
# Consecutive checks without a heartbeat after which the loop counts as blocked. Checks are counted instead of seconds,
# because a suspended process (`docker pause`, Ctrl-Z, a closed laptop) makes no checks either.
HUNG_AFTER = 20


class Pulse:
    """The heartbeat of a worker: a counter that its event loop increments every second.

    It is in memory that the worker shares with the supervisor.
    """

    def __init__(self) -> None:
        """Begin at 0. The supervisor must create it before it forks."""
        self._memory = mmap.mmap(-1, 8)

    def beat(self) -> None:
        """Increment the counter."""
        self._memory[:] = (self.beats + 1).to_bytes(8, "little")

    @property
    def beats(self) -> int:
        """The counter; 0 until the loop runs."""
        return int.from_bytes(self._memory[:], "little")


def work(app: Sanic[Any, Any], listener: socket.socket, *, watched: bool, pulse: Pulse | None = None,
         supervisor: int | None = None) -> None:  # fmt: skip
    """Serve in this process until SIGTERM or SIGINT, finish the requests in flight, and return.

    If `watched` is true, a blocked event loop ends the process. `supervisor` is the process id of the parent; the
    worker stops if the parent dies. The caller must have blocked STOP_SIGNALS before the first thread started.
    """
    life = Life(app, pulse or Pulse(), supervisor, watched=watched)
    life.guard()
    app.before_server_start(life.begin)
    app.after_server_start(life.serve)
    # During its start, Sanic would set both signals to be ignored. `signal_func` is its name for `signal.signal`.
    runners.signal_func = lambda *_: None  # type: ignore[attr-defined]  # reason: Sanic imports it under this name only
    app.run(sock=listener, single_process=True, protocol=StoppingProtocol, register_sys_signals=False, motd=False)
    life.ended()


class Life:
    """The lifecycle of a worker: its heartbeat, its shutdown, and the threads that end the process if it hangs."""

    def __init__(self, app: Sanic[Any, Any], pulse: Pulse, supervisor: int | None, *, watched: bool) -> None:
        """Store the arguments, which `work` describes."""
        self._app, self._pulse, self._supervisor, self._watched = app, pulse, supervisor, watched
        self._is_single = supervisor is None
        self._limit = STOP_LIMIT + app.ctx.settings.drain_delay  # seconds
        self._serving = threading.Event()
        self._stopping = 0.0  # the monotonic time of the signal; 0 before
        self._finished = 0  # the number of requests that had ended at the time of the signal
        app.ctx.cut_off = 0  # the number of requests whose connection was closed before they ended

    def guard(self) -> None:
        """Start the two threads."""
        for target in (self._wait_for_stop, self._watch):
            threading.Thread(target=target, daemon=True, name=target.__name__.strip("_")).start()

    async def begin(self, _app: Sanic[Any, Any]) -> None:
        """Start the heartbeat. Sanic calls this before the worker accepts requests."""
        self._loop = asyncio.get_running_loop()
        self._beat()

    async def serve(self, _app: Sanic[Any, Any]) -> None:
        """Allow a graceful shutdown from now on. Sanic calls this when the worker accepts requests."""
        if not self._is_single:
            logger.info("worker started", extra={"fields": {"process": os.getpid()}})
        self._serving.set()
        _settle_garbage()

    def ended(self) -> None:
        """Log that the worker has stopped."""
        if self._stopping:
            seconds = round(time.monotonic() - self._stopping, 2)
            finished = sum(figures.requests.values()) - self._finished
            told = {"seconds": seconds, "finished": finished, "cut_off": self._app.ctx.cut_off}
            level = logging.WARNING if self._app.ctx.cut_off else logging.INFO
            message, process = ("stopped", {}) if self._is_single else ("worker stopped", {"process": os.getpid()})
            logger.log(level, message, extra={"fields": process | told})

    def _beat(self) -> None:
        self._pulse.beat()
        self._loop.call_later(TICK, self._beat)

    def _wait_for_stop(self) -> None:
        """Wait for the first signal, start the shutdown, and end the process if it takes too long.

        Later signals are ignored. A platform may signal every process while the supervisor also forwards its own
        signal, and a second signal must not abort requests in flight.
        """
        number = signal.sigwait(STOP_SIGNALS)
        self._stopping = deadline = time.monotonic()
        deadline += self._limit
        if self._is_single:
            log_stop(number)
        if self._serving.wait(self._limit):
            with contextlib.suppress(RuntimeError):  # raised if the loop is already closed
                self._loop.call_soon_threadsafe(self._stop)
        time.sleep(max(0.0, deadline - time.monotonic()))
        self._end("stop took too long", {"seconds": self._limit})

    def _stop(self) -> None:
        self._finished = sum(figures.requests.values())
        self._app.ctx.live.drain()
        self._loop.call_later(self._app.ctx.settings.drain_delay, self._close)

    def _close(self) -> None:
        self._app.ctx.cut_off_at = self._loop.time() + STOP_GRACE
        self._app.stop(terminate=False)

    def _watch(self) -> None:
        """Check every second whether the loop runs, and whether the supervisor is alive."""
        silent = last = 0
        while True:
            time.sleep(TICK)
            if self._supervisor and os.getppid() != self._supervisor:
                self._supervisor = None
                logger.error("supervisor is gone, stopping", extra={"fields": {"process": os.getpid()}})
                os.kill(os.getpid(), signal.SIGTERM)
            silent = silent + 1 if 0 < self._pulse.beats == last else 0
            last = self._pulse.beats
            if self._watched and silent >= HUNG_AFTER and not self._stopping:
                self._end("event loop is blocked", {"seconds": round(silent * TICK)})

    def _end(self, message: str, fields: dict[str, object]) -> NoReturn:
        """Log the stack of the main thread, and end the process without waiting for it."""
        frame = sys._current_frames().get(threading.main_thread().ident or 0)  # noqa: SLF001 - the documented way to get another thread's stack
        stack = "".join(traceback.format_stack(frame)) if frame else None
        logger.error(message, extra={"fields": {"process": os.getpid(), **fields, "stack": stack}})
        logs.drain()
        os._exit(1)


def log_stop(number: int, **fields: object) -> None:
    """Log that the service shuts down because of the signal `number`."""
    logger.info("shutting down", extra={"fields": {"signal": signal.Signals(number).name, **fields}})


def _settle_garbage() -> None:
    """Exclude the existing objects, which live as long as the process, from garbage collections. Collect less often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG)


class StoppingProtocol(DeadlineProtocol):
    """Closes busy connections during the shutdown: after the current response, or after STOP_GRACE seconds.

    The response has `Connection: close`. Sanic itself would keep the connection open for the next request. It also
    measures time in steps of the loop, and a busy loop makes few steps.
    """

    __slots__ = ()

    def close_if_idle(self) -> bool:
        """Close an idle connection now, a busy one after its response. Return whether it was idle.

        Sanic calls this once, when it stops.
        """
        closed = super().close_if_idle()
        if not closed:
            self.http.keep_alive = False
            self.loop.call_at(self.app.ctx.cut_off_at, self._cut_off)
        return closed

    def _cut_off(self) -> None:
        if self in self.connections:
            self.app.ctx.cut_off += 1
            self.abort()  # type: ignore[no-untyped-call]  # reason: Sanic leaves it untyped
