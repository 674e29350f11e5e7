"""One beat for all periodic tasks of a worker.

Most of the CPU time of a periodic check is the wake-up of the process, not the check. Tasks that
wait for the same beat share one wake-up.
"""

from __future__ import annotations

import asyncio

MIN_SHARE = 0.05
"""Share of the interval below which the next beat is left out.

A task that has been late, or woken a moment too early, must not run twice at nearly the same time.
"""


async def next_beat(interval: float) -> None:
    """Sleep until the event loop's clock reaches the next multiple of an interval, in seconds.

    All tasks with this interval continue at the same time, also those of other processes on this
    machine. Those whose interval is a multiple of it continue together with them.
    """
    wait_s = interval - asyncio.get_running_loop().time() % interval
    await asyncio.sleep(wait_s if wait_s >= MIN_SHARE * interval else wait_s + interval)
