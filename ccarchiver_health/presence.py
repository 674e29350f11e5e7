"""Monitoring of the paired Forwarder's presence key in Redis."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import structlog

from ccarchiver_core.base import clock
from ccarchiver_core.base.beat import next_beat
from ccarchiver_core.redis.errors import UNAVAILABLE_ERRORS

if TYPE_CHECKING:
    from redis.asyncio import Redis

POLL_INTERVAL = 1.0
"""Seconds between two polls of a key that exists; one also follows its expiry, which is known."""

MISSING_POLL_INTERVAL = 0.25
"""Seconds between two polls of a key that is missing, or whose Redis is not available."""

EXPIRY_MARGIN_S = 0.01
"""Seconds after the expiry of a key at which it is polled; Redis has a resolution of 1 ms."""

MISSING_MS = -2
"""Redis' time to live of a key that does not exist."""

MS_PER_S = 1000.0

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
        self._expires_in: float | None = None
        """Seconds until the key expires, None if it does not, as of the last poll."""
        self._is_present = False
        self._clock_jumps = clock.ClockJumpDetector()

    def reset(self) -> None:
        """Start again, for another key."""
        self._missing_since = None

    async def missing_for(self, key: str) -> float:
        """Return for how many seconds the key has been missing, 0 if it exists or Redis is down."""
        self._allow_for_clock_jump()
        self._is_present = False
        try:
            left_ms = int(await self._redis.pttl(key))
        except UNAVAILABLE_ERRORS:
            self._grace_until = time.monotonic() + RETURN_GRACE
            self.reset()
            return 0.0
        now = time.monotonic()
        self._is_present = left_ms != MISSING_MS
        self._expires_in = left_ms / MS_PER_S if left_ms >= 0 else None
        if self._is_present or now < self._grace_until:
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

    async def pause(self) -> None:
        """Wait until the next poll: that of an existing key, its expiry, or that of a missing key.

        The expiry of a key of a Forwarder that hangs is thus detected at once, although a key that
        exists is polled once a second.
        """
        if not self._is_present:
            await asyncio.sleep(MISSING_POLL_INTERVAL)
            return
        expiry = None if self._expires_in is None else self._expires_in + EXPIRY_MARGIN_S
        if expiry is not None and expiry < POLL_INTERVAL:
            await asyncio.sleep(expiry)
            return
        await next_beat(POLL_INTERVAL)
