"""Monitoring of the paired Forwarder's presence key in Redis."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import structlog

from ccarchiver_core.base import clock
from ccarchiver_core.redis.errors import UNAVAILABLE_ERRORS

if TYPE_CHECKING:
    from redis.asyncio import Redis

POLL_INTERVAL = 0.25
"""Seconds between two polls."""

RETURN_GRACE = 12.0
"""Seconds after an outage of Redis in which a missing key does not count.

The key expires during the outage, and its writer must reconnect before it can write it again.
"""

_log = structlog.get_logger(__name__)


class PresenceMonitor:
    """Monitor of how long a key has been missing.

    Parameters
    ----------
    redis : `redis.asyncio.Redis`
        Client of the Redis that holds the key.
    """

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._missing_since: float | None = None
        self._grace_until = 0.0
        self._clock_jumps = clock.ClockJumpDetector()

    def reset(self) -> None:
        """Start again, for another key."""
        self._missing_since = None

    async def missing_for(self, key: str) -> float:
        """Return for how many seconds the key has been missing, 0 if it exists or Redis is down."""
        self._allow_for_clock_jump()
        try:
            exists = await self._redis.exists(key)
        except UNAVAILABLE_ERRORS:
            self._grace_until = time.monotonic() + RETURN_GRACE
            self.reset()
            return 0.0
        now = time.monotonic()
        if exists or now < self._grace_until:
            self.reset()
            return 0.0
        if self._missing_since is None:
            self._missing_since = now
        return now - self._missing_since

    def _allow_for_clock_jump(self) -> None:
        """Ignore missing keys for a while after a clock jump.

        Redis expires keys by the wall clock. A jump expires them all, and their writers must write
        them again.
        """
        jumped_s = self._clock_jumps.poll()
        if jumped_s:
            _log.warning("clock.jumped", by_s=round(jumped_s))
            self._grace_until = time.monotonic() + RETURN_GRACE

    @staticmethod
    async def pause() -> None:
        """Wait until the next poll."""
        await asyncio.sleep(POLL_INTERVAL)
