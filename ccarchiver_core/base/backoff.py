"""Delays between attempts to reach an external service: short at first, then longer, bounded."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

FIRST = 0.05
"""Seconds before the second attempt; most short problems are over by then."""

LONGEST = 1.0
"""Maximum of seconds between two attempts.

A broker that is available again is found within a second, and 60 attempts a minute are no load.
"""

LOG_EVERY = 10.0
"""Seconds between two log lines about the same wait."""


class Backoff:
    """Delays of one wait; use a new instance for each wait."""

    def __init__(self, longest: float = LONGEST) -> None:
        self._delay = FIRST
        self._longest = longest
        self._logged = -LOG_EVERY
        self._since = time.monotonic()

    async def wait(self, log: FilteringBoundLogger, event: str, **facts: object) -> None:
        """Sleep for the next delay; log the reason, at most once in `LOG_EVERY` seconds."""
        now = time.monotonic()
        if now - self._logged >= LOG_EVERY:
            self._logged = now
            log.warning(event, waiting_s=round(now - self._since, 1), **facts)
        await asyncio.sleep(self._delay)
        self._delay = min(self._delay * 2, self._longest)
