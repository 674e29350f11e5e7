"""A connection ends when its server becomes a replica, so that the next one can reach the master.

This matters if REDIS_HOST is an address that moves to the new master.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ReadOnlyError

from ccarchiver_core.redis.client import make_client
from ccarchiver_sim.pace import within
from ccarchiver_sim.testbed.brokers import PrivateRedis
from ccarchiver_sim.testbed.brokers.ports import LOOPBACK, free_port
from tests.core.redis_helpers import LIMIT_S, eventually, site

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

pytestmark = pytest.mark.processes


@pytest.fixture
def server(tmp_path: Path) -> Iterator[PrivateRedis]:
    """Start a Redis of its own, because the test makes it a replica."""
    with PrivateRedis(tmp_path) as started:
        yield started


@pytest.fixture
async def admin(server: PrivateRedis) -> AsyncIterator[Redis]:
    """Return a client that is not the archiver's."""
    async with Redis(host=LOOPBACK, port=server.port, protocol=2) as client:
        yield client


async def test_blocking_read_ends(server: PrivateRedis, admin: Redis) -> None:
    client = make_client(site(server.port), blocking=True)
    async with within(LIMIT_S):
        reading = asyncio.ensure_future(client.xread({"stream": "$"}, block=0))
        await eventually(lambda: has_blocked_client(admin), "the read to block")
        await admin.replicaof(LOOPBACK, free_port())
        with pytest.raises(RedisConnectionError, match="has become a replica"):
            await reading
    await client.aclose()


async def test_connection_that_cannot_write_any_more_ends(
    server: PrivateRedis, admin: Redis
) -> None:
    client = make_client(site(server.port))
    before = await client.client_id()
    await admin.replicaof(LOOPBACK, free_port())
    with pytest.raises(ReadOnlyError):
        await client.set("key", "value")
    assert await client.client_id() != before
    await client.aclose()


async def has_blocked_client(admin: Redis) -> bool:
    """Return whether a client waits in a blocking command."""
    info = await admin.info("clients")
    return bool(info["blocked_clients"])
