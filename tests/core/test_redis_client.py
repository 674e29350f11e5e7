from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from redis.exceptions import (
    MasterDownError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    ResponseError,
)

from ccarchiver_core.redis.client import make_client
from ccarchiver_core.redis.errors import describe, is_write_rejected
from ccarchiver_core.redis.retry import retry_until_available
from ccarchiver_sim.pace import within
from tests.core.redis_helpers import LIMIT_S, site

if TYPE_CHECKING:
    from ccarchiver_sim.testbed.brokers import PrivateRedis


async def test_redis_command_can_be_cancelled_at_any_point(fresh_redis: PrivateRedis) -> None:
    """`asyncio.wait_for` of Python 3.11 swallows a cancellation just after the command was sent.

    A caller that cancels a task and waits for its end would then wait without a limit.
    """
    client = make_client(site(fresh_redis.port))
    await client.ping()
    swallowed = list[int]()
    for ticks in range(1, 25):
        task = asyncio.ensure_future(client.get("a key"))
        for _ in range(ticks):
            await asyncio.sleep(0)
        if task.cancel():
            await asyncio.wait({task})
            if not task.cancelled():
                swallowed.append(ticks)
    await client.aclose()

    assert swallowed == []


@pytest.mark.parametrize(
    ("error", "rejected"),
    [
        (OutOfMemoryError("command not allowed when used memory > 'maxmemory'."), True),
        (ReadOnlyError("You can't write against a read only replica."), True),
        (
            ResponseError(
                "MISCONF Redis is configured to save RDB snapshots, "
                "but it's currently unable to persist"
            ),
            True,
        ),
        (ResponseError("NOREPLICAS Not enough good replicas to write."), True),
        (MasterDownError("Link with MASTER is down"), True),
        (ResponseError("WRONGTYPE Operation against a key holding the wrong kind of value"), False),
        (ResponseError("BUSYGROUP Consumer Group name already exists"), False),
        (ValueError("OOM"), False),
    ],
)
def test_is_write_rejected_is_true_only_for_errors_that_can_pass(
    error: Exception, *, rejected: bool
) -> None:
    assert is_write_rejected(error) is rejected


@pytest.mark.parametrize(
    ("error", "remedy"),
    [
        (ResponseError("NOREPLICAS Not enough good replicas to write."), "start its replicas"),
        (ReadOnlyError("You can't write against a read only replica."), "it is a replica"),
        (MasterDownError("Link with MASTER is down"), "it is a replica without a master"),
        (
            ResponseError("MISCONF Redis is configured to save RDB snapshots"),
            "free its memory or its disk",
        ),
        (
            NoPermissionError("this user has no permissions to run the 'xadd' command"),
            "deploy/redis-users.acl",
        ),
        (ResponseError("DB index is out of range"), "use a smaller ARCHIVER_REDIS_DB"),
    ],
)
def test_describe_names_the_remedy_for_each_error(error: Exception, remedy: str) -> None:
    assert remedy in describe(error)


async def test_retry_until_available_repeats_a_read_until_redis_answers() -> None:
    answers: list[Exception | str] = [ConnectionRefusedError(), TimeoutError(), "at last"]

    async def read() -> str:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async with within(LIMIT_S):
        assert await retry_until_available(read) == "at last"
