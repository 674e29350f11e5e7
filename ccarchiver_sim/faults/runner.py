"""Runner of the scenarios, one after the other on one running archiver."""

import asyncio
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass

from lsst.ts import salobj

from ccarchiver_sim.faults.catch_up import let_it_catch_up
from ccarchiver_sim.faults.fault_testbed import Stage
from ccarchiver_sim.faults.progress import Stillness, read_progress
from ccarchiver_sim.faults.proxy import Mode
from ccarchiver_sim.faults.result import Fault, Result, judge
from ccarchiver_sim.faults.scenario import Scenario
from ccarchiver_sim.faults.traffic import Traffic
from ccarchiver_sim.pace import scaled
from ccarchiver_sim.testbed import polling
from ccarchiver_sim.testbed.supervisor import WORKERS

BEFORE_S = 0.5
"""Seconds of exposures before a fault, so that images are in every stage when it begins. Scaled
like the rate: a busy machine must not have fewer exposures."""
AFTER_S = 0.5
"""Seconds of exposures after the last fault: the archiver must also process new images."""
SETTLE_LOOK_S = 0.25
"""Time between two checks of missing images, each of which queries Redis and RabbitMQ."""
READY_LIMIT_S = 60.0
"""Limit for the CSC to be ENABLED again between two scenarios."""

RESTART_S = 8.0
"""Time for three new workers to start, where the previous ones lost images."""
LONGEST_USUAL_S = 30.0
"""Longer outages are only for long campaigns."""
BACKLOG = 30
"""Most images taken during one outage. The simulated Forwarder processes seven a second, and its
time for a backlog is no property of the archiver."""

Say = Callable[[str], None]


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
    stage
        The testbed, with a running archiver and all peers.
    plan
        Extent of each scenario.
    say
        Function that prints progress.
    """

    def __init__(self, stage: Stage, plan: CampaignPlan, say: Say) -> None:
        self._stage = stage
        self._plan = plan
        self._say = say
        self._runs = 0

    async def run(self, scenario: Scenario) -> Result:
        """Run one scenario and return its result, which also contains all failures."""
        began = time.monotonic()
        stage = self._stage
        self._runs += 1
        run = stage.oracle.run = self._runs
        mark = stage.rig.witness.mark
        faults: list[Fault] = []
        failures: list[str] = []
        try:
            await self.make_ready()
            await scenario.prepare(stage)
            async with Traffic(stage.sky, scenario.rate) as traffic:
                await asyncio.sleep(scaled(BEFORE_S))
                await polling.wait_for(
                    self._has_accepted, READY_LIMIT_S, "an exposure that the archiver accepts"
                )
                for number, outage in enumerate(self._rounds(scenario), start=1):
                    traffic.rate = min(scenario.rate, BACKLOG / max(outage, 1.0))
                    faults.append(await self._round(scenario, outage))
                    traffic.rate = scenario.rate
                    # Kills deliberately follow before the archiver has recovered. FAULT needs an
                    # operator, see _settle.
                    if not scenario.is_kill and not scenario.may_fault:
                        await let_it_catch_up(stage)
                    self._progress(scenario, number, outage)
                await asyncio.sleep(scaled(AFTER_S))
            await self._settle()
            await scenario.finish(stage)
        except Exception as error:  # noqa: BLE001 - a failed scenario must not end the others
            failures.append(f"{type(error).__name__}: {error}")
        stage.observe()
        if stage.oracle.outstanding(run):
            await self._start_afresh()
        result = judge(stage.oracle, run, scenario.name, faults)
        result.csc_faults = stage.rig.witness.error_codes(since=mark)
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
        await self._stage.peer_pool.make_whole()
        await self._stage.rig.witness.go_to(salobj.State.ENABLED, limit=READY_LIMIT_S)

    def _has_accepted(self) -> bool:
        """Return whether an image is accepted: without one, the scenario would test nothing."""
        self._stage.observe()
        return bool(self._stage.oracle.accepted(self._stage.oracle.run))

    def _rounds(self, scenario: Scenario) -> list[float]:
        if scenario.is_kill:
            return [scenario.outages[0]] * (self._plan.kills or scenario.short_kills)
        if self._plan.is_short:
            return list(scenario.outages[:1])
        return [
            outage for outage in scenario.outages if outage <= LONGEST_USUAL_S or self._plan.is_long
        ]

    async def _round(self, scenario: Scenario, outage: float) -> Fault:
        began = time.monotonic()
        await scenario.inject(self._stage)
        ended = time.monotonic()
        await asyncio.sleep(outage)
        await scenario.heal(self._stage)
        return Fault(began, ended if scenario.ends_at_once else time.monotonic())

    async def _settle(self) -> None:
        """Wait until every accepted image is delivered, or until nothing advances."""
        stage = self._stage
        stillness = Stillness()
        while True:
            stage.observe()
            if stage.may_be_refused:
                await stage.note_refused()
            if not stage.oracle.outstanding(stage.oracle.run) or stillness.is_reached(
                await read_progress(stage)
            ):
                return
            if stage.state == salobj.State.FAULT:
                # As an operator does; accepted images must then be completed.
                await stage.peer_pool.make_whole()
                await stage.rig.witness.go_to(salobj.State.ENABLED, limit=READY_LIMIT_S)
            await asyncio.sleep(SETTLE_LOOK_S)

    async def _start_afresh(self) -> None:
        """Replace workers that lost images, so that the next scenario starts clean."""
        stage = self._stage
        stage.redis_proxy.set_mode(Mode.PASS)
        stage.rabbit_proxy.set_mode(Mode.PASS)
        for worker in WORKERS:
            stage.signal_worker(worker, signal.SIGCONT)
            stage.signal_worker(worker, signal.SIGKILL)
        await asyncio.sleep(scaled(RESTART_S))

    def _progress(self, scenario: Scenario, number: int, outage: float) -> None:
        stage = self._stage
        stage.observe()
        accepted = len(stage.oracle.accepted(stage.oracle.run))
        missing = len(stage.oracle.outstanding(stage.oracle.run))
        duration = f", {outage:g} s" if outage else ""
        last = f", {scenario.notes[-1]}" if scenario.notes else ""
        self._say(
            f"  {scenario.name} {number}{duration}: {accepted} accepted, "
            f"{missing} in progress{last}"
        )
