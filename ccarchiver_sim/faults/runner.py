"""Runner of the scenarios, one after the other on one running archiver."""

import asyncio
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass

from lsst.ts import salobj

from ccarchiver_sim.faults.catch_up import wait_until_caught_up
from ccarchiver_sim.faults.fault_testbed import FaultTestbed
from ccarchiver_sim.faults.progress import Stillness, read_progress
from ccarchiver_sim.faults.proxy import Mode
from ccarchiver_sim.faults.result import Fault, Result, judge
from ccarchiver_sim.faults.scenario import BACKLOG, LONGEST_USUAL_S, Scenario
from ccarchiver_sim.faults.traffic import Traffic
from ccarchiver_sim.pace import scaled
from ccarchiver_sim.testbed import polling
from ccarchiver_sim.testbed.supervisor import WORKERS

BEFORE_S = 0.5
"""Seconds of exposures before a fault, so that images are in every stage when it begins. Scaled
like the rate: a busy machine must not have fewer exposures."""
AFTER_S = 0.5
"""Seconds of exposures after the last fault: the archiver must also process new images."""
CHECK_INTERVAL_S = 0.25
"""Time between two checks of missing images, each of which queries Redis and RabbitMQ."""
READY_LIMIT_S = 60.0
"""Limit for the CSC to be ENABLED again between two scenarios."""

RESTART_S = 8.0
"""Time for three new workers to start, where the previous ones lost images."""

Print = Callable[[str], None]


@dataclass(frozen=True)
class CampaignPlan:
    """Extent of each scenario."""

    kills: int | None
    """Rounds of each kill scenario; None for the scenario's number in a short campaign."""
    is_short: bool
    """Whether to run only the shortest outage of each scenario."""
    is_long: bool = False
    """Whether to include outages of minutes."""


class Runner:
    """Runner of a campaign's scenarios.

    Parameters
    ----------
    testbed
        The testbed, with a running archiver and all peers.
    plan
        Extent of each scenario.
    print_line
        Function that prints progress.
    """

    def __init__(self, testbed: FaultTestbed, plan: CampaignPlan, print_line: Print) -> None:
        self._testbed = testbed
        self._plan = plan
        self._print_line = print_line
        self._runs = 0

    async def run(self, scenario: Scenario) -> Result:
        """Run one scenario and return its result, which also contains all failures."""
        began = time.monotonic()
        testbed = self._testbed
        self._runs += 1
        run = testbed.oracle.run = self._runs
        position = testbed.rig.sal_recorder.position
        faults: list[Fault] = []
        failures: list[str] = []
        try:
            await self.make_ready()
            await scenario.prepare(testbed)
            async with Traffic(testbed.sal_source, scenario.rate) as traffic:
                await asyncio.sleep(scaled(BEFORE_S))
                await polling.wait_for(
                    self._has_accepted, READY_LIMIT_S, "an exposure that the archiver accepts"
                )
                for number, outage in enumerate(self._rounds(scenario), start=1):
                    traffic.rate = min(scenario.rate, BACKLOG / max(outage, 1.0))
                    await scenario.aim(testbed)
                    faults += await scenario.run_round(testbed, outage)
                    traffic.rate = scenario.rate
                    # Kills deliberately follow before the archiver has recovered. FAULT needs an
                    # operator, see _wait_for_deliveries.
                    if not scenario.is_kill and not scenario.may_fault:
                        await wait_until_caught_up(testbed)
                    self._progress(scenario, number, outage)
                await asyncio.sleep(scaled(AFTER_S))
            await self._wait_for_deliveries()
            await scenario.check(testbed)
        except Exception as error:  # noqa: BLE001 - a failed scenario must not end the others
            failures.append(f"{type(error).__name__}: {error}")
        try:
            await scenario.restore(testbed)
        except Exception as error:  # noqa: BLE001 - as above
            failures.append(f"{type(error).__name__}: {error}")
        testbed.observe()
        if testbed.oracle.outstanding(run):
            await self._start_afresh()
        result = judge(testbed.oracle, run, scenario.name, faults)
        result.csc_faults = testbed.rig.sal_recorder.error_codes(since=position)
        result.failures += [*failures, *scenario.failures]
        if result.csc_faults and not scenario.may_fault:
            result.failures.append(
                f"the CSC went to FAULT with {result.csc_faults}: an operator was needed"
            )
        result.notes = scenario.notes
        result.seconds = round(time.monotonic() - began, 1)
        return result

    async def make_ready(self) -> None:
        """Start the missing peers and bring the CSC to ENABLED."""
        await self._testbed.peer_pool.make_whole()
        await self._testbed.rig.sal_recorder.go_to(salobj.State.ENABLED, limit=READY_LIMIT_S)

    def _has_accepted(self) -> bool:
        """Return whether an image is accepted: without one, the scenario would test nothing."""
        self._testbed.observe()
        return bool(self._testbed.oracle.accepted(self._testbed.oracle.run))

    def _rounds(self, scenario: Scenario) -> list[float]:
        if scenario.is_kill:
            return [scenario.outages[0]] * (self._plan.kills or scenario.short_kills)
        if self._plan.is_short:
            return list(scenario.outages[:1])
        return [
            outage for outage in scenario.outages if outage <= LONGEST_USUAL_S or self._plan.is_long
        ]

    async def _wait_for_deliveries(self) -> None:
        """Wait until every accepted image is delivered, or until nothing advances."""
        testbed = self._testbed
        stillness = Stillness()
        while True:
            testbed.observe()
            if testbed.may_reject_images:
                await testbed.report_rejected()
            if not testbed.oracle.outstanding(testbed.oracle.run) or stillness.is_reached(
                await read_progress(testbed)
            ):
                return
            if testbed.state == salobj.State.FAULT:
                # As an operator does; accepted images must then be completed.
                await testbed.peer_pool.make_whole()
                await testbed.rig.sal_recorder.go_to(salobj.State.ENABLED, limit=READY_LIMIT_S)
            await asyncio.sleep(CHECK_INTERVAL_S)

    async def _start_afresh(self) -> None:
        """Replace workers that lost images, so that the next scenario starts clean."""
        testbed = self._testbed
        testbed.redis_proxy.set_mode(Mode.PASS)
        testbed.rabbit_proxy.set_mode(Mode.PASS)
        for worker in WORKERS:
            testbed.signal_worker(worker, signal.SIGCONT)
            testbed.signal_worker(worker, signal.SIGKILL)
        await asyncio.sleep(scaled(RESTART_S))

    def _progress(self, scenario: Scenario, number: int, outage: float) -> None:
        testbed = self._testbed
        testbed.observe()
        accepted = len(testbed.oracle.accepted(testbed.oracle.run))
        missing = len(testbed.oracle.outstanding(testbed.oracle.run))
        duration = f", {outage:g} s" if outage else ""
        last = f", {scenario.notes[-1]}" if scenario.notes else ""
        self._print_line(
            f"  {scenario.name} {number}{duration}: {accepted} accepted, "
            f"{missing} in progress{last}"
        )
