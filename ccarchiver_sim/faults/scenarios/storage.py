"""Scenarios with a Redis that answers but cannot write."""

import asyncio

from typing_extensions import override

from ccarchiver_sim.faults.fault_testbed import Stage
from ccarchiver_sim.faults.scenario import OUTAGES_S, Scenario
from ccarchiver_sim.pace import scaled
from ccarchiver_sim.testbed import polling

MEMORY_LIMIT = "maxmemory"
REPLICAS_WANTED = "min-replicas-to-write"
END_LIMIT_S = 60.0
"""Limit for the next write of Redis, which fails: the workers write several times a second."""
DEATH_S = 1.0
"""Time for a simulated Forwarder that fails to write a long traceback and end."""


class RedisFull(Scenario):
    """The memory limit of Redis is below its use: with noeviction every write fails."""

    name = "redis-full"
    about = "Redis is full (noeviction): it rejects every write, for 1, 5, 30 (and 120) s"
    outages: tuple[float, ...] = OUTAGES_S

    @override
    async def inject(self, stage: Stage) -> None:
        async with stage.redis() as client:
            await client.config_set(MEMORY_LIMIT, 1)

    @override
    async def heal(self, stage: Stage) -> None:
        async with stage.redis() as client:
            await client.config_set(MEMORY_LIMIT, 0)
        await new_forwarders(stage)


class RedisRefusesWrites(Scenario):
    """Redis requires a missing replica, and rejects writes as with a read-only disk."""

    name = "redis-refuses-writes"
    about = "Redis reads but rejects writes (NOREPLICAS), for 1, 5, 30 (and 120) s"
    outages: tuple[float, ...] = OUTAGES_S

    @override
    async def inject(self, stage: Stage) -> None:
        async with stage.redis() as client:
            await client.config_set(REPLICAS_WANTED, 1)

    @override
    async def heal(self, stage: Stage) -> None:
        async with stage.redis() as client:
            await client.config_set(REPLICAS_WANTED, 0)
        await new_forwarders(stage)


class DiskFull(Scenario):
    """The append-only file cannot grow: with fsync always Redis ends and must be restarted."""

    name = "redis-disk-full"
    about = "Redis' disk is full (fsync always): it ends; restarted after 1, 5, 30 (and 120) s"
    outages: tuple[float, ...] = OUTAGES_S

    @override
    async def inject(self, stage: Stage) -> None:
        redis = stage.rig.redis
        redis.fill_disk()
        await polling.wait_for(
            lambda: not redis.is_running, END_LIMIT_S, "Redis to end because its disk is full"
        )

    @override
    async def heal(self, stage: Stage) -> None:
        await stage.rig.start_broker(stage.rig.redis)
        await new_forwarders(stage)


class DiskFullEverySecond(Scenario):
    """The append-only file cannot grow: with fsync everysec Redis rejects writes."""

    name = "redis-disk-full-everysec"
    about = (
        "Redis' disk is full (fsync everysec): it rejects writes (MISCONF), "
        "for 1, 5, 30 (and 120) s"
    )
    outages: tuple[float, ...] = OUTAGES_S

    @override
    async def prepare(self, stage: Stage) -> None:
        await self._set_fsync(stage, "everysec")

    @override
    async def inject(self, stage: Stage) -> None:
        stage.rig.redis.fill_disk()
        await polling.wait_for_async(
            lambda: self._refuses(stage), END_LIMIT_S, "Redis to reject writes"
        )

    @override
    async def heal(self, stage: Stage) -> None:
        stage.rig.redis.free_disk()
        await new_forwarders(stage)

    @override
    async def finish(self, stage: Stage) -> None:
        await self._set_fsync(stage, "always")

    async def _refuses(self, stage: Stage) -> bool:
        async with stage.redis() as client:
            return str((await client.info("persistence"))["aof_last_write_status"]) == "err"

    @staticmethod
    async def _set_fsync(stage: Stage, when: str) -> None:
        async with stage.redis() as client:
            await client.config_set("appendfsync", when)


async def new_forwarders(stage: Stage) -> None:
    """Replace Forwarders that died because they could not write their presence key.

    Their failure is not the archiver's.
    """
    await asyncio.sleep(scaled(DEATH_S))
    await stage.peer_pool.make_whole()


SCENARIOS = [RedisFull, RedisRefusesWrites, DiskFull, DiskFullEverySecond]
