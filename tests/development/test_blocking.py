"""The monitor of the event loop finds steps that use too much CPU time, and nothing else."""

from __future__ import annotations

import asyncio
import gc
import time

import pytest

from service.development import blocking


def compute(seconds: float) -> None:
    """Use this much CPU time of the thread, in seconds."""
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        pass


async def test_a_step_that_computes_for_too_long_is_found_with_its_stack(steps):
    async def block():
        compute(0.2)

    await steps.measured(block())
    longest, blocks = steps.take()
    assert 0.2 <= longest < 3
    (block,) = blocks
    assert blocking.LIMIT < block.seconds <= longest
    assert "compute" in block.stack
    assert "compute" in str(block)


async def test_tasks_and_timers_of_a_measured_coroutine_are_measured_too(steps):
    done = asyncio.Event()

    def late() -> None:
        compute(0.1)
        done.set()

    async def begin():
        asyncio.get_running_loop().call_later(0, late)

    await steps.measured(begin())
    await done.wait()
    assert steps.take()[0] >= 0.1


@pytest.mark.parametrize("pause", [time.sleep, compute], ids=["waits", "computes in another task"])
async def test_neither_waiting_nor_the_work_of_others_is_counted(steps, pause):
    async def others():
        pause(0.15)

    await (steps.measured(others()) if pause is time.sleep else asyncio.create_task(others()))
    longest, blocks = steps.take()
    assert longest < 0.05
    assert blocks == []


async def test_many_short_steps_do_not_count_as_a_long_one(steps):
    async def yields():
        for _ in range(100):
            compute(0.003)
            await asyncio.sleep(0)

    await steps.measured(yields())
    longest, _ = steps.take()
    assert 0.003 <= longest < 0.2, "all of them together take 0.3 seconds"


async def test_a_garbage_collection_is_not_counted(steps):
    garbage = [[number] for number in range(200_000)]  # so that one collection takes a while
    began = time.thread_time()

    async def collects():
        while time.thread_time() < began + 0.1:
            gc.collect()

    await steps.measured(collects())
    taken = time.thread_time() - began
    del garbage
    longest, blocks = steps.take()
    assert taken > 0.05
    assert longest < taken / 2
    assert blocks == []
