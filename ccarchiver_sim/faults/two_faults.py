"""A scenario that injects two faults so that they overlap."""

import asyncio

from typing_extensions import override

from ccarchiver_sim.faults.fault_testbed import FaultTestbed
from ccarchiver_sim.faults.pairs import Choice, Pair
from ccarchiver_sim.faults.registry import MAKERS
from ccarchiver_sim.faults.result import Fault
from ccarchiver_sim.faults.scenario import BACKLOG, Scenario
from ccarchiver_sim.faults.services import Service


class TwoFaults(Scenario):
    """Two faults at once; the oracle is the only check.

    The other checks of the two scenarios hold only for one fault alone.

    Parameters
    ----------
    pair
        The two faults.
    """

    def __init__(self, pair: Pair) -> None:
        super().__init__()
        self._pair = pair
        self._both = tuple(_make(choice) for choice in (pair.first, pair.second))
        self.name = pair.name
        self.about = " and ".join(scenario.about for scenario in self._both)
        self.may_fault = any(scenario.may_fault for scenario in self._both)
        self.needs_redis_group = any(scenario.needs_redis_group for scenario in self._both)
        longest = max(pair.first.outage, pair.second.outage, 1.0)
        self.rate = min(BACKLOG / longest, *(scenario.rate for scenario in self._both))

    @override
    async def prepare(self, testbed: FaultTestbed) -> None:
        for scenario in self._both:
            await scenario.prepare(testbed)

    @override
    async def aim(self, testbed: FaultTestbed) -> None:
        for scenario in self._both:
            await scenario.aim(testbed)

    @override
    async def inject(self, testbed: FaultTestbed) -> None:
        raise NotImplementedError("two faults have two begins; see run_round")

    @override
    async def run_round(
        self, testbed: FaultTestbed, outage: float, injected: asyncio.Event | None = None
    ) -> list[Fault]:
        first, second = self._both
        has_begun = asyncio.Event()
        results = await asyncio.gather(
            first.run_round(testbed, self._pair.first.outage, has_begun),
            self._run_second(testbed, has_begun),
            return_exceptions=True,  # the other one is ended too
        )
        for scenario in (first, second):
            self.failures += scenario.failures
        self.notes.append(", ".join(note for one in self._both for note in one.notes))
        faults: list[Fault] = []
        for result in results:
            if isinstance(result, BaseException):
                raise result
            faults += result
        return faults

    async def _run_second(self, testbed: FaultTestbed, has_begun: asyncio.Event) -> list[Fault]:
        first, second = self._both
        if self._pair.is_ordered:
            await has_begun.wait()
        await asyncio.sleep(self._pair.delay)
        if Service.REDIS not in first.removes:
            # The first fault can have changed which Forwarder is paired.
            await second.aim(testbed)
        return await second.run_round(testbed, self._pair.second.outage)

    @override
    async def restore(self, testbed: FaultTestbed) -> None:
        for scenario in self._both:
            await scenario.restore(testbed)


def _make(choice: Choice) -> Scenario:
    scenario = MAKERS[choice.scenario]()
    scenario.variant = choice.variant
    scenario.is_alone = False
    return scenario
