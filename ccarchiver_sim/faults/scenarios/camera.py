"""Scenario in which the camera's and the header service's events have unusual sequences."""

import asyncio
import itertools

from typing_extensions import override

from ccarchiver_core.keys import UNFINISHED
from ccarchiver_sim.faults.fault_testbed import FaultTestbed
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


class EventSequences(Scenario):
    """Every sequence of the three events, duplicate events, missing events, a burst."""

    name = "camera-event-sequences"
    about = "every sequence of the three events, duplicates, missing events, and a burst of images"
    rate = 1.0
    ends_at_once = True

    @override
    async def inject(self, testbed: FaultTestbed) -> None:
        sequences = [*itertools.permutations(TOPICS), *DOUBLED]
        await asyncio.gather(*(self._expose(testbed, sequence) for sequence in sequences))
        self._incomplete = [await self._expose(testbed, sequence) for sequence in INCOMPLETE]
        burst = [testbed.sal_source.new_image() for _ in range(BURST)]
        for topic in TOPICS:
            for image in burst:
                await testbed.sal_source.put(topic, image)

    @override
    async def check(self, testbed: FaultTestbed) -> None:
        async with testbed.redis() as client:
            unfinished = set(await client.zrange(UNFINISHED, 0, -1))
        forgotten = [image for image in self._incomplete if image not in unfinished]
        self.expect(
            condition=not forgotten,
            otherwise=f"the ledger lost images that wait for an event: {forgotten}",
        )

    async def _expose(self, testbed: FaultTestbed, sequence: tuple[str, ...]) -> str:
        image = testbed.sal_source.new_image()
        for topic in sequence:
            await testbed.sal_source.put(topic, image)
            await asyncio.sleep(BETWEEN_S)
        return image


SCENARIOS = [EventSequences]
