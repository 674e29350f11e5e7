"""Exposures of the simulated camera: their SAL events, and a line on stdout for each."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ccarchiver_sim.peers.common.async_run import pause
from ccarchiver_sim.peers.common.runloop import print_event
from ccarchiver_sim.peers.common.sal import tai_now

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Sequence

    from ccarchiver_sim.peers.camera.exposure import Exposure
    from ccarchiver_sim.peers.common.daq import DaqCatalogue
    from ccarchiver_sim.peers.common.sal import SalComponent


class Shutter:
    """Shutter and readout of the camera.

    Parameters
    ----------
    component : `SalComponent`
        The camera on SAL.
    stop : `asyncio.Event`
        Event that ends the exposures.
    readout : `float`
        Seconds from the end of an exposure to the end of its readout.
    daq : `DaqCatalogue` or `None`
        Catalogue to which each image is added when it is read out.
    """

    def __init__(
        self,
        component: SalComponent,
        stop: asyncio.Event,
        readout: float,
        daq: DaqCatalogue | None = None,
    ) -> None:
        self._component = component
        self._stop = stop
        self._readout = readout
        self._daq = daq
        self._started: dict[str, float] = {}

    async def start(self, exposure: Exposure) -> None:
        """Begin an exposure."""
        started = tai_now()
        self._started[exposure.image] = started
        await self._component.put("startIntegration", **exposure.start_integration(started))
        _print_put("startIntegration", exposure)

    async def end(self, exposure: Exposure) -> None:
        """End the readout of an exposure, even if the exposure never began."""
        now = tai_now()
        started = self._started.pop(exposure.image, now)
        if self._daq is not None:
            self._daq.add(exposure.image)
        await self._component.put("endReadout", **exposure.end_readout(started, now))
        _print_put("endReadout", exposure)

    async def take(self, exposure: Exposure) -> None:
        """Take one exposure; if the camera is stopped before its end, it has no endReadout."""
        await self.start(exposure)
        if not await pause(self._stop, exposure.seconds + self._readout):
            await self.end(exposure)

    async def take_all(self, exposures: Sequence[Exposure], cadence: float) -> None:
        """Take exposures at intervals of `cadence` seconds, or longer if one takes longer."""
        for exposure in exposures:
            began = time.monotonic()
            await self.take(exposure)
            rest = cadence - (time.monotonic() - began)
            is_last = exposure is exposures[-1]
            if not is_last and rest > 0:
                await pause(self._stop, rest)
            if self._stop.is_set():
                return


def _print_put(topic: str, exposure: Exposure) -> None:
    print_event("put", topic=topic, image=exposure.image, index=exposure.index, time=time.time())
