"""A Redis that can be read and refuses writes: the archiver stands still, and nothing else shows it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from redis.exceptions import ResponseError

if TYPE_CHECKING:
    from redis.asyncio import Redis


async def write_rejection_reason(redis: Redis) -> str:
    """Say why a Redis that can be read refuses writes; empty if it does not, as far as it tells."""
    try:
        return await _why(redis)
    except ResponseError:  # a site may keep INFO or CONFIG from this user
        return ""


async def _why(redis: Redis) -> str:
    state: dict[str, Any] = await redis.info()
    if state.get("aof_last_write_status", "ok") != "ok":
        return "it cannot write its append-only file: its disk is full or read-only; free some, it goes on by itself"
    if "min_slaves_good_slaves" in state:
        found = await redis.config_get("min-replicas-to-write")
        wanted = max((int(value or 0) for value in found.values()), default=0)
        good = int(state["min_slaves_good_slaves"])
        if good < wanted:
            return f"it has {good} of the {wanted} replicas without which it accepts nothing (min-replicas-to-write)"
    limit = int(state.get("maxmemory", 0))
    if limit and int(state.get("used_memory", 0)) > limit and state.get("maxmemory_policy") == "noeviction":
        return f"it holds more than its maxmemory of {limit} bytes; raise that, it goes on by itself"
    return ""
