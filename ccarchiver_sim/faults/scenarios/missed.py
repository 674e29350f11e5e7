"""Scenarios in which the camera takes exposures that the archiver misses, and must archive later.

Each exposure of the camera counts in them, also those whose events the archiver could not receive.
"""

import asyncio
import signal
from abc import abstractmethod
from collections.abc import Sequence

from lsst.ts import salobj
from typing_extensions import override

from ccarchiver_core.keys import COUNTERS, REFUSED_EXPOSURES
from ccarchiver_core.redis.client import make_client
from ccarchiver_core.status.alarms import AlarmName, Severity, alarms_of
from ccarchiver_core.status.overview import collect
from ccarchiver_sim.faults.failpoints import SCAN_POINTS
from ccarchiver_sim.faults.fault_testbed import FaultTestbed
from ccarchiver_sim.faults.scenario import Scenario
from ccarchiver_sim.faults.scenarios.forwarders import paired
from ccarchiver_sim.faults.services import ALL
from ccarchiver_sim.testbed import polling
from ccarchiver_sim.testbed.supervisor import WORKERS

BETWEEN_S = 0.01
"""Time between two exposures of a series; the archiver has no part in them."""
RATE = 0.5
"""Other exposures per second. They leave time for missed ones, which wait for live ones."""
IN_STANDBY = 50
"""Exposures while the CSC is in STANDBY: half an hour of a night, with an operator who has
forgotten to enable it."""
AROUND_RESTART = 10
"""Exposures before and after the restart of the camera."""
IN_THE_MIDDLE = 12
"""Exposures of a catch-up in the middle of which something fails."""
DELIVERED_BEFORE = 3
"""Exposures that are delivered before the failure, so that it is in the middle."""
LIMIT_S = 120.0
"""Limit for the next exposure of a catch-up, and for its next failpoint: far above the longest
pause of the archiver, which waits for the answer to a lost scan."""
AGAIN_AFTER_S = 6.0
"""Time until the camera uses the names again. The archiver takes an exposure that began up to 5 s
after the scan for the listed one, because the camera's clock may differ."""
AFTER_THE_RESTART_S = 1.0
"""RESUME_WINDOW of a host that was down for long."""


class MissedExposures(Scenario):
    """The camera takes a series of exposures that the archiver misses."""

    rate = RATE
    ends_at_once = True
    needs_catch_up = True

    def __init__(self) -> None:
        super().__init__()
        self._taken: list[str] = []

    @override
    async def inject(self, testbed: FaultTestbed) -> None:
        await self.miss(testbed)

    @abstractmethod
    async def miss(self, testbed: FaultTestbed) -> None:
        """Let the camera take the exposures."""

    async def take(self, testbed: FaultTestbed, count: int) -> list[str]:
        """Take exposures at once, and return their names."""
        names = []
        for _ in range(count):
            image = testbed.sal_source.new_image()
            for put in (
                testbed.sal_source.start,
                testbed.sal_source.end,
                testbed.sal_source.header,
            ):
                await put(image)
            names.append(image)
            await asyncio.sleep(BETWEEN_S)
        self._taken += names
        self.notes.append(f"{count} exposures missed")
        return names

    async def take_in_standby(self, testbed: FaultTestbed, count: int) -> list[str]:
        """Take exposures while the CSC is in STANDBY."""
        await testbed.rig.sal_recorder.go_to(salobj.State.STANDBY)
        return await self.take(testbed, count)

    @override
    async def check(self, testbed: FaultTestbed) -> None:
        async with testbed.redis() as client:
            counters = await client.hgetall(COUNTERS)
        self.expect(
            condition=int(counters.get("images_caught_up", 0)) > 0,
            otherwise="no exposure was archived by the catch-up: the scenario has tested nothing",
        )


async def wait_delivered(testbed: FaultTestbed, images: Sequence[str], count: int) -> None:
    """Wait until so many of some images are delivered."""

    def delivered() -> bool:
        testbed.observe()
        traces = testbed.oracle.traces
        found = [testbed.oracle.delivered_at(traces[image]) is not None for image in images]
        return sum(found) >= count

    await polling.wait_for(delivered, LIMIT_S, f"{count} of {len(images)} missed exposures")


class Standby(MissedExposures):
    """The CSC is in STANDBY."""

    name = "missed-in-standby"
    about = f"the camera takes {IN_STANDBY} exposures while the CSC is in STANDBY"

    @override
    async def miss(self, testbed: FaultTestbed) -> None:
        await self.take_in_standby(testbed, IN_STANDBY)

    @override
    async def heal(self, testbed: FaultTestbed) -> None:
        await testbed.rig.sal_recorder.go_to(salobj.State.ENABLED)


class HostDown(MissedExposures):
    """All workers are dead for longer than RESUME_WINDOW."""

    name = "missed-host-down"
    about = "the camera takes 120 exposures (--host-down) while all three workers are dead"

    @override
    async def miss(self, testbed: FaultTestbed) -> None:
        before = testbed.settings.resume_window
        await testbed.stop_host()
        testbed.rig.write_site(RESUME_WINDOW=AFTER_THE_RESTART_S)
        try:
            await self.take(testbed, testbed.host_down_exposures)
            await asyncio.sleep(AFTER_THE_RESTART_S)
            state = await testbed.start_host()
        finally:
            testbed.rig.write_site(RESUME_WINDOW=before)
        # With the short window, health would end the next session after a late heartbeat.
        await testbed.rig.restart_worker("health")
        self.expect(
            condition=state == salobj.State.STANDBY,
            otherwise=f"the CSC was {state.name} after a start behind RESUME_WINDOW",
        )

    @override
    async def heal(self, testbed: FaultTestbed) -> None:
        await testbed.rig.sal_recorder.go_to(salobj.State.ENABLED)


