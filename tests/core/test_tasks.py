from __future__ import annotations

import asyncio

import pytest

from ccarchiver_core.base.tasks import cancel_and_wait


async def test_cancel_and_wait_ends_a_running_task() -> None:
    task = asyncio.create_task(asyncio.Event().wait())
    await cancel_and_wait(task)
    assert task.cancelled()


async def test_cancel_and_wait_raises_the_error_of_a_failed_task() -> None:
    async def fail() -> None:
        raise ValueError("its own")

    task = asyncio.create_task(fail())
    await asyncio.wait({task})
    with pytest.raises(ValueError, match="its own"):
        await cancel_and_wait(task)


async def test_cancel_and_wait_can_be_cancelled_while_the_task_ends() -> None:
    ending, may_end = asyncio.Event(), asyncio.Event()

    async def end_slowly() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ending.set()
            await may_end.wait()

    inner = asyncio.create_task(end_slowly())
    await asyncio.sleep(0)
    caller = asyncio.create_task(cancel_and_wait(inner))
    await ending.wait()

    caller.cancel()
    await asyncio.wait({caller})
    assert caller.cancelled()

    may_end.set()
    await asyncio.wait({inner})
    assert inner.cancelled()
