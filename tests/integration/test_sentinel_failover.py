"""The whole archiver takes exposures while the Sentinels replace the master of Redis."""

from __future__ import annotations

import asyncio
import shutil
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import aiohttp
import pytest
from lsst.ts import salobj

from ccarchiver_core.config.settings import Settings
from ccarchiver_core.keys import COUNTERS
from ccarchiver_core.redis.retry import retry_until_available
from ccarchiver_sim.faults.moving_address import follow_master
from ccarchiver_sim.faults.proxy import TcpProxy
from ccarchiver_sim.pace import scaled
from ccarchiver_sim.testbed.brokers.ports import free_port
from ccarchiver_sim.testbed.brokers.redis_group import RedisGroup
from tests.core.redis_helpers import end, looking_into
from tests.support.archiver_harness import running_archiver, short

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from ccarchiver_sim.testbed.brokers import PrivateRabbit
    from tests.support.archiver_harness import ArchiverHarness
    from tests.support.brokers import VhostPool

pytestmark = [
    pytest.mark.integration,
    pytest.mark.extended,  # tests/core/test_sentinel_failover.py covers each kind of connection
    pytest.mark.asyncio(loop_scope="module"),
]

BEFORE, AFTER = 2, 3
"""Number of images before the failover begins, and of those begun after its end."""
CADENCE_S = 1.0
MARGIN_S = 3.0
"""Time that the slowest image may take longer than the failover and the slowest one before it."""


@asynccontextmanager
async def moving_address(group: RedisGroup) -> AsyncIterator[int]:
    """Return a port that leads to the master, for the Forwarders, which do not know Sentinels."""
    async with TcpProxy(free_port(), group.first.port) as proxy:
        moving = asyncio.create_task(follow_master(group, proxy))
        try:
            yield proxy.port
        finally:
            await end(moving)


async def test_no_image_is_lost_and_none_waits_longer_than_the_failover(
    rabbit_server: PrivateRabbit, vhosts: VhostPool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder: Path = tmp_path_factory.mktemp("s")
    with RedisGroup(folder / "redis") as group:
        await group.wait_ready()
        async with (
            moving_address(group) as port,
            running_archiver(
                folder,
                short(**group.addresses, REDIS_PORT=port),
                redis_server=group.first,
                rabbit=rabbit_server,
                vhost=vhosts.take(),
            ) as harness,
        ):
            await harness.set(())
            await harness.enable()
            workers = pids(harness)
            position = harness.sal.position
            for fail in (group.kill_master, group.freeze_master, group.replace_master):
                await group.wait_ready()
                await expose_during(harness, fail)
                for server in group.servers:
                    if not server.is_running:
                        await harness.rig.start_broker(server)

            assert harness.sal.state == salobj.State.ENABLED
            assert not harness.sal.error_codes(since=position)
            assert pids(harness) == workers, "a worker has ended"
            settings = Settings.model_validate(group.addresses)
            async with looking_into(settings) as redis:
                # On a busy machine, a Sentinel may answer later than its limit.
                counters = await retry_until_available(lambda: redis.hgetall(COUNTERS))
            assert not [name for name in counters if b"watchdog_kills" in name]
            assert "ENABLED" in await status(harness)
            async with (
                aiohttp.ClientSession() as session,
                session.get(f"{harness.rig.status_url}healthz") as answer,
            ):
                assert answer.ok, await answer.text()


async def status(harness: ArchiverHarness) -> str:
    """Return the output of `ccarchiver status`."""
    path = shutil.which("ccarchiver", path=harness.rig.env["PATH"])
    assert path is not None
    process = await asyncio.create_subprocess_exec(
        path, "status", env=harness.rig.env, stdout=asyncio.subprocess.PIPE
    )
    return (await process.communicate())[0].decode()


async def expose_during(harness: ArchiverHarness, fail: Callable[[], Awaitable[None]]) -> None:
    """Take images before, during and after a failover, and check the time of each."""
    durations = dict[str, float]()

    async def take() -> None:
        begin = time.monotonic()
        name = harness.rig.take()
        await harness.completed(name)
        durations[name] = time.monotonic() - begin

    for _ in range(BEFORE):
        await take()
    usual = max(durations.values())
    begin, failover_s = time.monotonic(), 0.0
    failing = asyncio.ensure_future(fail())
    images, left = list[asyncio.Task[None]](), AFTER
    while left:
        images.append(asyncio.create_task(take()))
        if failing.done():
            left -= 1
            await asyncio.sleep(CADENCE_S)
        else:
            await asyncio.wait({failing}, timeout=CADENCE_S)
            failover_s = time.monotonic() - begin
    failing.result()
    await asyncio.gather(*images)
    slowest = max(durations.values())
    assert slowest < failover_s + usual + scaled(MARGIN_S), (slowest, failover_s, usual)


def pids(harness: ArchiverHarness) -> dict[str, int | None]:
    """Return the process id of each supervised program."""
    return {name: status.pid for name, status in harness.rig.supervisor.status().items()}
