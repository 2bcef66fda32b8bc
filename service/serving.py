"""Processes: one socket, as many workers as configured, and a parent that keeps them alive until it is told to stop.

Sanic has a worker manager of its own; a SIGTERM that reaches it before every worker has reported hangs it at full
CPU (sanic #2997). Forked workers that share one listening socket need far less: the kernel hands connections out, and
those that a dying worker had not accepted yet wait for the others.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from types import FrameType

from service.app import create_app
from service.config import Settings
from service.errors import ConfigurationError

logger = logging.getLogger("doable.serving")

BACKLOG = 1024
# A worker that cannot even start is not started again at once, or a broken database would cost a core.
RESTART_DELAY = 1.0  # seconds
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


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
    listener.setblocking(False)
    listener.set_inheritable(True)
    return listener


def serve(settings: Settings, announce: Callable[[], None] | None = None) -> int:
    """Serve until SIGTERM or SIGINT; return the process's exit code. `announce` is called when the socket listens.

    Raises ConfigurationError before anything is served.
    """
    app = create_app(settings)  # here too, so that bad settings are one sentence and not a crashing worker
    listener = listen(settings)
    logger.info("listening", extra={"fields": {"port": settings.port, "workers": settings.web_concurrency}})
    if announce:
        announce()
    if settings.web_concurrency == 1:
        app.run(sock=listener, single_process=True)
        return 0
    return Supervisor(settings, listener).run()


class Supervisor:
    """The parent of the workers."""

    def __init__(self, settings: Settings, listener: socket.socket) -> None:
        """Prepare to run `settings.web_concurrency` workers on `listener`."""
        self._settings = settings
        self._listener = listener
        self._workers: dict[int, float] = {}
        self._stopping = False

    def run(self) -> int:
        """Start the workers, replace those that die, and stop them all when told to."""
        for number in STOP_SIGNALS:
            signal.signal(number, self._stop)
        while len(self._workers) < self._settings.web_concurrency and not self._stopping:
            self._start()
        while self._workers:
            self._reap()
        return 0

    def _start(self) -> None:
        # The signals wait while the child is not yet ready to be told, so that none is lost between fork and exec.
        signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
        process = os.fork()
        if process == 0:
            self._work()
        self._workers[process] = time.monotonic()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)

    def _work(self) -> None:
        code = 1
        try:
            for number in STOP_SIGNALS:
                signal.signal(number, lambda *_: os._exit(0))  # until Sanic takes over there is nothing to finish
            signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
            create_app(self._settings).run(sock=self._listener, single_process=True)
            code = 0
        except BaseException:
            logger.exception("worker failed")
        finally:
            sys.stdout.flush()
            os._exit(code)

    def _reap(self) -> None:
        try:
            process, status = os.waitpid(-1, 0)
        except ChildProcessError:
            self._workers.clear()
            return
        started = self._workers.pop(process, 0.0)
        if self._stopping:
            return
        logger.error("worker died", extra={"fields": {"process": process, "status": os.waitstatus_to_exitcode(status)}})
        if time.monotonic() - started < RESTART_DELAY:
            time.sleep(RESTART_DELAY)
        if not self._stopping:
            self._start()

    def _stop(self, number: int, _frame: FrameType | None) -> None:
        self._stopping = True
        for process in self._workers:
            os.kill(process, number)
