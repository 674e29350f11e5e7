"""Periodic tasks continue together."""

from __future__ import annotations

import asyncio

import pytest

from ccarchiver_core.base.beat import next_beat

INTERVAL = 0.2
ATTEMPTS = 50
"""On a busy machine a beat may come between the begins of two tasks."""


async def test_tasks_that_begin_at_different_times_continue_together() -> None:
    iterations, is_counting = 0, True

    async def count() -> None:
        nonlocal iterations
        while is_counting:
            await asyncio.sleep(0)
            iterations += 1

    async def task(delay: float) -> int:
        await asyncio.sleep(delay)
        await next_beat(INTERVAL)
        return iterations

    counting = asyncio.create_task(count())
    differences = list[int]()
    while len(differences) < ATTEMPTS and 0 not in differences and 1 not in differences:
        first, second = await asyncio.gather(task(0.0), task(0.1 * INTERVAL))
        differences.append(abs(first - second))
    is_counting = False
    await counting
    assert differences[-1] <= 1, f"iterations of the event loop between the tasks: {differences}"


@pytest.mark.parametrize("interval", [0.01, 0.05])
async def test_no_beat_comes_early(interval: float) -> None:
    loop = asyncio.get_running_loop()
    for _ in range(10):
        began = loop.time()
        await next_beat(interval)
        assert loop.time() // interval > began // interval
