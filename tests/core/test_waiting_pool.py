"""Commands beyond the connections of a pool wait for one; Redis does not look unavailable."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

import pytest

from ccarchiver_core.config.settings import Settings
from ccarchiver_core.redis.client import make_client
from ccarchiver_core.redis.errors import UNAVAILABLE_ERRORS
from ccarchiver_core.redis.waiting_pool import MAX_CONNECTIONS, WaitingPool
from ccarchiver_sim.pace import scaled, within
from ccarchiver_sim.testbed.brokers import PrivateRedis, PrivateSentinel
from ccarchiver_sim.testbed.brokers.ports import LOOPBACK, free_port
from tests.core.redis_helpers import LIMIT_S, site

if TYPE_CHECKING:
    from pathlib import Path

    from redis.asyncio import Redis

COMMANDS = 5 * MAX_CONNECTIONS


async def run_many(client: Redis) -> None:
    """Run more commands at once than there are connections; each must have its own answer."""
    async with within(LIMIT_S):
        answers = await asyncio.gather(*(client.echo(f"{number}") for number in range(COMMANDS)))
    assert answers == [f"{number}".encode() for number in range(COMMANDS)]


async def test_commands_beyond_the_pool_wait_for_a_connection(fresh_redis: PrivateRedis) -> None:
    client = make_client(site(fresh_redis.port))
    client.timeout = scaled(LIMIT_S)
    await run_many(client)
    clients = await client.client_list()
    await client.aclose()
    assert len(clients) <= MAX_CONNECTIONS


async def test_cancelled_commands_leave_their_places_to_others(fresh_redis: PrivateRedis) -> None:
    client = make_client(site(fresh_redis.port))
    client.timeout = scaled(LIMIT_S)
    chance = random.Random(1)  # noqa: S311  no secret
    for _ in range(5):
        tasks = [asyncio.ensure_future(client.get("a key")) for _ in range(COMMANDS)]
        for task in tasks:
            if chance.random() < 0.5:
                await asyncio.sleep(0)
                task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    await run_many(client)
    assert isinstance(client.connection_pool, WaitingPool)
    assert not client.connection_pool._in_use_connections
    await client.aclose()


async def test_failed_connections_leave_their_places_to_others() -> None:
    client = make_client(site(free_port()))
    for _ in range(3):
        results = await asyncio.gather(
            *(client.ping() for _ in range(COMMANDS)), return_exceptions=True
        )
        assert all(isinstance(result, UNAVAILABLE_ERRORS) for result in results)
        assert not any("Too many" in str(result) for result in results)
    await client.aclose()


@pytest.mark.processes
async def test_commands_wait_for_a_connection_to_the_master_of_sentinels(tmp_path: Path) -> None:
    with (
        PrivateRedis(tmp_path / "master") as master,
        PrivateSentinel(tmp_path / "sentinel", master="m", master_port=master.port) as sentinel,
    ):
        settings = Settings.model_validate(
            {
                "REDIS_SENTINELS": [f"{LOOPBACK}:{sentinel.port}"],
                "SENTINEL_SERVICE_NAME": "m",
            }
        )
        client = make_client(settings)
        client.timeout = scaled(LIMIT_S)
        await run_many(client)
        await client.aclose()
