from __future__ import annotations

import asyncio
import os
import socket
import time
from typing import TYPE_CHECKING

import pytest

from ccarchiver_core import __version__
from ccarchiver_core.domain.worker_messages import SessionStarted
from ccarchiver_core.keys import Worker
from ccarchiver_core.runtime import heartbeat
from ccarchiver_core.runtime.heartbeat import read_heartbeat
from ccarchiver_sim.testbed.brokers import PrivateRedis
from tests.core.redis_helpers import end, enqueue, eventually, holding, looking_into, site

if TYPE_CHECKING:
    from pathlib import Path


async def test_heartbeat_contains_process_resources_and_mailbox_depth(
    fresh_redis: PrivateRedis,
) -> None:
    settings = site(fresh_redis.port)
    async with holding(Worker.BRIDGE, settings) as context, looking_into(settings) as redis:
        assert await read_heartbeat(redis, Worker.BRIDGE) is None
        await enqueue(redis, Worker.BRIDGE, SessionStarted(session_id="waiting"))
        context.heartbeat.state = "working"
        began = time.time()
        publishing = asyncio.create_task(context.heartbeat.publish())

        read = await eventually(lambda: read_heartbeat(redis, Worker.BRIDGE), "a heartbeat")

        await end(publishing)
        assert (read.worker, read.pid, read.host) == (
            Worker.BRIDGE,
            os.getpid(),
            socket.gethostname(),
        )
        assert (read.state, read.version, read.mailbox_depth) == ("working", __version__, 1)
        assert read.rss_bytes > 1_000_000
        assert read.threads >= 1
        assert read.open_files >= 3
        assert began <= read.written_at <= time.time()
        assert 0 < await redis.pttl(Worker.BRIDGE.alive) <= heartbeat.TTL * 1000


@pytest.mark.processes
async def test_heartbeat_continues_after_a_redis_outage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heartbeat, "INTERVAL", 0.05)
    with PrivateRedis(tmp_path / "redis") as server:
        settings = site(server.port)
        async with holding(Worker.SAL, settings) as context:
            publishing = asyncio.create_task(context.heartbeat.publish())
            async with looking_into(settings) as redis:
                before = await eventually(lambda: read_heartbeat(redis, Worker.SAL), "a heartbeat")
            server.stop()
            await asyncio.sleep(0.2)
            server.start()

            async with looking_into(settings) as redis:

                async def later() -> bool:
                    read = await read_heartbeat(redis, Worker.SAL)
                    return read is not None and read.written_at > before.written_at

                await eventually(later, "a later heartbeat")
            assert not publishing.done()
            await end(publishing)
