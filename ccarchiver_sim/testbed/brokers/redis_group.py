"""A master, two replicas and three Sentinels, with methods that start a failover."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Self, cast

from redis.asyncio import Redis
from redis.exceptions import RedisError

from ccarchiver_sim.testbed import polling
from ccarchiver_sim.testbed.brokers.ports import LOOPBACK
from ccarchiver_sim.testbed.brokers.redis import PrivateRedis
from ccarchiver_sim.testbed.brokers.sentinel import PrivateSentinel

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from ccarchiver_sim.testbed.brokers.server import PrivateServer

MASTER = "archiver-redis"
REPLICAS = 2
SENTINELS, QUORUM = 3, 2
LIMIT_S = 60.0
"""Limit for a failover, which takes 3 s, and for a former master to become a replica, 10 s."""


class RedisGroup:
    """Private servers, as many as at a site.

    Parameters
    ----------
    folder
        Folder of the servers.
    """

    def __init__(self, folder: Path) -> None:
        self.first = PrivateRedis(folder / "first")
        """The first master."""
        self.replicas = [
            PrivateRedis(folder / f"replica{index}", replica_of=self.first.port)
            for index in range(REPLICAS)
        ]
        self.sentinels = [
            PrivateSentinel(
                folder / f"sentinel{index}",
                master=MASTER,
                master_port=self.first.port,
                quorum=QUORUM,
            )
            for index in range(SENTINELS)
        ]
        self._stack = ExitStack()

    @property
    def servers(self) -> tuple[PrivateRedis, ...]:
        """The servers that keep the data."""
        return self.first, *self.replicas

    @property
    def all_servers(self) -> tuple[PrivateServer, ...]:
        """All servers, with the Sentinels."""
        return *self.servers, *self.sentinels

    @property
    def addresses(self) -> dict[str, object]:
        """Settings of the site file."""
        return {
            "REDIS_SENTINELS": [f"{LOOPBACK}:{server.port}" for server in self.sentinels],
            "SENTINEL_SERVICE_NAME": MASTER,
        }

    def __enter__(self) -> Self:
        with self._stack:
            for server in self.all_servers:
                self._stack.enter_context(server)
            self._stack = self._stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for server in self.servers:
            if server.is_running:
                server.thaw()
        self._stack.close()

    async def wait_ready(self) -> None:
        """Wait until each Sentinel knows all servers and the replicas have the master's data."""
        for server in self.sentinels:
            async with _client(server) as sentinel:
                await polling.wait_for_async(
                    partial(self._is_ready, sentinel), LIMIT_S, "the replicas and the Sentinels"
                )

    @staticmethod
    async def _is_ready(sentinel: Redis) -> bool:
        state = cast("dict[str, object]", await sentinel.sentinel_master(MASTER))
        if state["num-other-sentinels"] != SENTINELS - 1 or state["flags"] != "master":
            return False
        states = cast("list[dict[str, object]]", await sentinel.sentinel_slaves(MASTER))
        return [state["master-link-status"] for state in states] == ["ok"] * REPLICAS

    async def master_port(self) -> int:
        """Return the port of the master, the promoted one during a failover."""
        answers = await asyncio.gather(*(self._answer(server) for server in self.sentinels))
        return max(answers)[1]

    @staticmethod
    async def _answer(server: PrivateSentinel) -> tuple[int, int]:
        """Return the number of the last failover that a Sentinel knows, and the master's port."""
        async with _client(server) as sentinel:
            state = cast("dict[str, int]", await sentinel.sentinel_master(MASTER))
            found = await sentinel.sentinel_get_master_addr_by_name(MASTER)
        return state["config-epoch"], int(cast("tuple[str, int]", found)[1])

    async def master(self) -> PrivateRedis:
        """Return the master."""
        port = await self.master_port()
        return next(server for server in self.servers if server.port == port)

    async def wait_promoted(self, instead_of: PrivateRedis) -> None:
        """Wait until the Sentinels have promoted a replica."""

        async def is_promoted() -> bool:
            return await self.master_port() != instead_of.port

        await polling.wait_for_async(is_promoted, LIMIT_S, "a replica to be promoted")

    async def kill_master(self) -> None:
        """Kill the master and wait for the promotion."""
        master = await self.master()
        master.kill()
        await self.wait_promoted(master)

    async def freeze_master(self) -> None:
        """Suspend the master, and continue it as soon as a replica is promoted."""
        master = await self.master()
        master.freeze()
        await self.wait_promoted(master)
        master.thaw()

    async def replace_master(self) -> None:
        """Replace the running master, and wait for the promotion."""
        master = await self.master()
        await self.request_failover()
        await self.wait_promoted(master)

    async def request_failover(self) -> None:
        """Make a Sentinel replace the running master, as an operator does for maintenance."""
        async with _client(self.sentinels[0]) as sentinel:
            await sentinel.execute_command("SENTINEL", "FAILOVER", MASTER)  # type: ignore[no-untyped-call]  # redis-py's

    async def wait_demoted(self) -> None:
        """Wait until the first master has become a replica."""
        async with _client(self.first) as first:

            async def is_replica() -> bool:
                return await _role(first) == b"slave"

            await polling.wait_for_async(is_replica, LIMIT_S, "the first master to be a replica")


def _client(server: PrivateServer) -> Redis:
    return Redis(host=LOOPBACK, port=server.port, protocol=2)


async def _role(server: Redis) -> bytes:
    try:
        return cast("list[bytes]", await server.execute_command("ROLE"))[0]  # type: ignore[no-untyped-call]  # redis-py's
    except (RedisError, OSError):
        return b""
