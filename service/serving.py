"""Processes: one socket, as many workers as configured, and a parent that keeps them alive until it is told to stop.

Sanic has a worker manager of its own; a SIGTERM that reaches it before every worker has reported hangs it at full
CPU (sanic #2997). Forked workers that share one listening socket need far less: the kernel hands connections out, and
those that a dying worker had not accepted yet wait for the others.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
import socket
import time
from collections.abc import Callable
from typing import Any, NoReturn

from sanic import Sanic
from sanic.server import runners

from service.api.playground import Playground
from service.api.protocol import DeadlineProtocol
from service.app import create_app
from service.config import Settings
from service.errors import ConfigurationError
from service.metrics import Board, Seat

logger = logging.getLogger("doable.serving")

BACKLOG = 1024
YOUNG = 10_000  # objects between two collections; 700 by default, which a few requests make
# A worker that dies this soon after its start could not start at all; so many in a row, and the platform must know.
EARLY = 1.0  # seconds
MAXIMUM_FAILED_STARTS = 10
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
HEARD = (*STOP_SIGNALS, signal.SIGCHLD)  # what the parent of the workers waits for


def listen(settings: Settings) -> socket.socket:
    """The listening socket. Raises ConfigurationError when the address cannot be had."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
    except OSError as error:
        listener.close()
        raise ConfigurationError(f"Cannot listen on {settings.host}:{settings.port}: {error.strerror}.") from None
    listener.listen(BACKLOG)
    listener.set_inheritable(True)
    return listener


def serve(settings: Settings, announce: Callable[[], None] | None = None, playground: Playground | None = None) -> int:
    """Serve until SIGTERM or SIGINT; return the process's exit code. `announce` is called when the socket listens.

    Raises ConfigurationError before anything is served.
    """
    app = create_app(settings, playground)
    listener = listen(settings)
    logger.info("listening", extra={"fields": {"port": settings.port, "workers": settings.web_concurrency}})
    if announce:
        announce()
    if settings.web_concurrency == 1:
        work(app, listener)
        return 0
    return Supervisor(app, listener, settings.web_concurrency).run()


def work(app: Sanic[Any, Any], listener: socket.socket) -> None:
    """Serve in this process until told to stop, then answer what is in flight and return."""
    app.after_server_start(_listen_for_signals)
    # As it starts, Sanic ignores signals for a moment, and a stop that fell into it was never heard.
    runners.signal_func = lambda *_: None  # type: ignore[attr-defined]  # its name for signal.signal, used for that alone
    app.run(sock=listener, single_process=True, protocol=StoppingProtocol, register_sys_signals=False)


async def _listen_for_signals(app: Sanic[Any, Any]) -> None:
    def stop() -> None:
        # Once Sanic stops, a second signal would cut off what is in flight, and platforms send theirs to every process
        # while the supervisor passes on its own: from the first one on they wait for ever.
        if not signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS) & set(STOP_SIGNALS):
            app.ctx.draining = True
            app.ctx.live.drain()
            loop.call_later(app.ctx.settings.drain_delay, lambda: app.stop(terminate=False))

    loop = asyncio.get_running_loop()
    for number in STOP_SIGNALS:
        loop.add_signal_handler(number, stop)
    _settle_garbage()


def _settle_garbage() -> None:
    """Keep what lives as long as the process out of every collection, and collect what requests leave less often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG)


class StoppingProtocol(DeadlineProtocol):
    """Lets a busy connection answer with `Connection: close` when the process stops.

    Sanic would keep it open for the next request, and wait GRACEFUL_SHUTDOWN_TIMEOUT seconds for that.
    """

    __slots__ = ()

    def close_if_idle(self) -> bool:
        """Close the connection now or after its answer; whether it was now. Sanic asks once, as it stops."""
        closed = super().close_if_idle()
        if not closed:
            self.http.keep_alive = False
        return closed


class Supervisor:
    """The parent of the workers."""

    def __init__(self, app: Sanic[Any, Any], listener: socket.socket, workers: int) -> None:
        """Prepare to run `app` in so many `workers`, all of them on `listener`."""
        self._app = app
        self._listener = listener
        self._wanted = workers
        self._workers: dict[int, float] = {}  # process id → when it was started
        self._board = Board(workers)
        self._seats: dict[int, Seat] = {}  # process id → where its figures are
        self._failed_starts = 0
        self._stopping = False

    def run(self) -> int:
        """Start the workers, replace those that die, and stop them all when told to; return the exit code."""
        # Signals are waited for, not handled: a handler that ran just before a wait began would leave it waiting.
        signal.signal(signal.SIGCHLD, lambda *_: None)  # what nobody handles by default need not be told to a waiter
        signal.pthread_sigmask(signal.SIG_BLOCK, HEARD)
        for _ in range(self._wanted):
            self._start()
        while self._workers:
            number = signal.sigwait(HEARD)
            if number == signal.SIGCHLD:
                self._reap()
            else:
                self._stop(number)
        return 1 if self._failed_starts >= MAXIMUM_FAILED_STARTS else 0

    def _start(self) -> None:
        seat = self._board.seat()
        process = os.fork()
        if process == 0:
            self._app.ctx.seat = seat
            self._work()
        self._seats[process] = seat
        self._workers[process] = time.monotonic()

    def _work(self) -> NoReturn:
        code = 1
        try:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for number in STOP_SIGNALS:
                signal.signal(number, lambda *_: os._exit(0))  # until the loop runs, there is nothing to finish
            signal.pthread_sigmask(signal.SIG_UNBLOCK, HEARD)
            work(self._app, self._listener)
            code = 0
        except BaseException:
            logger.exception("worker failed")
        finally:
            logging.shutdown()
            os._exit(code)

    def _reap(self) -> None:
        """Look after every worker that has ended: one signal may stand for several of them."""
        while self._workers:
            process, status = os.waitpid(-1, os.WNOHANG)
            if not process:
                return
            started = self._workers.pop(process, None)
            if started is not None and not self._stopping:
                self._replace(process, os.waitstatus_to_exitcode(status), started)

    def _replace(self, process: int, exit_code: int, started: float) -> None:
        self._board.vacate(self._seats.pop(process))
        logger.error("worker died", extra={"fields": {"process": process, "exit_code": exit_code}})
        early = time.monotonic() - started < EARLY
        self._failed_starts = self._failed_starts + 1 if early else 0
        if self._failed_starts >= MAXIMUM_FAILED_STARTS:
            logger.error("workers do not start, giving up")
            self._stop(signal.SIGTERM)
        else:
            self._start()

    def _stop(self, number: int) -> None:
        self._stopping = True
        for process in self._workers:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, number)
