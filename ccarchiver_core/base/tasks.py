"""Cancellation of asyncio tasks."""

from __future__ import annotations

import asyncio
from typing import TypeVar

T = TypeVar("T")


async def cancel_and_wait(task: asyncio.Task[T]) -> None:
    """Cancel a task and wait until it has ended; do nothing if it has ended already.

    In most cases, ``await task`` within ``suppress(CancelledError)`` would do the same. But if the
    caller is cancelled during that wait, its own cancellation would be suppressed, and it would
    never end.

    Raises
    ------
    Exception
        What the task raised, if it failed.
    asyncio.CancelledError
        If the caller is cancelled meanwhile. The task is already cancelled, and ends by itself.
    """
    task.cancel()
    await asyncio.wait({task})
    if not task.cancelled():
        task.result()
