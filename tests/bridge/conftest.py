"""Fixtures with a running bridge."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest_asyncio

from ccarchiver_sim.pace import scaled
from tests.bridge.harness import BridgeHarness, bridge_at_work

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ccarchiver_sim.testbed.brokers import PrivateRabbit, PrivateRedis


@pytest_asyncio.fixture
async def harness(
    fresh_redis: PrivateRedis, rabbit_server: PrivateRabbit, fresh_vhost: str
) -> AsyncIterator[BridgeHarness]:
    """A bridge with a paired Forwarder."""
    async with bridge_at_work(
        fresh_redis, rabbit_server, fresh_vhost, ACK_TIMEOUT=scaled(30)
    ) as ready:
        await ready.pair()
        yield ready


@pytest_asyncio.fixture
async def impatient_harness(
    fresh_redis: PrivateRedis, rabbit_server: PrivateRabbit, fresh_vhost: str
) -> AsyncIterator[BridgeHarness]:
    """A bridge with a paired Forwarder and a short ACK_TIMEOUT."""
    async with bridge_at_work(
        fresh_redis, rabbit_server, fresh_vhost, ACK_TIMEOUT=scaled(0.3)
    ) as ready:
        await ready.pair()
        yield ready
