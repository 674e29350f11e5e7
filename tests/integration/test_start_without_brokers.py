"""The error codes of an archiver that is started without a broker."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
import redis
from lsst.ts import salobj

from ccarchiver_sim.testbed.brokers import PrivateRabbit, PrivateRedis
from ccarchiver_sim.testbed.rig import Rig
from tests.support.archiver_harness import short
from tests.support.brokers import empty

if TYPE_CHECKING:
    from pathlib import Path

# Extended: tests/sal/test_csc.py and tests/health/test_pairing.py cover such a start.
pytestmark = [pytest.mark.integration, pytest.mark.extended]


async def code_of_start(rig: Rig) -> int:
    """Start the workers, send `start`, and return the error code published with FAULT."""
    try:
        async with rig:
            await rig.start_workers()
            position = rig.observer.position
            with suppress(salobj.AckError):
                await rig.observer.command("start")
            code = await rig.observer.wait_error(since=position)
            await rig.observer.wait_state(salobj.State.FAULT)
            return code
    finally:
        await rig.close()


async def test_start_without_rabbitmq_is_fault_5071(
    short_path: Path, redis_server: PrivateRedis
) -> None:
    empty(redis_server)
    nobody_there = PrivateRabbit(short_path / "rabbit")
    rig = Rig(short(), redis=redis_server, rabbit=nobody_there, parent=short_path)
    with redis.Redis(host="127.0.0.1", port=redis_server.port, db=14) as client:
        # Only RabbitMQ is missing.
        client.lpush(
            "forwarder_list",
            '{"hostname": "f1", "ip_address": "127.0.0.1", "consume_queue": "f1_consume"}',
        )
    assert await code_of_start(rig) == 5071


async def test_start_without_redis_is_fault_5701(
    short_path: Path, rabbit_server: PrivateRabbit
) -> None:
    nobody_there = PrivateRedis(short_path / "redis")
    rig = Rig(short(), redis=nobody_there, rabbit=rabbit_server, parent=short_path)
    assert await code_of_start(rig) == 5701
