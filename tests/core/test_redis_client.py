from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from redis.exceptions import NoPermissionError, OutOfMemoryError, ReadOnlyError, ResponseError

from ccarchiver_core.redis.client import describe, is_write_rejected, make_client, retry_until_available
from ccarchiver_sim.pace import within
from tests.core.redis_helpers import LIMIT_S, site

if TYPE_CHECKING:
    from ccarchiver_sim.testbed.brokers import PrivateRedis


async def test_a_cancelled_command_is_cancelled_at_whatever_point_it_was(fresh_redis: PrivateRedis) -> None:
    """`asyncio.wait_for` of Python 3.11 swallows a cancellation that comes when the command has just been sent.

    Whoever ends a task by `cancel` and waits for it would wait for ever.
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
    ("error", "refusing"),
    [
        (OutOfMemoryError("command not allowed when used memory > 'maxmemory'."), True),
        (ReadOnlyError("You can't write against a read only replica."), True),
        (
            ResponseError("MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist"),
            True,
        ),
        (ResponseError("NOREPLICAS Not enough good replicas to write."), True),
        (ResponseError("WRONGTYPE Operation against a key holding the wrong kind of value"), False),
        (ResponseError("BUSYGROUP Consumer Group name already exists"), False),
        (ValueError("OOM"), False),
    ],
)
def test_a_redis_that_cannot_write_now_is_told_from_one_that_was_asked_nonsense(
    error: Exception, *, refusing: bool
) -> None:
    assert is_write_rejected(error) is refusing


@pytest.mark.parametrize(
    ("error", "mend"),
    [
        (ResponseError("NOREPLICAS Not enough good replicas to write."), "start its replicas"),
        (ResponseError("MISCONF Redis is configured to save RDB snapshots"), "free its memory or its disk"),
        (NoPermissionError("this user has no permissions to run the 'xadd' command"), "deploy/redis-users.acl"),
    ],
)
def test_what_helps_depends_on_the_error(error: Exception, mend: str) -> None:
    assert mend in describe(error)


async def test_a_read_is_repeated_until_redis_answers() -> None:
    answers: list[Exception | str] = [ConnectionRefusedError(), TimeoutError(), "at last"]

    async def read() -> str:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async with within(LIMIT_S):
        assert await retry_until_available(read) == "at last"
