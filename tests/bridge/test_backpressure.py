"""Backpressure: the length of SAL's mailbox is read rarely, and MAX_MAILBOX is never exceeded."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from ccarchiver_bridge.backpressure import Backpressure
from ccarchiver_bridge.context import BridgeContext
from ccarchiver_core.base.tasks import cancel_and_wait
from ccarchiver_core.domain.worker_messages import SessionStarted
from ccarchiver_core.keys import Worker
from ccarchiver_sim.pace import within
from tests.core.redis_helpers import LIMIT_S, enqueue, holding, looking_into, site

if TYPE_CHECKING:
    from collections.abc import Mapping

    from redis.asyncio import Redis

    from ccarchiver_sim.testbed.brokers import PrivateRedis

ROOM = 10


async def test_take_waits_while_the_mailbox_is_full(fresh_redis: PrivateRedis) -> None:
    settings = site(fresh_redis.port, MAX_MAILBOX=ROOM)
    async with holding(Worker.BRIDGE, settings) as context, looking_into(settings) as redis:
        for number in range(ROOM):
            await enqueue(redis, Worker.SAL, SessionStarted(session_id=f"{number}"))
        backpressure = Backpressure(BridgeContext(context))

        waiting = asyncio.create_task(backpressure.reserve(1))
        done, _ = await asyncio.wait({waiting}, timeout=0.3)
        assert not done
        await redis.delete(Worker.SAL.mailbox)

        async with within(LIMIT_S):
            await waiting


async def test_room_is_read_once_and_never_exceeded(fresh_redis: PrivateRedis) -> None:
    settings = site(fresh_redis.port, MAX_MAILBOX=ROOM)
    async with holding(Worker.BRIDGE, settings) as context, looking_into(settings) as redis:
        backpressure = Backpressure(BridgeContext(context))
        before = await xlen_calls(redis)
        for _ in range(ROOM):
            await backpressure.reserve(1)
            await enqueue(redis, Worker.SAL, SessionStarted(session_id="s"))
        assert await xlen_calls(redis) == before + 1, "one XLEN for all ten"

        waiting = asyncio.create_task(backpressure.reserve(1))
        done, _ = await asyncio.wait({waiting}, timeout=0.3)
        assert not done, "the mailbox is full now"
        await cancel_and_wait(waiting)


async def xlen_calls(redis: Redis) -> int:
    info: Mapping[str, Mapping[str, int]] = await redis.info("commandstats")
    return int(info.get("cmdstat_xlen", {"calls": 0})["calls"])
