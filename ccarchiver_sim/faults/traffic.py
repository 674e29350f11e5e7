"""A steady flow of exposures while a scenario injects faults."""

import asyncio
from types import TracebackType
from typing import Self

from ccarchiver_core.base.tasks import cancel_and_wait
from ccarchiver_sim.faults.sal_source import SalSource
from ccarchiver_sim.pace import slowness

EXPOSURE_S = 0.2
"""Time from startIntegration to endReadout: longer than the Controller's answer takes, shorter than
the time between two exposures."""


class Traffic:
    """Context in which exposures are taken at a rate; each one that was begun is finished.

    Parameters
    ----------
    sal_source
        Source of the events.
    rate
        Initial rate in exposures per second on an idle machine. A busy machine takes fewer, because
        its simulated peers are slower.
    """

    def __init__(self, sal_source: SalSource, rate: float) -> None:
        self._sal_source = sal_source
        self.rate = rate
        """Present rate; it may be changed at any time."""
        self._exposures: set[asyncio.Task[None]] = set()
        self._feeder: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._feeder = asyncio.create_task(self._feed())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
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
        image = self._sal_source.new_image()
        await self._sal_source.start(image)
        await asyncio.sleep(EXPOSURE_S)
        await self._sal_source.end(image)
        await self._sal_source.header(image)
