"""Scenario in which the camera's and the header service's events have unusual sequences."""

import asyncio
import itertools

from typing_extensions import override

from ccarchiver_core.keys import UNFINISHED
from ccarchiver_sim.faults.fault_testbed import Stage
from ccarchiver_sim.faults.sal_source import END, HEADER, START, TOPICS
from ccarchiver_sim.faults.scenario import Scenario

BETWEEN_S = 0.1
"""Time between two events of an image, in which the archiver can process the first."""
DOUBLED = (
    (START, END, HEADER, HEADER),
    (START, START, END, HEADER),
    (START, END, END, HEADER),
    (START, END, HEADER, START, END, HEADER),
)
INCOMPLETE = ((START, END), (START, HEADER), (START,), (END,), (HEADER,))
"""An image with only these events cannot be delivered, but it must stay in the ledger."""
BURST = 15
"""Number of images whose events are all sent at once."""


class OddOrders(Scenario):
    """Every sequence of the three events, duplicate events, missing events, a burst."""

    name = "camera-odd-orders"
    about = "every sequence of the three events, duplicates, missing events, and a burst of images"
    rate = 1.0
    ends_at_once = True

    @override
    async def inject(self, stage: Stage) -> None:
        sequences = [*itertools.permutations(TOPICS), *DOUBLED]
        await asyncio.gather(*(self._expose(stage, sequence) for sequence in sequences))
        self._incomplete = [await self._expose(stage, sequence) for sequence in INCOMPLETE]
        burst = [stage.sky.new_image() for _ in range(BURST)]
        for topic in TOPICS:
            for image in burst:
                stage.sky.put(topic, image)

    @override
    async def finish(self, stage: Stage) -> None:
        async with stage.redis() as client:
            unfinished = set(await client.zrange(UNFINISHED, 0, -1))
        forgotten = [image for image in self._incomplete if image not in unfinished]
        self.expect(
            condition=not forgotten,
            otherwise=f"the ledger lost images that wait for an event: {forgotten}",
        )

    async def _expose(self, stage: Stage, sequence: tuple[str, ...]) -> str:
        image = stage.sky.new_image()
        for topic in sequence:
            stage.sky.put(topic, image)
            await asyncio.sleep(BETWEEN_S)
        return image


SCENARIOS = [OddOrders]