class CameraRestarted(MissedExposures):
    """The workers are dead while the camera is restarted: DDS loses its former events."""

    name = "missed-camera-restarted"
    about = "the camera is restarted while all three workers are dead; its numbers go on"

    @override
    async def miss(self, testbed: FaultTestbed) -> None:
        await testbed.stop_host()
        await self.take(testbed, AROUND_RESTART)
        await testbed.sal_source.restart_camera()
        await self.take(testbed, AROUND_RESTART)
        await testbed.start_host()

    @override
    async def heal(self, testbed: FaultTestbed) -> None:
        await testbed.rig.sal_recorder.go_to(salobj.State.ENABLED)

    @override
    async def check(self, testbed: FaultTestbed) -> None:
        """Check nothing else: the header service's events can make all images accepted."""


class NumbersReused(MissedExposures):
    """The camera begins its numbers again, and uses the names of archived exposures."""

    name = "missed-numbers-reused"
    about = "the same, but the camera then uses the names of these exposures again"

    @override
    async def miss(self, testbed: FaultTestbed) -> None:
        await testbed.stop_host()
        before = testbed.sal_source.last_number
        first = await self.take(testbed, AROUND_RESTART)
        taken = testbed.sal_source.last_number - before
        await testbed.sal_source.restart_camera()
        await testbed.start_host()
        await testbed.rig.sal_recorder.go_to(salobj.State.ENABLED)
        await wait_delivered(testbed, first, len(first))
        await asyncio.sleep(AGAIN_AFTER_S)
        with testbed.sal_source.begin_again_after(before):
            await self.take(testbed, taken)
        await self._wait_refused(testbed)

    async def _wait_refused(self, testbed: FaultTestbed) -> None:
        """Wait until the second exposures of all these names are recorded."""

        async def all_are_refused() -> bool:
            return await self._refused(testbed) >= set(self._taken)

        await polling.wait_for_async(all_are_refused, LIMIT_S, "the refused exposures")

    @staticmethod
    async def _refused(testbed: FaultTestbed) -> set[str]:
        """Return the names of which the ledger has a second exposure."""
        async with testbed.redis() as client:
            members = await client.zrange(REFUSED_EXPOSURES, 0, -1)
        return {str(member).rpartition(":")[0] for member in members}

    @override
    async def check(self, testbed: FaultTestbed) -> None:
        await super().check(testbed)
        async with make_client(testbed.settings) as redis:
            view = await collect(redis, testbed.settings)
        lacking = set(self._taken) - await self._refused(testbed)
        self.expect(
            condition=not lacking,
            otherwise=f"{len(lacking)} exposures with a reused name are not recorded beside the "
            "first ones",
        )
        critical = {one.name for one in alarms_of(view) if one.severity is Severity.CRITICAL}
        self.expect(
            condition=AlarmName.OBSID_REUSED in critical,
            otherwise="no critical alarm reports the reused names",
        )


class ForwarderReplaced(MissedExposures):
    """The paired Forwarder dies in the middle of a catch-up."""

    name = "missed-forwarder-replaced"
    about = "the paired Forwarder is killed in the middle of a catch-up, and another continues"
    revive_needs = ALL

    @override
    async def miss(self, testbed: FaultTestbed) -> None:
        images = await self.take_in_standby(testbed, IN_THE_MIDDLE)
        await testbed.rig.sal_recorder.go_to(salobj.State.ENABLED)
        await wait_delivered(testbed, images, DELIVERED_BEFORE)
        (await paired(testbed)).kill()

    @override
    async def revive(self, testbed: FaultTestbed) -> None:
        await testbed.peer_pool.make_whole()


class WorkersKilled(MissedExposures):
    """Every worker dies in the middle of a catch-up, the bridge also before and after SCAN."""

    name = "missed-workers-killed"
    about = "every worker is killed in the middle of a catch-up, the bridge also around SCAN"

    @override
    async def miss(self, testbed: FaultTestbed) -> None:
        images = await self.take_in_standby(testbed, IN_THE_MIDDLE)
        for point in SCAN_POINTS:
            testbed.arm(point)
        try:
            await testbed.rig.sal_recorder.go_to(salobj.State.ENABLED)
            for point in SCAN_POINTS:
                await polling.wait_for(
                    lambda point=point: not testbed.is_armed(point),  # type: ignore[misc]
                    LIMIT_S,
                    f"the bridge to reach {point}",
                )
        finally:
            for point in SCAN_POINTS:
                testbed.disarm(point)
        for number, worker in enumerate(WORKERS, start=DELIVERED_BEFORE):
            await wait_delivered(testbed, images, number)
            testbed.signal_worker(worker, signal.SIGKILL)


SCENARIOS = [
    Standby,
    HostDown,
    CameraRestarted,
    NumbersReused,
    ForwarderReplaced,
    WorkersKilled,
]
