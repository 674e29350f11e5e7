"""A steady flow of exposures while faults come and go."""

import asyncio
from types import TracebackType
from typing import Self

from ccarchiver_core.base.tasks import cancel_and_wait
from ccarchiver_sim.faults.sal_source import Sky
from ccarchiver_sim.pace import slowness

EXPOSURE_S = 0.2
"""From startIntegration to endReadout; longer than the Controller's answer takes, shorter than the time between two."""


class Traffic:
    """Takes exposures at a rate for the time of a block; those that were begun are finished.

    Parameters
    ----------
    sky
        Puts the events.
    rate
        Exposures a second at first, on a free machine. A busy one takes fewer, as its simulated peers do less.
    """

    def __init__(self, sky: Sky, rate: float) -> None:
        self._sky = sky
        self.rate = rate
        """May be changed at any time."""
        self._exposures: set[asyncio.Task[None]] = set()
        self._feeder: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._feeder = asyncio.create_task(self._feed())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._feeder is not None:
            await cancel_and_wait(self._feeder)
        await asyncio.gather(*self._exposures)

    async def _feed(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            task = asyncio.create_task(self._expose())
            self._exposures.add(task)
            task.add_done_callback(self._exposures.discard)
            due = max(due + slowness() / self.rate, loop.time())
            await asyncio.sleep(due - loop.time())

    async def _expose(self) -> None:
        image = self._sky.new_image()
        self._sky.start(image)
        await asyncio.sleep(EXPOSURE_S)
        self._sky.end(image)
        self._sky.header(image)
