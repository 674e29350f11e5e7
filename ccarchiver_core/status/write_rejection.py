"""Detect a Redis that answers reads but rejects writes, which stops the archiver."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from redis.exceptions import ResponseError

if TYPE_CHECKING:
    from redis.asyncio import Redis


async def write_rejection_reason(redis: Redis) -> str:
    """Return why Redis rejects writes.

    The text is empty if Redis accepts writes, or forbids INFO or CONFIG.
    """
    try:
        return await _why(redis)
    except ResponseError:  # a site may forbid INFO or CONFIG to this user
        return ""


async def _why(redis: Redis) -> str:
    state: dict[str, Any] = await redis.info()
    if state.get("aof_last_write_status", "ok") != "ok":
        return (
            "it cannot write its append-only file: its disk is full or read-only; "
            "free disk space, then it continues by itself"
        )
    if "min_slaves_good_slaves" in state:
        found = await redis.config_get("min-replicas-to-write")
        wanted = max((int(value or 0) for value in found.values()), default=0)
        good = int(state["min_slaves_good_slaves"])
        if good < wanted:
            return (
                f"it has {good} of the {wanted} replicas that it needs to accept writes "
                "(min-replicas-to-write)"
            )
    limit = int(state.get("maxmemory", 0))
    is_full = limit and int(state.get("used_memory", 0)) > limit
    if is_full and state.get("maxmemory_policy") == "noeviction":
        return (
            f"it holds more than its maxmemory of {limit} bytes; "
            "raise maxmemory, then it continues by itself"
        )
    return ""
