"""Typed readers of replies: redis-py types them as unions of all protocols and decodings."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar, cast

from redis.exceptions import ResponseError

from ccarchiver_core.redis.timeout_redis import COMMAND_TIMEOUT

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from redis.asyncio import Redis

Reply = TypeVar("Reply")

MAILBOX_BLOCK_S = 2.0
"""Seconds that one blocking read of a mailbox waits; short, so that a worker can stop soon."""


def text(raw: object) -> str:
    """Return a reply as text; bytes that are not valid UTF-8 become backslash escapes."""
    return raw.decode("utf-8", "backslashreplace") if isinstance(raw, bytes) else str(raw)


def is_wrong_type(error: object) -> bool:
    """Return whether an error means that a key has another type than the command expects."""
    return isinstance(error, ResponseError) and str(error).startswith("WRONGTYPE")


def raise_other_errors(rows: list[Any]) -> list[Any]:
    """Return the replies of a pipeline; raise the first error but those of keys of wrong types."""
    for row in rows:
        if isinstance(row, Exception) and not is_wrong_type(row):
            raise row
    return rows


async def unless_wrong_type(reply: Awaitable[Any], default: Reply) -> Reply:
    """Return a reply, or a default if the key has another type: a person has changed it.

    The audit of the records reports such a key (`ccarchiver_core.status.record_audit`).
    """
    try:
        return cast("Reply", await reply)
    except ResponseError as error:
        if is_wrong_type(error):
            return default
        raise


async def read_hash(redis: Redis, name: str) -> dict[str, str]:
    """Return a hash as text; empty if there is no hash of that name."""
    raw = await unless_wrong_type(redis.hgetall(name), dict[bytes, bytes]())
    return {text(key): text(value) for key, value in raw.items()}


async def read_string(redis: Redis, name: str) -> bytes | None:
    """Return a string; None if there is no string of that name."""
    return await unless_wrong_type(redis.get(name), cast("bytes | None", None))


async def read_list(redis: Redis, name: str) -> list[bytes]:
    """Return a list; empty if there is no list of that name."""
    return await unless_wrong_type(redis.lrange(name, 0, -1), list[bytes]())


async def read_members(redis: Redis, name: str) -> list[str]:
    """Return the members of a sorted set as text, in ascending order of their scores."""
    raw = await unless_wrong_type(redis.zrange(name, 0, -1), list[bytes]())
    return [text(member) for member in raw]


async def read_set(redis: Redis, name: str) -> list[str]:
    """Return the members of a set as text, sorted."""
    raw = await unless_wrong_type(redis.smembers(name), set[bytes]())
    return sorted(text(member) for member in raw)


async def read_length(redis: Redis, name: str) -> int:
    """Return the number of entries of a stream; 0 if there is no stream of that name."""
    return await unless_wrong_type(redis.xlen(name), 0)


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
