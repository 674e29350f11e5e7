"""Watches the paired Forwarder's key in Redis."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import structlog

from ccarchiver_core.base import clock
from ccarchiver_core.redis.client import UNAVAILABLE_ERRORS

if TYPE_CHECKING:
    from redis.asyncio import Redis

LOOK_INTERVAL = 0.25
"""Seconds between two looks."""

RETURN_GRACE = 12.0
"""Seconds after an outage of Redis in which a key may be missing: it ended meanwhile, its writer reconnects first."""

_log = structlog.get_logger(__name__)


class PresenceWatch:
    """Tells how long a key has been missing.

    Parameters
    ----------
    redis : `redis.asyncio.Redis`
        Where the key is.
    """

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._missing_since: float | None = None
        self._grace_until = 0.0
        self._clock_steps = clock.ClockJumpDetector()

    def reset(self) -> None:
        """Begin anew, for another key."""
        self._missing_since = None

    async def missing_for(self, key: str) -> float:
        """Seconds the key has been missing; 0 if it is there, or if that cannot be told now."""
        self._allow_for_a_clock_step()
        try:
            there = await self._redis.exists(key)
        except UNAVAILABLE_ERRORS:
            self._grace_until = time.monotonic() + RETURN_GRACE
            self.reset()
            return 0.0
        now = time.monotonic()
        if there or now < self._grace_until:
            self.reset()
            return 0.0
        if self._missing_since is None:
            self._missing_since = now
        return now - self._missing_since

    def _allow_for_a_clock_step(self) -> None:
        """Redis ends keys by the wall clock: one that is stepped ends them all, and their writers write them again."""
        stepped_s = self._clock_steps.poll()
        if stepped_s:
            _log.warning("clock.jumped", by_s=round(stepped_s))
            self._grace_until = time.monotonic() + RETURN_GRACE

    @staticmethod
    async def pause() -> None:
        """Wait until the next look."""
        await asyncio.sleep(LOOK_INTERVAL)
