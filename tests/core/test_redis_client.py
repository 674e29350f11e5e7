"""A cancelled task ends, whatever it was doing with Redis; a Redis that hangs is noticed."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

import pytest
from redis import exceptions

from ccarchiver_core.redis_client import make_client
from ccarchiver_core.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

    from ccarchiver_sim.brokers import PrivateRedis

ROUNDS = 300
"""With redis-py's own time limits about 40 of these cancellations were lost."""

LONGEST_WAIT_S = 0.0012
"""A little above the time of one command, so that the cancellation falls into every part of it."""


async def test_a_cancellation_during_a_command_is_never_lost(fresh_redis: PrivateRedis) -> None:
    redis = make_client(Settings.model_validate({"REDIS_PORT": fresh_redis.port}))
    script = redis.register_script("return redis.call('INCR', KEYS[1])")
    never = asyncio.Event()
    chance = random.Random(1)  # noqa: S311  no secret depends on it

    async def work() -> None:
        await script(keys=["n"], args=[])
        await never.wait()

    lost = 0
    for _ in range(ROUNDS):
        task = asyncio.create_task(work())
        await asyncio.sleep(chance.uniform(0, LONGEST_WAIT_S))
        task.cancel()
        done, _pending = await asyncio.wait({task}, timeout=10)
        if not done:
            lost += 1
            never.set()
            await asyncio.wait({task})
            never.clear()
    await redis.aclose()
    assert lost == 0


async def test_a_redis_that_hangs_raises_within_the_limit(tmp_path: Path) -> None:
    from ccarchiver_sim.brokers import PrivateRedis  # noqa: PLC0415  only this test needs one of its own

    with PrivateRedis(tmp_path) as server:
        redis = make_client(Settings.model_validate({"REDIS_PORT": server.port}))
        await redis.ping()
        redis.limit = 0.5  # type: ignore[attr-defined]  # the real limit is too long for a test
        server.freeze()
        try:
            with pytest.raises(exceptions.TimeoutError, match="PING"):
                await redis.ping()
        finally:
            server.thaw()
        await redis.aclose()
