"""Write log lines to a file descriptor from a thread, so that a stalled reader never blocks the service."""

from __future__ import annotations

import os
import select
import signal
import stat
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

ROOM = 1024 * 1024  # bytes that may wait to be written; about 3,500 request lines


class Writer:
    """Writes lines in order from a daemon thread. Drops and counts lines while the queue is full.

    `report` returns the line with the number of dropped lines. It is written when the reader has caught up. The thread
    starts with the first line. It does not survive a fork: the child begins with an empty queue and its own thread, and
    the parent writes the queued lines.
    """

    def __init__(self, descriptor: int, report: Callable[[int], str], encoding: str = "utf-8") -> None:
        """Write to the open file `descriptor`."""
        self._descriptor, self._report, self._encoding = descriptor, report, encoding
        self.dropped = 0  # the number of lines since the start of the process
        self._begin()

    def _begin(self) -> None:
        self._process = os.getpid()
        self._waiting: deque[tuple[bytes, int]] = deque()  # blocks of lines, and the number of lines in each
        self._size = 0  # bytes in the queue, with the block that is being written
        self._unreported = 0
        self._ending = self._failing = False
        self._thread: threading.Thread | None = None
        self._changed = threading.Condition()

    def put(self, lines: Sequence[str]) -> None:
        """Queue `lines`, which have no newlines, or drop and count them if the queue is full. Never waits for I/O."""
        if self._process != os.getpid():
            self.dropped = 0
            self._begin()
        block = "\n".join([*lines, ""]).encode(self._encoding, "backslashreplace")
        with self._changed:
            if self._size and self._size + len(block) > ROOM:
                self.dropped += len(lines)
                self._unreported += len(lines)
                return
            self._waiting.append((block, len(lines)))
            self._size += len(block)
            self._changed.notify_all()
            if self._thread is None:
                self._start()

    def _start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="log writer", daemon=True)
        try:
            self._thread.start()
        except RuntimeError:  # the interpreter is shutting down and starts no more threads
            self._thread = None
            while self._waiting:
                block, _ = self._waiting.popleft()
                self._size -= len(block)
                self._write(block)

    def drain(self, seconds: float) -> bool:
        """Wait until all lines are written, for at most `seconds`. Return whether they are."""
        with self._changed:
            return self._changed.wait_for(lambda: self._size == 0, seconds)

    def end(self, seconds: float) -> None:
        """Write all lines and end the thread, within `seconds`. The next line starts a new thread."""
        deadline = time.monotonic() + seconds
        self.drain(seconds)
        with self._changed:
            thread, self._ending = self._thread, self._size == 0
            self._changed.notify_all()
        if thread is not None and self._ending:
            thread.join(max(0.0, deadline - time.monotonic()))

    def _run(self) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())  # other threads handle the signals
        while (taken := self._take()) is not None:
            block, lines = taken
            try:
                self._write(block)
                self._failing = False
            except OSError as error:
                self._fail(lines, error)
            with self._changed:
                if lines:
                    self._size -= len(block)
                self._changed.notify_all()

    def _take(self) -> tuple[bytes, int] | None:
        """Wait for the next block: queued lines first, then the report (0 lines). Return None to end the thread."""
        with self._changed:
            while not self._waiting and not self._unreported and not self._ending:
                self._changed.wait()
            if self._waiting:
                return self._waiting.popleft()
            if self._unreported and not self._failing:
                dropped, self._unreported = self._unreported, 0
                return f"{self._report(dropped)}\n".encode(self._encoding, "backslashreplace"), 0
            self._ending, self._thread, self._unreported = False, None, 0
            return None

    def _fail(self, lines: int, error: OSError) -> None:
        """Count lines that could not be written. Report the first failure on stderr, until a write succeeds again."""
        self.dropped += lines
        if not self._failing:
            self._failing = True
            sys.stderr.write(f"doable: log lines were lost, stdout cannot be written: {error!r}\n")

    def _write(self, block: bytes) -> None:
        """Write whole lines, which workers that share the file must not mix.

        A file is written in one piece. Anything else gets at most PIPE_BUF bytes at a time, which a pipe writes
        atomically. After each piece, this thread must wait for the interpreter lock.
        """
        is_file = stat.S_ISREG(os.fstat(self._descriptor).st_mode)
        piece = len(block) if is_file else select.PIPE_BUF
        rest = memoryview(block)
        position = 0
        while position < len(block):
            end = block.rfind(b"\n", position, position + piece) + 1 or block.index(b"\n", position) + 1
            while position < end:
                try:
                    position += os.write(self._descriptor, rest[position:end])
                except BlockingIOError:  # another process has set the shared pipe or terminal to non-blocking
                    select.select([], [self._descriptor], [])
