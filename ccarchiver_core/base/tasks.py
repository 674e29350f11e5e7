"""End a task from another one."""

from __future__ import annotations

import asyncio
from typing import TypeVar

T = TypeVar("T")


async def cancel_and_wait(task: asyncio.Task[T]) -> None:
    """Cancel a task and wait until it has ended; do nothing if it has ended already.

    ``await task`` within ``suppress(CancelledError)`` would do the same in most cases. But if the caller itself is
    cancelled during that wait, its own cancellation would be suppressed, and it would go on without an end.

    Raises
    ------
    Exception
        What the task raised, if it failed.
    asyncio.CancelledError
        If the caller is cancelled meanwhile. The task then ends by itself, as it is cancelled too.
    """
    task.cancel()
    await asyncio.wait({task})
    if not task.cancelled():
        task.result()
