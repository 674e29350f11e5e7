"""Polling of a condition until it holds, with a limit, instead of a fixed wait."""

import asyncio
from collections.abc import Awaitable, Callable

from ccarchiver_sim.pace import Deadline

POLL_INTERVAL_S = 0.05
"""Time between two checks of a condition: shorter than a person or a test notices, long enough to
cost little."""


class WaitError(AssertionError):
    """A condition did not hold in time; the text names it."""


async def wait_for(
    condition: Callable[[], bool], limit: float, what: str | Callable[[], str]
) -> None:
    """Wait until a condition holds.

    Parameters
    ----------
    condition
        Called repeatedly; must be fast.
    limit
        Seconds on an idle reference machine after which the wait ends with an error. Be generous: a
        long limit costs time only when something is broken.
    what
        What is waited for, for the message; a function if the message should contain the progress.

    Raises
    ------
    WaitError
        If the condition does not hold in time.
    """

    async def check() -> bool:
        return condition()

    await wait_for_async(check, limit, what)


async def wait_for_async(
    condition: Callable[[], Awaitable[bool]], limit: float, what: str | Callable[[], str]
) -> None:
    """Wait until an asynchronous condition holds; otherwise as `wait_for`."""
    deadline = Deadline(limit)
    while not await condition():
        if deadline.has_passed():
            text = what if isinstance(what, str) else what()
            raise WaitError(f"waited {limit:g} s in vain for {text}")
        await asyncio.sleep(POLL_INTERVAL_S)
