"""Detect callbacks that block the event loop.

A step is one run of a callback. Its duration is measured in CPU time of the loop's thread, so that the result does not
depend on the load of the machine. A test fails if a step of its server exceeds LIMIT. The development server logs a
warning with the stack. Production does not measure.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
import threading
import time
import traceback
from asyncio.events import Handle
from collections.abc import Callable, Coroutine
from contextvars import ContextVar, copy_context
from types import FrameType
from typing import Any, NamedTuple, TypeVar

T = TypeVar("T")
logger = logging.getLogger("doable.blocking")

LIMIT = 0.05  # seconds of CPU time that one step may take
LOOP = ("measure", "run_forever")  # functions that run the steps, asyncio's or uvloop's
SAMPLE = 0.01  # seconds between two checks of the watching thread
_is_measured: ContextVar[bool] = ContextVar("is_measured", default=False)


class Block(NamedTuple):
    """A step that exceeded LIMIT: its CPU time in seconds, the stack during the step, and the route if it is known."""

    seconds: float
    stack: str
    route: str | None = None

    def __str__(self) -> str:
        """Format the block for the failure of a test."""
        return f"a step of the event loop took {self.seconds * 1000:.0f} ms of CPU time, in\n{self.stack}"


class Watch:
    """A monitor of the event loop in the thread that created the monitor. It reports each step that exceeds LIMIT.

    The watching thread calls `report` at most once for each step, while the step is still running.
    """

    def __init__(self, report: Callable[[Block], None]) -> None:
        """Start the watching thread."""
        self.longest: float = 0.0  # seconds of CPU time; the longest finished step
        self._report = report
        self._began: float | None = None  # the thread's CPU time at the start of the step; None between steps
        self._step = self._reported = 0  # the number of the current step, and of the last reported one
        self._collecting: float | None = None  # the thread's CPU time at the start of a running garbage collection
        self._main = threading.get_ident()
        # macOS has no clock for the CPU time of another thread.
        self._clock = time.pthread_getcpuclockid(self._main) if hasattr(time, "pthread_getcpuclockid") else None
        gc.callbacks.append(self._leave_out_garbage)
        threading.Thread(target=self._watch, name="block watch", daemon=True).start()

    def begin(self) -> None:
        """Record the start of a step."""
        self._step += 1
        self._began = self._now()

    def end(self) -> None:
        """Record the end of the step."""
        if self._began is not None:
            self.longest = max(self.longest, self._now() - self._began)
        self._began = None

    def _now(self) -> float:
        return time.monotonic() if self._clock is None else time.clock_gettime(self._clock)

    def _leave_out_garbage(self, phase: str, _info: dict[str, int]) -> None:
        """Subtract a garbage collection from the step, because it may happen in any step."""
        if threading.get_ident() != self._main:
            return
        if phase == "start":
            self._collecting = self._now()
            return
        if self._began is not None and self._collecting is not None:
            self._began += self._now() - self._collecting
        self._collecting = None

    def _watch(self) -> None:
        while True:
            time.sleep(SAMPLE)
            began, step = self._began, self._step
            if began is None or self._collecting is not None or step == self._reported:
                continue
            seconds = self._now() - began
            frame = sys._current_frames().get(self._main)  # noqa: SLF001 - the documented way to see another thread
            if seconds > LIMIT and frame is not None and step == self._step:
                self._reported = step
                self._report(_describe(seconds, frame))


def _describe(seconds: float, frame: FrameType) -> Block:
    """Describe the step that runs in `frame`, without the frames of the event loop and its callers."""
    inner = [*reversed([*traceback.walk_stack(frame)])]
    starts = [number for number, (one, _) in enumerate(inner) if one.f_code.co_name in LOOP]
    requests = [one.f_locals.get("request") for one, _ in inner]
    route = next((found for one in requests if (found := getattr(one, "template", None))), None)
    stack = traceback.StackSummary.extract(inner[starts[-1] + 1 :] if starts else inner)
    return Block(seconds, "".join(stack.format()), route)


async def warn(_app: object) -> None:
    """Log a warning for every blocked step from now on. Sanic calls it when a development server has started."""

    def report(block: Block) -> None:
        fields = {"milliseconds": round(block.seconds * 1000), "route": block.route, "stack": block.stack}
        logger.warning("the event loop is blocked", extra={"fields": fields})

    loop, watch = asyncio.get_running_loop(), Watch(report)

    def step() -> None:  # an idle loop uses no CPU time, so all CPU time between two calls belongs to callbacks
        watch.end()
        watch.begin()
        loop.call_later(SAMPLE, step)

    step()


class Steps(Watch):
    """A monitor of the steps of asyncio's event loop, limited to those of the coroutines that `measured` runs."""

    def __init__(self) -> None:
        """Start to measure."""
        self.blocks: list[Block] = []
        super().__init__(self.blocks.append)
        run = Handle._run  # noqa: SLF001 - asyncio has no hook for the end of a step

        def measure(handle: Handle) -> None:
            if not handle._context.get(_is_measured):  # type: ignore[attr-defined]  # not in typeshed  # noqa: SLF001 - the step belongs to its context
                return run(handle)
            self.begin()
            try:
                return run(handle)
            finally:
                self.end()

        Handle._run = measure  # type: ignore[method-assign,assignment]  # replaced on purpose  # noqa: SLF001 - there is no hook, as above

    async def measured(self, running: Coroutine[Any, Any, T]) -> T:
        """Run `running`. Measure its steps, and the steps of all tasks, timers and connections that it creates."""
        context = copy_context()
        context.run(_is_measured.set, True)  # noqa: FBT003 - the new value of the variable
        return await asyncio.create_task(running, context=context)

    def take(self) -> tuple[float, list[Block]]:
        """Return the longest step in seconds and the blocks since the last call, and reset both."""
        longest, self.longest = self.longest, 0.0
        found = self.blocks[:]
        self.blocks.clear()
        return longest, found
