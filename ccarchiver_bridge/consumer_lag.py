"""Whether the bridge has read every message that arrived.

A peer whose acknowledgement is among the unread messages is not silent.
"""

from __future__ import annotations

import time

QUIET = 0.3
"""Seconds without unread messages after which the bridge has caught up.

RabbitMQ sends the next deliveries within milliseconds.
"""


class ConsumerLag:
    """Time up to which the bridge has read every message that arrived.

    During a burst, or while Redis is unavailable, that time can be long ago.
    """

    def __init__(self) -> None:
        self._busy_since: float | None = None
        self._quiet_since = time.monotonic()
        self._read_until = time.monotonic()

    def busy(self) -> None:
        """Record that messages have arrived and are being handled."""
        if self._busy_since is None:
            now = time.monotonic()
            if now - self._quiet_since < QUIET:  # no pause: the bridge has been busy
                now = self._read_until
            self._busy_since = self._read_until = now

    def quiet(self) -> None:
        """Record that every message that arrived has been handled."""
        if self._busy_since is not None:
            self._busy_since = None
            self._quiet_since = time.monotonic()

    @property
    def read_until(self) -> float:
        """Monotonic time up to which every acknowledgement that arrived has been read."""
        now = time.monotonic()
        if self._busy_since is None and now - self._quiet_since >= QUIET:
            return now
        return self._read_until

    @property
    def is_current(self) -> bool:
        """Whether no message is unread."""
        return self.read_until >= time.monotonic() - QUIET
