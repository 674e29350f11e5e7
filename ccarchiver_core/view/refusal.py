"""A Redis that can be read and refuses writes: the archiver stands still, and nothing else shows it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from redis.exceptions import ResponseError

if TYPE_CHECKING:
    from redis.asyncio import Redis


async def why_no_writes(redis: Redis) -> str:
    """Say why a Redis that can be read refuses writes; empty if it does not, as far as it tells."""
    try:
        state: dict[str, Any] = await redis.info()
    except ResponseError:  # a site may keep INFO from this user
        return ""
    if state.get("aof_last_write_status", "ok") != "ok":
        return "it cannot write its append-only file: its disk is full or read-only; free some, it goes on by itself"
    limit = int(state.get("maxmemory", 0))
    if limit and int(state.get("used_memory", 0)) > limit and state.get("maxmemory_policy") == "noeviction":
        return f"it holds more than its maxmemory of {limit} bytes; raise that, it goes on by itself"
    return ""
