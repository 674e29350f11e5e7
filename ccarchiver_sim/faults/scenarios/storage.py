"""Scenarios with a Redis that answers but cannot write."""

import asyncio

from typing_extensions import override

from ccarchiver_sim.faults.fault_testbed import FaultTestbed
from ccarchiver_sim.faults.parts import Part
from ccarchiver_sim.faults.scenario import OUTAGES_S, Scenario
from ccarchiver_sim.faults.services import ALL, Service
from ccarchiver_sim.pace import scaled
from ccarchiver_sim.testbed import polling

END_LIMIT_S = 60.0
"""Limit for the next write of Redis, which fails: the workers write several times a second."""
DEATH_S = 1.0
"""Time for a simulated Forwarder that fails to write a long traceback and end."""


class _RejectedWrites(Scenario):
    """A parameter of Redis makes every write fail until it is 0 again."""

    outages: tuple[float, ...] = OUTAGES_S
    parameter: str
    removes = frozenset({Service.REDIS_WRITES})
    inject_needs = frozenset({Service.REDIS})
    heal_needs = inject_needs
    revive_needs = ALL

    @override
    async def inject(self, testbed: FaultTestbed) -> None:
        async with testbed.redis() as client:
            await client.config_set(self.parameter, 1)

    @override
    async def heal(self, testbed: FaultTestbed) -> None:
        async with testbed.redis() as client:
            await client.config_set(self.parameter, 0)

    @override
    async def revive(self, testbed: FaultTestbed) -> None:
        await new_forwarders(testbed)


class RedisFull(_RejectedWrites):
    """The memory limit of Redis is below its use: with noeviction every write fails."""

    name = "redis-full"
    about = "Redis is full (noeviction): it rejects every write, for 1, 5, 30 (and 120) s"
    parameter = "maxmemory"


class RedisRejectsWrites(_RejectedWrites):
    """Redis requires a missing replica, and rejects writes as with a read-only disk."""

    name = "redis-rejects-writes"
    about = "Redis reads but rejects writes (NOREPLICAS), for 1, 5, 30 (and 120) s"
    parameter = "min-replicas-to-write"


class DiskFull(Scenario):
    """The append-only file cannot grow: with fsync always Redis ends and must be restarted."""

    name = "redis-disk-full"
    about = "Redis' disk is full (fsync always): it ends; restarted after 1, 5, 30 (and 120) s"
    outages: tuple[float, ...] = OUTAGES_S
    parts = frozenset({Part.REDIS, Part.REDIS_FILE})
    removes = frozenset({Service.REDIS, Service.REDIS_WRITES})
    revive_needs = ALL

    @override
    async def inject(self, testbed: FaultTestbed) -> None:
        redis = testbed.rig.redis
        redis.fill_disk()
        await polling.wait_for(
            lambda: not redis.is_running, END_LIMIT_S, "Redis to end because its disk is full"
        )

    @override
    async def heal(self, testbed: FaultTestbed) -> None:
        await testbed.rig.start_broker(testbed.rig.redis)

    @override
    async def revive(self, testbed: FaultTestbed) -> None:
        await new_forwarders(testbed)


class DiskFullEverySecond(Scenario):
    """The append-only file cannot grow: with fsync everysec Redis rejects writes."""

    name = "redis-disk-full-everysec"
    about = (
        "Redis' disk is full (fsync everysec): it rejects writes (MISCONF), "
        "for 1, 5, 30 (and 120) s"
    )
    outages: tuple[float, ...] = OUTAGES_S
    parts = frozenset({Part.REDIS_FILE})
    removes = frozenset({Service.REDIS_WRITES})
    inject_needs = frozenset({Service.REDIS})
    heal_needs = inject_needs
    revive_needs = ALL

    @override
    async def prepare(self, testbed: FaultTestbed) -> None:
        await self._set_fsync(testbed, "everysec")

    @override
    async def inject(self, testbed: FaultTestbed) -> None:
        testbed.rig.redis.fill_disk()
        await polling.wait_for_async(
            lambda: self._rejects_writes(testbed), END_LIMIT_S, "Redis to reject writes"
        )

    @override
    async def heal(self, testbed: FaultTestbed) -> None:
        testbed.rig.redis.free_disk()

    @override
    async def revive(self, testbed: FaultTestbed) -> None:
        await new_forwarders(testbed)

    @override
    async def restore(self, testbed: FaultTestbed) -> None:
        await self._set_fsync(testbed, "always")

    async def _rejects_writes(self, testbed: FaultTestbed) -> bool:
        async with testbed.redis() as client:
            return str((await client.info("persistence"))["aof_last_write_status"]) == "err"

    @staticmethod
    async def _set_fsync(testbed: FaultTestbed, when: str) -> None:
        async with testbed.redis() as client:
            await client.config_set("appendfsync", when)


async def new_forwarders(testbed: FaultTestbed) -> None:
    """Replace Forwarders that died because they could not write their presence key.

    Their failure is not the archiver's.
    """
    await asyncio.sleep(scaled(DEATH_S))
    await testbed.peer_pool.make_whole()


SCENARIOS = [RedisFull, RedisRejectsWrites, DiskFull, DiskFullEverySecond]
