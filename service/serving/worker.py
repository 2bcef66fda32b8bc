"""One worker process: serve, stop within a deadline by the clock, and end when hung or when the supervisor is gone.

Two daemon threads look after the event loop, because a blocked loop can neither handle a signal nor measure time. One
waits for SIGTERM and SIGINT and enforces the deadline of the stop. The other looks once a second whether the loop still
runs and whether the supervisor still lives.
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
YOUNG = 10_000  # objects between two collections; 700 by default, which a few requests make
TICK = 1.0  # seconds between two beats of the loop, and between two looks at them
# A stop: requests in flight may take STOP_GRACE seconds, then their connections are cut off. A process that has not
# ended STOP_LIMIT seconds after the signal ends at once. Heroku and Docker's callers kill after 30 and 10 seconds.
STOP_GRACE = 15.0
STOP_LIMIT = 17.0
# Looks in a row without a beat. Looks are counted instead of seconds, because a process that was suspended, as by
# `docker pause`, Ctrl-Z or a closed laptop, does not look either.
HUNG_AFTER = 20


class Pulse:
    """A counter that the worker's event loop increments every second, in memory that the supervisor shares."""

    def __init__(self) -> None:
        """Begin at 0. The supervisor makes it before it forks."""
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
    """Serve in this process until SIGTERM or SIGINT, answer the requests in flight, and return.

    `watched` says whether a blocked event loop ends the process. `supervisor` is the process id of the parent; the
    worker stops when it is gone. The caller must have blocked STOP_SIGNALS before any thread was started.
    """
    life = Life(app, pulse or Pulse(), supervisor, watched=watched)
    life.guard()
    app.before_server_start(life.begin)
    app.after_server_start(life.serve)
    # Sanic sets both signals to be ignored during its start.
    runners.signal_func = lambda *_: None  # type: ignore[attr-defined]  # its name for signal.signal, used for that alone
    app.run(sock=listener, single_process=True, protocol=StoppingProtocol, register_sys_signals=False, motd=False)
    life.ended()


class Life:
    """The life of a worker: its heartbeat, its stop, and the threads that end the process if the loop cannot."""

    def __init__(self, app: Sanic[Any, Any], pulse: Pulse, supervisor: int | None, *, watched: bool) -> None:
        """Prepare; see `work` for the arguments."""
        self._app, self._pulse, self._supervisor, self._watched = app, pulse, supervisor, watched
        self._is_single = supervisor is None
        self._limit = STOP_LIMIT + app.ctx.settings.drain_delay  # seconds
        self._serving = threading.Event()
        self._stopping = 0.0  # when the signal came, by the monotonic clock
        self._finished = 0  # requests, when the signal came
        app.ctx.cut_off = 0  # requests whose connection was closed because the stop took too long

    def guard(self) -> None:
        """Start the two threads."""
        for target in (self._wait_for_stop, self._watch):
            threading.Thread(target=target, daemon=True, name=target.__name__.strip("_")).start()

    async def begin(self, _app: Sanic[Any, Any]) -> None:
        """Begin to beat. Sanic calls it before the worker takes requests."""
        self._loop = asyncio.get_running_loop()
        self._beat()

    async def serve(self, _app: Sanic[Any, Any]) -> None:
        """Let a stop be graceful from now on. Sanic calls it once the worker takes requests."""
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
        """Take the first signal to stop, and end the process if the stop takes too long.

        Later signals stay pending for ever: platforms send theirs to every process while the supervisor passes its own
        on, and a second one must not cut off what is in flight.
        """
        number = signal.sigwait(STOP_SIGNALS)
        self._stopping = deadline = time.monotonic()
        deadline += self._limit
        if self._is_single:
            log_stop(number)
        if self._serving.wait(self._limit):
            with contextlib.suppress(RuntimeError):  # the loop is closed already
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
        """Look every second whether the loop beats, and whether the supervisor lives."""
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
        """Log what the main thread is doing, and end the process without waiting for it."""
        frame = sys._current_frames().get(threading.main_thread().ident or 0)  # noqa: SLF001 - the documented way to see another thread
        stack = "".join(traceback.format_stack(frame)) if frame else None
        logger.error(message, extra={"fields": {"process": os.getpid(), **fields, "stack": stack}})
        logs.drain()
        os._exit(1)


def log_stop(number: int, **fields: object) -> None:
    """Log that the signal `number` has come and the service stops."""
    logger.info("shutting down", extra={"fields": {"signal": signal.Signals(number).name, **fields}})


def _settle_garbage() -> None:
    """Keep objects that live as long as the process out of every collection, and collect the others less often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG)


class StoppingProtocol(DeadlineProtocol):
    """Answers on a busy connection with `Connection: close` when the process stops, and cuts it off after STOP_GRACE.

    Sanic would keep it open for the next request. It also counts its own steps as time, and a busy loop makes few.
    """

    __slots__ = ()

    def close_if_idle(self) -> bool:
        """Close the connection now or after its answer; return whether it was now. Sanic asks once, as it stops."""
        closed = super().close_if_idle()
        if not closed:
            self.http.keep_alive = False
            self.loop.call_at(self.app.ctx.cut_off_at, self._cut_off)
        return closed

    def _cut_off(self) -> None:
        if self in self.connections:
            self.app.ctx.cut_off += 1
            self.abort()  # type: ignore[no-untyped-call]  # reason: Sanic leaves it untyped
