"""Find steps of the event loop that block it, measured in CPU time of its thread: a busy machine changes nothing.

Tests measure every step that a server takes, and fail above LIMIT. Development warns with the stack. Production has
neither.
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
SAMPLE = 0.01  # seconds between two looks of the thread that takes the stack
_is_measured: ContextVar[bool] = ContextVar("is_measured", default=False)


class Block(NamedTuple):
    """A step that took too long: its CPU time in seconds, and the stack of the loop while it ran."""

    seconds: float
    stack: str
    route: str | None = None

    def __str__(self) -> str:
        """Describe the block."""
        return f"a step of the event loop took {self.seconds * 1000:.0f} ms of CPU time, in\n{self.stack}"


class Watch:
    """Measures the steps of the event loop in the thread that made it, and takes the stack of those that block.

    `report` is called at most once for each step, from the watching thread, while the step still runs.
    """

    def __init__(self, report: Callable[[Block], None]) -> None:
        """Begin to watch."""
        self.longest: float = 0.0  # seconds of CPU time, of the steps that have ended
        self._report = report
        self._began: float | None = None  # the thread's CPU time when the step began; None between steps
        self._step = self._reported = 0
        self._collecting: float | None = None  # the thread's CPU time when the collection that runs began
        self._main = threading.get_ident()
        # macOS has no clock of another thread's CPU time.
        self._clock = time.pthread_getcpuclockid(self._main) if hasattr(time, "pthread_getcpuclockid") else None
        gc.callbacks.append(self._leave_out_garbage)
        threading.Thread(target=self._watch, name="block watch", daemon=True).start()

    def begin(self) -> None:
        """Begin a step."""
        self._step += 1
        self._began = self._now()

    def end(self) -> None:
        """End the step."""
        if self._began is not None:
            self.longest = max(self.longest, self._now() - self._began)
        self._began = None

    def _now(self) -> float:
        return time.monotonic() if self._clock is None else time.clock_gettime(self._clock)

    def _leave_out_garbage(self, phase: str, _info: dict[str, int]) -> None:
        """Do not count a collection: it falls into whichever step comes at its time."""
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
    """Describe the step that runs in `frame`, without the frames of the loop and of what has started it."""
    inner = [*reversed([*traceback.walk_stack(frame)])]
    starts = [number for number, (one, _) in enumerate(inner) if one.f_code.co_name in LOOP]
    requests = [one.f_locals.get("request") for one, _ in inner]
    route = next((found for one in requests if (found := getattr(one, "template", None))), None)
    stack = traceback.StackSummary.extract(inner[starts[-1] + 1 :] if starts else inner)
    return Block(seconds, "".join(stack.format()), route)


async def warn(_app: object) -> None:
    """Warn in the log of every block from now on. Sanic calls it when a server in development has started."""

    def report(block: Block) -> None:
        fields = {"milliseconds": round(block.seconds * 1000), "route": block.route, "stack": block.stack}
        logger.warning("the event loop is blocked", extra={"fields": fields})

    loop, watch = asyncio.get_running_loop(), Watch(report)

    def step() -> None:  # an idle loop takes no CPU time, so all that lies between two of these belongs to callbacks
        watch.end()
        watch.begin()
        loop.call_later(SAMPLE, step)

    step()


class Steps(Watch):
    """Measures each step of asyncio's own event loop that belongs to what `measured` has run, and nothing else."""

    def __init__(self) -> None:
        """Begin to measure."""
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
        """Run `running`, and measure its steps and those of all tasks, timers and connections that come of it."""
        context = copy_context()
        context.run(_is_measured.set, True)  # noqa: FBT003 - the value of the variable
        return await asyncio.create_task(running, context=context)

    def take(self) -> tuple[float, list[Block]]:
        """The longest step in seconds, and the blocks, since this was last asked."""
        longest, self.longest = self.longest, 0.0
        found = self.blocks[:]
        self.blocks.clear()
        return longest, found
