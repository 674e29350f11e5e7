"""One night on a running archiver."""

import asyncio
import time
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field

from lsst.ts import salobj

from ccarchiver_core.base.tasks import cancel_and_wait
from ccarchiver_sim.butler.check import ButlerCheck
from ccarchiver_sim.faults.butler_check import check_delivered
from ccarchiver_sim.faults.fault_testbed import FaultTestbed
from ccarchiver_sim.faults.pairs import Choice, reason_against
from ccarchiver_sim.faults.progress import Stillness, read_progress
from ccarchiver_sim.faults.registry import MAKERS
from ccarchiver_sim.faults.result import Result, judge
from ccarchiver_sim.faults.scenario import Scenario
from ccarchiver_sim.faults.services import ALL
from ccarchiver_sim.night.recovery import FaultRecord, attribute_delays
from ccarchiver_sim.night.schedule import PlannedExposure, PlannedFault, Schedule
from ccarchiver_sim.testbed import polling

LOOK_INTERVAL_S = 0.5
"""Time between two looks at the new events."""
SETTLE_LIMIT_S = 600.0
"""Limit for the images to be delivered after a fault, before the testbed is restored."""

Print = Callable[[float, str], None]
"""Function that prints a line of the timeline: seconds from the begin, text."""


@dataclass
class Night:
    """What a night has shown."""

    result: Result
    taken: int
    butler: ButlerCheck
    """What the Butler has of the delivered images."""
    faults: list[FaultRecord] = field(default_factory=list)
    slow: int = 0
    """Images that were late although no fault can have delayed them."""

    @property
    def slowest(self) -> FaultRecord | None:
        """The fault with the slowest recovery; None if none has delayed an image."""
        delaying = [fault for fault in self.faults if fault.delayed]
        return max(delaying, key=lambda fault: fault.recovery_s, default=None)


