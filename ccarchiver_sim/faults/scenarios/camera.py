"""Camera and header service in orders nobody would expect."""

import asyncio
import itertools

from typing_extensions import override

from ccarchiver_core.keys import UNFINISHED
from ccarchiver_sim.faults.fault_testbed import Stage
from ccarchiver_sim.faults.sal_source import END, HEADER, START, TOPICS
from ccarchiver_sim.faults.scenario import Scenario

BETWEEN_S = 0.1
"""Between two events of an image: time for the archiver to act on the first."""
DOUBLED = (
    (START, END, HEADER, HEADER),
    (START, START, END, HEADER),
    (START, END, END, HEADER),
    (START, END, HEADER, START, END, HEADER),
)
INCOMPLETE = ((START, END), (START, HEADER), (START,), (END,), (HEADER,))
"""Such an image cannot be delivered; it must not be forgotten either."""
BURST = 15
"""Images all of whose events come at once."""


class OddOrders(Scenario):
    """Every order of the three events, doubled events, missing events, a burst."""

    name = "camera-odd-orders"
    about = "every order of the three events, doubled ones, missing ones, and a burst of images at once"
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
        self.expect(condition=not forgotten, otherwise=f"images that wait for an event are forgotten: {forgotten}")

    async def _expose(self, stage: Stage, sequence: tuple[str, ...]) -> str:
        image = stage.sky.new_image()
        for topic in sequence:
            stage.sky.put(topic, image)
            await asyncio.sleep(BETWEEN_S)
        return image


SCENARIOS = [OddOrders]
