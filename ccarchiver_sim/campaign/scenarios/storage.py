"""A Redis that is there but cannot write."""

import asyncio

from typing_extensions import override

from ccarchiver_sim.campaign.scenario import OUTAGES_S, Scenario
from ccarchiver_sim.campaign.stage import Stage

MEMORY_LIMIT = "maxmemory"
REPLICAS_WANTED = "min-replicas-to-write"
DEATH_S = 1.0
"""A simulated Forwarder that dies of an error writes a long traceback first."""


class RedisFull(Scenario):
    """Its memory limit is below what it holds: with noeviction every write is an error."""

    name = "redis-full"
    about = "Redis is full (noeviction): every write is refused, for 1, 5, 30 (and 120) s"
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
    """It wants a replica that is not there: the same refusal as that of a disk that became read-only."""

    name = "redis-refuses-writes"
    about = "Redis reads but refuses to write (NOREPLICAS), for 1, 5, 30 (and 120) s"
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


async def new_forwarders(stage: Stage) -> None:
    """Replace Forwarders that died of it, as they wrote their presence key: that is not the archiver's to mend."""
    await asyncio.sleep(DEATH_S)
    await stage.cast.make_whole()


SCENARIOS = [RedisFull, RedisRefusesWrites]