class NightRun:
    """A night; the archiver must be up and ENABLED, and no operator touches it from then on.

    Parameters
    ----------
    testbed
        The testbed.
    schedule
        Exposures and faults.
    print_line
        Function that prints a line of the timeline.
    """

    def __init__(self, testbed: FaultTestbed, schedule: Schedule, print_line: Print) -> None:
        self._testbed = testbed
        self._schedule = schedule
        self._print_line = print_line
        self._began = time.monotonic()
        self._faults: list[FaultRecord] = []
        self._failures: list[str] = []
        self._active: list[Scenario] = []
        self._changed = asyncio.Condition()
        self._pause = asyncio.Lock()
        """Held while no exposure may begin."""
        self._open = 0
        """Number of exposures that have begun and whose last event was not put."""
        self._is_dark = False
        """Whether the last exposure has ended."""

    async def run(self) -> Night:
        """Run the night until all images are delivered, or until the CSC is in FAULT."""
        testbed = self._testbed
        run = testbed.oracle.run = testbed.oracle.run + 1
        position = testbed.rig.sal_recorder.position
        self._began = time.monotonic()
        watcher = asyncio.create_task(self._watch())
        work = asyncio.create_task(self._work())
        try:
            await asyncio.wait({watcher, work}, return_when=asyncio.FIRST_COMPLETED)
            if watcher.done():
                self._failures.append("the night ended early, because an operator was needed")
        finally:
            await cancel_and_wait(work)
            await cancel_and_wait(watcher)
        if not self._failures:
            await self._wait_for_deliveries()
        testbed.observe()
        result = judge(testbed.oracle, run, "night", [])
        result.faults = len(self._faults)
        result.csc_faults = testbed.rig.sal_recorder.error_codes(since=position)
        if testbed.state != salobj.State.ENABLED:
            self._failures.append(f"the CSC is not ENABLED at the end; errors: {result.csc_faults}")
        butler = check_delivered(testbed.settings, testbed.oracle)
        if not butler.is_complete:
            self._failures.append("the Butler lacks delivered files, or has some of them twice")
        result.failures += self._failures
        result.seconds = round(self._now(), 1)
        slow = attribute_delays(testbed.oracle, run, self._faults)
        result.recovered = sum(fault.delayed for fault in self._faults)
        night = Night(result, len(testbed.oracle.of(run)), butler, self._faults, slow)
        if night.slowest is not None:
            result.slowest_recovery_s = round(night.slowest.recovery_s, 2)
        return night

    def _now(self) -> float:
        return time.monotonic() - self._began

    def _say(self, text: str) -> None:
        self._print_line(self._now(), text)

    async def _watch(self) -> None:
        """Report each state of the CSC; return when it is FAULT."""
        state = self._testbed.state
        while state != salobj.State.FAULT:
            await asyncio.sleep(LOOK_INTERVAL_S)
            self._testbed.observe()
            if self._testbed.state != state:
                state = self._testbed.state
                self._say(f"the CSC is {'silent' if state is None else state.name}")
        code, text = self._testbed.rig.sal_recorder.last_error()
        self._say(f"error {code}: {text}")

    async def _work(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._expose_all())
            for fault in self._schedule.faults:
                tasks.create_task(self._fault(fault))

    # ---- exposures

    async def _expose_all(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            for number, group in enumerate(self._schedule.groups, start=1):
                for index, exposure in enumerate(group):
                    await self._wait_until(exposure.at)
                    if index == 0:
                        self._say(f"group {number}: {len(group)} exposures")
                    async with self._pause:
                        self._open += 1
                        tasks.create_task(self._expose(exposure))
        self._is_dark = True

    async def _expose(self, exposure: PlannedExposure) -> None:
        source = self._testbed.sal_source
        image = source.new_image()
        await source.start(image)
        await asyncio.sleep(exposure.duration)
        await source.end(image)
        await source.header(image)
        self._open -= 1

    async def _wait_until(self, at: float) -> None:
        await asyncio.sleep(max(0.0, at - self._now()))

    # ---- faults

    async def _fault(self, planned: PlannedFault) -> None:
        await self._wait_until(planned.at)
        scenario = MAKERS[planned.choice.scenario]()
        scenario.variant = planned.choice.variant
        scenario.is_alone = False
        async with self._changed:
            await self._changed.wait_for(lambda: self._can_begin(scenario))
            self._active.append(scenario)
        try:
            await self._inject(scenario, planned.choice)
        except Exception as error:  # noqa: BLE001 - a failed fault must not end the night
            self._failures.append(f"{scenario.name}: {type(error).__name__}: {error}")
        finally:
            async with self._changed:
                self._active.remove(scenario)
                self._changed.notify_all()

    def _can_begin(self, scenario: Scenario) -> bool:
        """Return whether the fault can exist together with those that last."""
        parts = scenario.parts_of(scenario.variant)
        return not any(
            parts & other.parts_of(other.variant) or reason_against(scenario, other)
            for other in self._active
        )

    async def _inject(self, scenario: Scenario, choice: Choice) -> None:
        testbed = self._testbed
        async with testbed.services.using(ALL):
            await scenario.prepare(testbed)
            await scenario.aim(testbed)
        name = choice.name
        self._say(f"{name}: begins, {choice.outage:g} s")
        began = time.monotonic()
        try:
            [fault] = await scenario.run_round(testbed, choice.outage)
            record = FaultRecord(name, fault.began, fault.ended)
            self._faults.append(record)
            self._say(f"{name}: over")
            is_delivered = await self._settle(began, time.monotonic())
            record.settled = time.monotonic()
            if scenario.lasts_until_restored:
                record.ended = record.settled
            state = "are delivered" if is_delivered else "are NOT all delivered yet"
            self._say(f"{name}: its images {state}")
        finally:
            self._failures += scenario.failures
            await self._restore(scenario)

    async def _restore(self, scenario: Scenario) -> None:
        testbed = self._testbed
        async with AsyncExitStack() as stack:
            if scenario.lasts_until_restored:
                # The answers that a slow peer still has to send would be lost with it.
                await stack.enter_async_context(self._pause)
                with suppress(polling.WaitError):
                    await polling.wait_for(self._is_idle, SETTLE_LIMIT_S, "no image in progress")
            await stack.enter_async_context(testbed.services.using(ALL))
            await scenario.restore(testbed)
            # As their own supervision does.
            await testbed.peer_pool.make_whole()

    def _is_idle(self) -> bool:
        oracle = self._testbed.oracle
        return self._open == 0 and not oracle.outstanding(oracle.run)

    async def _settle(self, began: float, ended: float) -> bool:
        """Wait until all images from before the end of the fault are delivered.

        Return whether they are; the oracle decides at the end of the night.

        One of them must be from after its begin: without it, the fault would have no effect.
        """
        oracle = self._testbed.oracle

        def is_settled() -> bool:
            if any(trace.first_put <= ended for trace in oracle.outstanding(oracle.run)):
                return False
            return self._is_dark or any(
                trace.first_put > began and oracle.delivered_at(trace) is not None
                for trace in oracle.accepted(oracle.run)
            )

        with suppress(polling.WaitError):
            await polling.wait_for(is_settled, SETTLE_LIMIT_S, "the images")
            return True
        return False

    async def _wait_for_deliveries(self) -> None:
        testbed = self._testbed
        stillness = Stillness()
        testbed.observe()
        while testbed.oracle.outstanding(testbed.oracle.run) and not stillness.is_reached(
            await read_progress(testbed)
        ):
            await asyncio.sleep(LOOK_INTERVAL_S)
            testbed.observe()
