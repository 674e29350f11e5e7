"""What counts as time of a search, by a clock that the test sets."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from ccarchiver_core.keys import Worker
from ccarchiver_core.runtime.heartbeat import Heartbeat
from ccarchiver_health.search_time import SearchTime
from tests.core.redis_helpers import holding, looking_into, site

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from redis.asyncio import Redis

    from ccarchiver_sim.testbed.brokers import PrivateRedis

MAX_OUTAGE_S = 10.0


class Measurement:
    """A search, its clock, and the bridge's heartbeat."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._now = 0.0
        self.search_time: SearchTime

    def now(self) -> float:
        return self._now

    async def bridge(self, *, since: float, problem: str = "", degraded: str = "") -> None:
        """Write the bridge's heartbeat."""
        heartbeat = Heartbeat(
            worker=Worker.BRIDGE, link_since=since, link_problem=problem, degraded_reason=degraded
        )
        await self._redis.set(Worker.BRIDGE.alive, heartbeat.model_dump_json())

    async def passes(self, seconds: float) -> float:
        """Let time pass, poll, and return the time of the search."""
        self._now += seconds
        await self.search_time.poll()
        return self.search_time.elapsed_s


@asynccontextmanager
async def measuring(redis: PrivateRedis) -> AsyncIterator[Measurement]:
    """Measure a search that begins with a connected bridge."""
    settings = site(redis.port)
    async with holding(Worker.HEALTH, settings) as context, looking_into(settings) as client:
        measurement = Measurement(client)
        measurement.search_time = SearchTime(context, MAX_OUTAGE_S, now=measurement.now)
        await measurement.bridge(since=1.0)
        assert await measurement.passes(0) == 0
        yield measurement


async def test_time_counts_while_the_bridge_is_connected(fresh_redis: PrivateRedis) -> None:
    async with measuring(fresh_redis) as search:
        assert await search.passes(3) == 3
        await search.bridge(since=1.0, degraded="queue q has 2 consumers")
        assert await search.passes(2) == 5
        assert search.search_time.outage == ""


@pytest.mark.parametrize("since", [0.0, 1.0], ids=["no connection", "blocked"])
async def test_outage_does_not_count_and_the_time_begins_again(
    fresh_redis: PrivateRedis, since: float
) -> None:
    async with measuring(fresh_redis) as search:
        await search.passes(3)
        await search.bridge(since=since, problem="waiting for RabbitMQ")
        assert await search.passes(5) == 0
        assert "waiting for RabbitMQ" in search.search_time.outage
        await search.bridge(since=2.0)
        assert await search.passes(1) == 0
        assert await search.passes(1) == 1


async def test_reconnection_between_two_polls_restarts_the_time(fresh_redis: PrivateRedis) -> None:
    async with measuring(fresh_redis) as search:
        await search.passes(3)
        await search.bridge(since=2.0)
        assert await search.passes(1) == 0


async def test_outage_longer_than_its_limit_counts(fresh_redis: PrivateRedis) -> None:
    async with measuring(fresh_redis) as search:
        await search.bridge(since=0.0, problem="waiting for RabbitMQ")
        assert await search.passes(1) == 0
        assert await search.passes(MAX_OUTAGE_S) == 0
        assert await search.passes(4) == 4
