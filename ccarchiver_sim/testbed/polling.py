"""Wait for a condition, never for a time."""

import asyncio
from collections.abc import Awaitable, Callable

from ccarchiver_sim.pace import Deadline

LOOK_EVERY_S = 0.05
"""Between two looks at a condition: below what a person or a test notices, above what costs."""


class WaitError(AssertionError):
    """What was waited for did not come; the text says what it was."""


async def wait_for(condition: Callable[[], bool], limit: float, what: str | Callable[[], str]) -> None:
    """Wait until a condition holds.

    Parameters
    ----------
    condition
        Asked again and again; must be quick.
    limit
        Seconds on a free reference machine after which it is given up. Generous: it costs only when something is
        broken.
    what
        What is waited for, for the message; a function, if it should say how far it came.

    Raises
    ------
    WaitError
        If it does not hold in time.
    """

    async def ask() -> bool:
        return condition()

    await wait_for_async(ask, limit, what)


async def wait_for_async(condition: Callable[[], Awaitable[bool]], limit: float, what: str | Callable[[], str]) -> None:
    """Do the same with a condition that must itself be awaited."""
    deadline = Deadline(limit)
    while not await condition():
        if deadline.has_passed():
            text = what if isinstance(what, str) else what()
            raise WaitError(f"waited {limit:g} s in vain for {text}")
        await asyncio.sleep(LOOK_EVERY_S)
