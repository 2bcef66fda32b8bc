"""The parent process of the workers. It replaces workers that die or hang, and stops all workers within a deadline."""

from __future__ import annotations

import logging
import os
import signal
import socket
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, NoReturn

from sanic import Sanic

from service import logs
from service.serving.worker import STOP_LIMIT, STOP_SIGNALS, TICK, Pulse, log_stop, work
from service.telemetry import Board, Seat

logger = logging.getLogger("doable.serving")

# A worker that dies before its first heartbeat, or within EARLY seconds of its start, counts as a failed start. After
# MAXIMUM_FAILED_STARTS in a row the service exits, so that the platform notices the failure.
EARLY = 1.0  # seconds
MAXIMUM_FAILED_STARTS = 10
SIGNALS = (*STOP_SIGNALS, signal.SIGCHLD)
# Consecutive checks without a heartbeat after which the supervisor kills a worker. Usually the worker's own threads end
# it sooner.
HUNG_AFTER = 25
STARTING = 60  # checks without a heartbeat that a worker may need to start
KILL_AFTER = 1.5  # seconds after the workers' own deadline


@dataclass
class Worker:
    """The supervisor's state of one worker."""

    seat: Seat  # the place of its metrics
    pulse: Pulse = field(default_factory=Pulse)
    started: float = field(default_factory=time.monotonic)
    beats: int = 0  # the number of heartbeats at the last check
    silent: int = 0  # the number of checks since the last heartbeat

    def is_hung(self) -> bool:
        """Check for a new heartbeat. Return whether there has been none for too long."""
        beats = self.pulse.beats
        self.silent = self.silent + 1 if beats == self.beats else 0
        self.beats = beats
        return self.silent >= (HUNG_AFTER if beats else STARTING)


class Supervisor:
    """Forks the workers, and waits for signals."""

    def __init__(self, app: Sanic[Any, Any], listener: socket.socket, workers: int, *, watched: bool) -> None:
        """Prepare to run `app` in `workers` processes on `listener`. If `watched` is true, replace hung workers."""
        self._app, self._listener, self._wanted, self._watched = app, listener, workers, watched
        self._drain_delay: float = app.ctx.settings.drain_delay  # seconds
        self._workers: dict[int, Worker] = {}  # by process id
        self._board = Board(workers)
        self._failed_starts = 0
        self._looked = 0.0  # the monotonic time of the last check for hung workers
        self._stopping = 0.0  # the monotonic time at which the shutdown began; 0 before
        self._killed = 0  # the number of workers that did not stop in time

    def run(self) -> int:
        """Start the workers, replace those that die, and stop all at SIGTERM or SIGINT. Return the exit code."""
        # The signals stay blocked, and the loop waits for them. A signal handler would miss a signal that arrives just
        # before the wait.
        signal.signal(signal.SIGCHLD, lambda *_: None)  # by default the system discards SIGCHLD, even while blocked
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        for _ in range(self._wanted):
            self._start()
        while self._workers:
            number = wait_for_signal(self._patience())
            if number in STOP_SIGNALS and not self._stopping:
                log_stop(number, workers=len(self._workers))
                self._stop(number)
            self._reap()
            self._look()
        if self._stopping:
            fields = {"seconds": round(time.monotonic() - self._stopping, 2), "killed": self._killed}
            logger.log(logging.WARNING if self._killed else logging.INFO, "stopped", extra={"fields": fields})
        return 1 if self._killed or self._failed_starts >= MAXIMUM_FAILED_STARTS else 0

    @property
    def _kill_at(self) -> float:
        return self._stopping + self._drain_delay + STOP_LIMIT + KILL_AFTER

    def _patience(self) -> float:
        """Return the seconds until the next check or deadline."""
        return min(TICK, max(0.01, self._kill_at - time.monotonic())) if self._stopping else TICK

    def _start(self) -> None:
        logs.end_threads()
        worker, supervisor = Worker(self._board.seat()), os.getpid()
        process = os.fork()
        if process == 0:
            self._app.ctx.seat = worker.seat
            self._work(worker.pulse, supervisor)
        self._workers[process] = worker

    def _work(self, pulse: Pulse, supervisor: int) -> NoReturn:
        code = 1
        try:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
            work(self._app, self._listener, watched=self._watched, pulse=pulse, supervisor=supervisor)
            code = 0
        except BaseException:
            logger.exception("worker failed")
        finally:
            logging.shutdown()
            os._exit(code)

    def _look(self) -> None:
        """Kill workers that hang, checking at most once per tick, and workers that do not stop in time."""
        now = time.monotonic()
        if self._stopping and not self._killed and now >= self._kill_at:
            self._killed = len(self._workers)
            for process in self._workers:
                logger.error("worker does not stop, killing it", extra={"fields": {"process": process}})
                _send(process, signal.SIGKILL)
        if not self._watched or self._stopping or now - self._looked < TICK * 0.9:
            return
        self._looked = now
        for process, worker in self._workers.items():
            if worker.is_hung():
                fields = {"process": process, "seconds": round(worker.silent * TICK)}
                logger.error("worker hangs, killing it", extra={"fields": fields})
                _send(process, signal.SIGKILL)

    def _reap(self) -> None:
        """Replace every worker that has ended. One SIGCHLD may stand for several workers."""
        while self._workers:
            process, status = os.waitpid(-1, os.WNOHANG)
            if not process:
                return
            worker = self._workers.pop(process, None)
            if worker is not None and not self._stopping:
                self._replace(process, os.waitstatus_to_exitcode(status), worker)

    def _replace(self, process: int, exit_code: int, worker: Worker) -> None:
        self._board.vacate(worker.seat)
        fields: dict[str, object] = {"process": process, "exit_code": exit_code}
        if exit_code < 0:
            fields["signal"] = signal.Signals(-exit_code).name
        logger.error("worker died", extra={"fields": fields})
        never_served = not worker.pulse.beats or time.monotonic() - worker.started < EARLY
        self._failed_starts = self._failed_starts + 1 if never_served else 0
        if self._failed_starts >= MAXIMUM_FAILED_STARTS:
            logger.error("workers do not start, giving up")
            self._stop(signal.SIGTERM)
        else:
            self._start()

    def _stop(self, number: int) -> None:
        self._stopping = time.monotonic()
        for process in self._workers:
            _send(process, number)


def wait_for_signal(seconds: float) -> int | None:
    """Wait for one of SIGNALS, which must be blocked. Return None after `seconds` without a signal."""
    if hasattr(signal, "sigtimedwait"):
        found = signal.sigtimedwait(SIGNALS, seconds)
        return found.si_signo if found else None
    pending = signal.sigpending() & set(SIGNALS)  # macOS has no sigtimedwait
    if pending:
        return signal.sigwait(pending)
    time.sleep(min(seconds, 0.05))
    return None


def _send(process: int, number: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(process, number)
