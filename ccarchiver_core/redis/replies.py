"""Typed readers of replies: redis-py types them as unions of all protocols and decodings."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

from ccarchiver_core.redis.timeout_redis import COMMAND_TIMEOUT

if TYPE_CHECKING:
    from redis.asyncio import Redis

MAILBOX_BLOCK_S = 2.0
"""Seconds that one blocking read of a mailbox waits; short, so that a worker can stop soon."""


def text(raw: object) -> str:
    """Return a reply as text; bytes that are not valid UTF-8 become backslash escapes."""
    return raw.decode("utf-8", "backslashreplace") if isinstance(raw, bytes) else str(raw)


async def read_hash(redis: Redis, name: str) -> dict[str, str]:
    """Return a hash as text; empty if the key does not exist."""
    raw = cast("dict[bytes, bytes]", await redis.hgetall(name))
    return {text(key): text(value) for key, value in raw.items()}


async def read_members(redis: Redis, name: str) -> list[str]:
    """Return the members of a sorted set as text, in ascending order of their scores."""
    return [text(member) for member in cast("list[bytes]", await redis.zrange(name, 0, -1))]


async def read_set(redis: Redis, name: str) -> list[str]:
    """Return the members of a set as text, sorted."""
    return sorted(text(member) for member in cast("set[bytes]", await redis.smembers(name)))


async def transact(redis: Redis, *commands: tuple[str | bytes | int, ...]) -> None:
    """Run commands atomically, with MULTI and EXEC; for the command line, which holds no lease."""
    async with asyncio.timeout(COMMAND_TIMEOUT), redis.pipeline(transaction=True) as pipe:
        for words in commands:
            pipe.execute_command(*words)
        await pipe.execute()


Entries = list[tuple[bytes, dict[bytes, bytes] | None]]


async def read_stream(
    redis: Redis, name: str, group: str, consumer: str, position: str, count: int
) -> Entries:
    """Return entries of a stream for a consumer of a group.

    If there is none, wait up to `MAILBOX_BLOCK_S` seconds for the first one.
    """
    raw = await redis.xreadgroup(
        group, consumer, {name: position}, count=count, block=int(MAILBOX_BLOCK_S * 1000)
    )
    streams = cast("list[tuple[bytes, Entries]]", raw or [])
    return [entry for _, entries in streams for entry in entries]
