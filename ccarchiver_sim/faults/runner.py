"""Runs scenarios one after the other on one running archiver, and judges each."""

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
"""Of exposures before a fault, so that images are at every stage when it comes. Scaled as the rate is: a busy machine
must not have fewer of them."""
AFTER_S = 0.5
"""Of exposures after the last fault: the archiver must not only finish the old ones."""
SETTLE_LOOK_S = 0.25
"""Between two looks at images that are missing, each of which asks Redis and RabbitMQ."""
READY_LIMIT_S = 60.0
"""For the CSC to be ENABLED again between two scenarios."""

RESTART_S = 8.0
"""For three new workers, where old ones lost images."""
LONGEST_USUAL_S = 30.0
"""Outages above this are for long campaigns."""
BACKLOG = 30
"""Images taken during one outage at most: the simulated Forwarder makes seven a second, and how long it needs for a
backlog says nothing of the archiver."""

Say = Callable[[str], None]


@dataclass(frozen=True)
class CampaignPlan:
    """How much of each scenario."""

    kills: int | None
    """Rounds of each scenario of kills; None for what the scenario has for a short campaign."""
    is_short: bool
    """Only the shortest outage of each."""
    is_long: bool = False
    """Also outages of minutes."""


class Runner:
    """Runs scenarios.

    Parameters
    ----------
    stage
        The archiver, up and with all peers.
    plan
        How much.
    say
        Shows progress.
    """

    def __init__(self, stage: Stage, plan: CampaignPlan, say: Say) -> None:
        self._stage = stage
        self._plan = plan
        self._say = say
        self._runs = 0

    async def run(self, scenario: Scenario) -> Result:
        """Run one scenario and judge it; whatever fails is in the result."""
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
                await polling.wait_for(self._has_accepted, READY_LIMIT_S, "an exposure that the archiver accepts")
                for number, outage in enumerate(self._rounds(scenario), start=1):
                    traffic.rate = min(scenario.rate, BACKLOG / max(outage, 1.0))
                    faults.append(await self._round(scenario, outage))
                    traffic.rate = scenario.rate
                    # Kills come again on purpose before it is whole; out of FAULT only an operator helps, see _settle.
                    if not scenario.is_kill and not scenario.may_fault:
                        await let_it_catch_up(stage)
                    self._progress(scenario, number, outage)
                await asyncio.sleep(scaled(AFTER_S))
            await self._settle()
            await scenario.finish(stage)
        except Exception as error:  # noqa: BLE001 - a scenario that breaks must not end the others
            failures.append(f"{type(error).__name__}: {error}")
        stage.observe()
        if stage.oracle.outstanding(run):
            await self._start_afresh()
        result = judge(stage.oracle, run, scenario.name, faults)
        result.csc_faults = stage.rig.witness.error_codes(since=mark)
        result.failures += [*failures, *scenario.failures]
        if result.csc_faults and not scenario.may_fault:
            result.failures.append(f"the CSC went to FAULT with {result.csc_faults}: an operator was needed")
        result.notes = scenario.notes
        result.seconds = round(time.monotonic() - began, 1)
        return result

    async def make_ready(self) -> None:
        """Have all peers and an archiver that is ENABLED."""
        await self._stage.peer_pool.make_whole()
        await self._stage.rig.witness.go_to(salobj.State.ENABLED, limit=READY_LIMIT_S)

    def _has_accepted(self) -> bool:
        """Return whether the fault finds an image: without one, the scenario would show nothing."""
        self._stage.observe()
        return bool(self._stage.oracle.accepted(self._stage.oracle.run))

    def _rounds(self, scenario: Scenario) -> list[float]:
        if scenario.is_kill:
            return [scenario.outages[0]] * (self._plan.kills or scenario.short_kills)
        if self._plan.is_short:
            return list(scenario.outages[:1])
        return [outage for outage in scenario.outages if outage <= LONGEST_USUAL_S or self._plan.is_long]

    async def _round(self, scenario: Scenario, outage: float) -> Fault:
        began = time.monotonic()
        await scenario.inject(self._stage)
        ended = time.monotonic()
        await asyncio.sleep(outage)
        await scenario.heal(self._stage)
        return Fault(began, ended if scenario.ends_at_once else time.monotonic())

    async def _settle(self) -> None:
        """Wait until every accepted image is delivered, or nothing moves any more."""
        stage = self._stage
        stillness = Stillness()
        while True:
            stage.observe()
            if stage.may_be_refused:
                await stage.note_refused()
            if not stage.oracle.outstanding(stage.oracle.run) or stillness.is_reached(await read_progress(stage)):
                return
            if stage.state == salobj.State.FAULT:
                # As an operator would; what had been accepted must be finished then.
                await stage.peer_pool.make_whole()
                await stage.rig.witness.go_to(salobj.State.ENABLED, limit=READY_LIMIT_S)
            await asyncio.sleep(SETTLE_LOOK_S)

    async def _start_afresh(self) -> None:
        """Replace workers that lost images, so that the next scenario is not blamed for what this one broke."""
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
        away = f", {outage:g} s" if outage else ""
        last = f", {scenario.notes[-1]}" if scenario.notes else ""
        self._say(f"  {scenario.name} {number}{away}: {accepted} accepted, {missing} under way{last}")
