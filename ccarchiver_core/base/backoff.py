"""Waiting between tries for something outside: short at first, then longer, never too long."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

FIRST = 0.05
"""Seconds before the second try: most hiccups are shorter than a restart."""

LONGEST = 1.0
"""Seconds between later tries: a broker that is back is found within one, and 60 tries a minute burden nobody."""

LOG_EVERY = 10.0
"""Seconds between two log lines about the same wait."""


class Backoff:
    """Delays of one wait; make a new one for each."""

    def __init__(self, longest: float = LONGEST) -> None:
        self._delay = FIRST
        self._longest = longest
        self._logged = -LOG_EVERY
        self._since = time.monotonic()

    async def wait(self, log: FilteringBoundLogger, event: str, **facts: object) -> None:
        """Sleep for the next delay; say why in the log, but not at every try."""
        now = time.monotonic()
        if now - self._logged >= LOG_EVERY:
            self._logged = now
            log.warning(event, waiting_s=round(now - self._since, 1), **facts)
        await asyncio.sleep(self._delay)
        self._delay = min(self._delay * 2, self._longest)
