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
from tests.core.redis_helpers import end, eventually, holding, looking_into, post, site

if TYPE_CHECKING:
    from pathlib import Path


async def test_a_worker_shows_its_vital_signs(fresh_redis: PrivateRedis) -> None:
    settings = site(fresh_redis.port)
    async with holding(Worker.BRIDGE, settings) as context, looking_into(settings) as redis:
        assert await read_heartbeat(redis, Worker.BRIDGE) is None
        await post(redis, Worker.BRIDGE, SessionStarted(session_id="waiting"))
        context.heartbeat.state = "thinking"
        began = time.time()
        beating = asyncio.create_task(context.heartbeat.publish())

        shown = await eventually(lambda: read_heartbeat(redis, Worker.BRIDGE), "vital signs")

        await end(beating)
        assert (shown.worker, shown.pid, shown.host) == (Worker.BRIDGE, os.getpid(), socket.gethostname())
        assert (shown.state, shown.version, shown.mailbox_depth) == ("thinking", __version__, 1)
        assert shown.rss_bytes > 1_000_000
        assert shown.threads >= 1
        assert shown.open_files >= 3
        assert began <= shown.written_at <= time.time()
        assert 0 < await redis.pttl(Worker.BRIDGE.alive) <= heartbeat.TTL * 1000


@pytest.mark.processes
async def test_a_heart_beats_on_after_an_outage_of_redis(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeat, "INTERVAL", 0.05)
    with PrivateRedis(tmp_path / "redis") as server:
        settings = site(server.port)
        async with holding(Worker.SAL, settings) as context:
            beating = asyncio.create_task(context.heartbeat.publish())
            async with looking_into(settings) as redis:
                before = await eventually(lambda: read_heartbeat(redis, Worker.SAL), "vital signs")
            server.stop()
            await asyncio.sleep(0.2)
            server.start()

            async with looking_into(settings) as redis:

                async def later() -> bool:
                    shown = await read_heartbeat(redis, Worker.SAL)
                    return shown is not None and shown.written_at > before.written_at

                await eventually(later, "a later heartbeat")
            assert not beating.done()
            await end(beating)
