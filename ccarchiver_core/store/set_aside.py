"""Rename a key of a wrong type, so that its program can write it again; nothing is deleted."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ccarchiver_core import keys
from ccarchiver_core.redis.replies import transact

if TYPE_CHECKING:
    from redis.asyncio import Redis


async def set_aside(redis: Redis, key: str) -> str:
    """Rename a key, and record its new name in `keys.UNREADABLE`, as a transaction does.

    Returns
    -------
    new_name : `str`
        The new name.
    """
    place = f"{keys.UNREADABLE}:{time.time():.6f}:{key}"
    await transact(
        redis, ("RENAME", key, place), ("PERSIST", place), ("HSET", keys.UNREADABLE, key, place)
    )
    return place
