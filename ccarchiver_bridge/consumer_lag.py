"""Whether the bridge has read what came: a peer whose answer lies unread with us is not silent."""

from __future__ import annotations

import time

QUIET = 0.3
"""Seconds without anything unread after which we have caught up: RabbitMQ sends the next ones within milliseconds."""


class ConsumerLag:
    """Knows up to when everything that came has been read. Redis away, or a burst, can make that long ago."""

    def __init__(self) -> None:
        self._busy_since: float | None = None
        self._quiet_since = time.monotonic()
        self._read_until = time.monotonic()

    def busy(self) -> None:
        """Something has come and is being handled."""
        if self._busy_since is None:
            now = time.monotonic()
            if now - self._quiet_since < QUIET:  # no rest since the last: we were busy all the time
                now = self._read_until
            self._busy_since = self._read_until = now

    def quiet(self) -> None:
        """All that has come is handled."""
        if self._busy_since is not None:
            self._busy_since = None
            self._quiet_since = time.monotonic()

    @property
    def read_until(self) -> float:
        """Time (monotonic) up to which an answer that came has been read."""
        now = time.monotonic()
        if self._busy_since is None and now - self._quiet_since >= QUIET:
            return now
        return self._read_until

    @property
    def is_current(self) -> bool:
        """Whether nothing lies unread."""
        return self.read_until >= time.monotonic() - QUIET
