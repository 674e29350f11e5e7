"""Time that counts for a search: Redis and RabbitMQ must be available, so that it can succeed."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from redis.exceptions import RedisError

from ccarchiver_core import keys
from ccarchiver_core.redis.errors import describe
from ccarchiver_core.runtime.heartbeat import read_heartbeat

if TYPE_CHECKING:
    from collections.abc import Callable

    from ccarchiver_core.runtime.heartbeat import Heartbeat
    from ccarchiver_core.runtime.worker import WorkerContext

POLL_INTERVAL = 0.25
"""Seconds between two polls of the bridge's heartbeat."""


class SearchTime:
    """Measures the time in which Forwarders could register and answer.

    An outage of Redis or RabbitMQ does not count. After it, the time begins at 0 again: a Forwarder
    must reconnect before it can register.

    Parameters
    ----------
    context : `WorkerContext`
        Redis client and settings.
    max_outage_s : `float`
        Seconds after which an outage counts. By then the bridge or the CSC has reported it as a
        fault, or it does not affect them.
    now : callable
        Returns the monotonic time in seconds.
    """

    def __init__(
        self,
        context: WorkerContext,
        max_outage_s: float,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._context = context
        self._max_outage_s = max_outage_s
        self._now = now
        self._polled_at = now()
        self._link_since = 0.0
        self._outage_since: float | None = None
        self.elapsed_s = 0.0
        """Seconds since the search began, or since the end of the last outage."""
        self.outage = ""
        """Why no association is possible now, for the operator; empty if one is possible."""

    async def run(self) -> None:
        """Measure until cancelled."""
        while True:
            await self.poll()
            await asyncio.sleep(POLL_INTERVAL)

    async def poll(self) -> None:
        """Add the time since the last poll, unless there was an outage."""
        link_since = 0.0
        try:
            heartbeat = await read_heartbeat(self._context.redis, keys.Worker.BRIDGE)
            self.outage = _outage_of(heartbeat)
            link_since = 0.0 if heartbeat is None else heartbeat.link_since
        except (RedisError, OSError) as error:
            self.outage = f"Redis at {self._context.settings.redis_address} {describe(error)}"
        now = self._now()
        passed_s, self._polled_at = now - self._polled_at, now
        if self.outage:
            self._add_outage(now, passed_s)
        elif self._outage_since is not None or link_since != self._link_since:
            self.elapsed_s = 0.0  # the bridge has a new connection, or Redis is back
            self._outage_since = None
            self._link_since = link_since
        else:
            self.elapsed_s += passed_s

    def _add_outage(self, now: float, passed_s: float) -> None:
        if self._outage_since is None:
            self._outage_since = now
            self.elapsed_s = 0.0
        elif now - self._outage_since > self._max_outage_s:
            self.elapsed_s += passed_s


def _outage_of(bridge: Heartbeat | None) -> str:
    """Return why the bridge cannot request an association now; empty if it can."""
    if bridge is None:
        return "ccarchiver:bridge sends no heartbeat"
    if bridge.link_problem:
        return f"ccarchiver:bridge: {bridge.link_problem}"
    if not bridge.link_since:
        return "ccarchiver:bridge is not connected to RabbitMQ"
    return ""
