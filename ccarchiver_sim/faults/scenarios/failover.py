"""Scenarios in which the Sentinels replace the master of Redis."""

from functools import partial

from typing_extensions import override

from ccarchiver_sim.faults.fault_testbed import FaultTestbed
from ccarchiver_sim.faults.parts import Part
from ccarchiver_sim.faults.scenario import Scenario
from ccarchiver_sim.faults.services import Service

ABOUT = {
    "killed": "the master of Redis is killed, a replica is promoted, the former master returns",
    "frozen": "the master of Redis hangs, a replica is promoted, the former master continues",
    "requested": "the running master of Redis is replaced by SENTINEL FAILOVER",
}
"""Descriptions by the reason for which the master is replaced."""


class RedisFailover(Scenario):
    """The Sentinels promote a replica; the former master returns as a replica.

    Parameters
    ----------
    how
        Why the master is replaced; a key of `ABOUT`.
    """

    outages: tuple[float, ...] = (1.0, 5.0, 1.0)
    """The former master is away for these seconds after the promotion."""
    ends_at_once = True
    needs_redis_group = True
    # The files and the network of one server are not those of the master after a failover.
    parts = frozenset({Part.REDIS, Part.REDIS_FILE, Part.REDIS_LINE})
    removes = frozenset({Service.REDIS, Service.REDIS_WRITES})

    def __init__(self, how: str) -> None:
        super().__init__()
        self._how = how
        self.name = f"redis-failover-{how}"
        self.about = ABOUT[how]

    @override
    async def aim(self, testbed: FaultTestbed) -> None:
        await testbed.redis_group.wait_ready()
        self._master = await testbed.redis_group.master()

    @override
    async def inject(self, testbed: FaultTestbed) -> None:
        match self._how:
            case "killed":
                self._master.kill()
            case "frozen":
                self._master.freeze()
            case _:
                await testbed.redis_group.request_failover()
        await testbed.redis_group.wait_promoted(self._master)

    @override
    async def heal(self, testbed: FaultTestbed) -> None:
        match self._how:
            case "killed":
                await testbed.rig.start_broker(self._master)
            case "frozen":
                self._master.thaw()
            case _:
                pass  # it runs
        await testbed.redis_group.wait_ready()


SCENARIOS = [partial(RedisFailover, how) for how in ABOUT]
