"""Redis with Sentinels: a worker continues with the replica when the master dies."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

import pytest
from redis.asyncio import Redis

from ccarchiver_core.config.settings import Settings
from ccarchiver_core.keys import Worker
from ccarchiver_core.redis.client import make_client
from ccarchiver_core.redis.errors import UNAVAILABLE_ERRORS
from ccarchiver_core.store.transaction import Outcome, Transaction
from ccarchiver_sim.pace import within
from ccarchiver_sim.testbed.brokers import PrivateRedis, PrivateSentinel
from ccarchiver_sim.testbed.brokers.ports import LOOPBACK, free_port
from tests.core.redis_helpers import LIMIT_S, counter, end, eventually, holding, looking_into

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.processes

MASTER = "archiver-redis"
TRANSACTIONS = 200
"""Number of transactions, half of them before the master dies."""


@pytest.fixture(scope="module")
def servers(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[PrivateRedis, PrivateRedis, PrivateSentinel]]:
    """A master, its replica, and a Sentinel that knows both."""
    folder = tmp_path_factory.mktemp("sentinel")
    with (
        PrivateRedis(folder / "master") as master,
        PrivateRedis(folder / "replica", replica_of=master.port) as replica,
        PrivateSentinel(folder / "sentinel", master=MASTER, master_port=master.port) as sentinel,
    ):
        yield master, replica, sentinel


def by_sentinel(*ports: int) -> Settings:
    addresses = [f"{LOOPBACK}:{port}" for port in ports]
    return Settings.model_validate({"REDIS_SENTINELS": addresses, "SENTINEL_SERVICE_NAME": MASTER})


async def test_client_raises_an_unavailable_error_when_no_sentinel_answers() -> None:
    ports = free_port(), free_port()
    client = make_client(by_sentinel(*ports))
    with pytest.raises(UNAVAILABLE_ERRORS) as caught:
        await client.ping()
    for port in ports:
        assert f"{LOOPBACK}:{port} refused the connection" in str(caught.value)
    assert "ConnectionPool" not in str(caught.value), "redis-py's own text is a page long"
    await client.aclose()


async def test_worker_continues_with_the_replica_when_the_master_dies(
    servers: tuple[PrivateRedis, PrivateRedis, PrivateSentinel],
) -> None:
    master, replica, sentinel = servers
    settings = by_sentinel(free_port(), sentinel.port)  # the first one is not running
    async with Redis(host=LOOPBACK, port=sentinel.port) as watcher:
        await eventually(lambda: knows_a_replica(watcher), "the Sentinel to know the replica")
    async with within(LIMIT_S), holding(Worker.BRIDGE, settings) as context:
        renewing = asyncio.create_task(context.lease.renew_forever())
        assert await read_port(settings) == master.port
        before = [
            await context.transactions.apply(Transaction().count("n"))
            for _ in range(TRANSACTIONS // 2)
        ]
        async with looking_into(Settings.model_validate({"REDIS_PORT": replica.port})) as redis:
            await eventually(
                lambda: has_counted(redis, TRANSACTIONS // 2),
                "the replica to have all that the master confirmed",
            )
        master.kill()
        after = [
            await context.transactions.apply(Transaction().count("n"))
            for _ in range(TRANSACTIONS // 2)
        ]

        assert set(before + after) == {Outcome.APPLIED}
        assert await read_port(settings) == replica.port
        assert await counter(context.redis, "n") == TRANSACTIONS
        assert not renewing.done(), "the lease was lost with the master"
        await end(renewing)


async def knows_a_replica(sentinel: Redis) -> bool:
    """Return whether the Sentinel knows a replica. A Sentinel has no numbered databases."""
    found = await sentinel.execute_command("SENTINEL", "REPLICAS", MASTER)  # type: ignore[no-untyped-call]  # redis-py's
    return bool(found)


async def has_counted(redis: Redis, wanted: int) -> bool:
    """Return whether the counter has reached a value."""
    return await counter(redis, "n") == wanted


async def read_port(settings: Settings) -> int:
    """Return the port of the server to which the archiver's client connects."""
    async with looking_into(settings) as redis:
        info = cast("dict[str, object]", await redis.info("server"))
    return int(str(info["tcp_port"]))
