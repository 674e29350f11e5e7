"""Monitor of what the CSC depends on: Redis and the other two workers.

A short outage is logged, a long one is a fault.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from redis.exceptions import RedisError

from ccarchiver_core import keys
from ccarchiver_core.base import clock
from ccarchiver_core.base.beat import next_beat
from ccarchiver_core.base.error_codes import ErrorCode
from ccarchiver_core.redis.errors import describe
from ccarchiver_core.runtime.heartbeat import TTL, read_heartbeats
from ccarchiver_sal import saved_state

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable

    from ccarchiver_core.runtime.heartbeat import Heartbeat
    from ccarchiver_core.runtime.worker import WorkerContext

INTERVAL = 1.0
"""Seconds between two checks."""

NOTICE_AFTER = 2.0
"""Seconds of an outage before it is logged; a heartbeat itself outlives its worker by ten."""

REDIS = "Redis"


class DependencyMonitor:
    """Monitor of Redis and of the other workers' heartbeats, by the monotonic clock.

    Parameters
    ----------
    context : `WorkerContext`
        Redis and settings.
    log : `logging.Logger`
        The CSC's logger: operators see its lines as logMessage events.
    is_enabled : callable
        Returns whether images are accepted now.
    fault : callable
        Called with code and report at each check while an outage is too long.
    """

    def __init__(
        self,
        context: WorkerContext,
        log: logging.Logger,
        is_enabled: Callable[[], bool],
        fault: Callable[[ErrorCode, str], None],
    ) -> None:
        self._context = context
        self._log = log
        self._is_enabled = is_enabled
        self._fault = fault
        self._unavailable_since: dict[str, float] = {}
        self._logged: set[str] = set()
        self._degraded_reasons: dict[str, str] = {}
        self._last_heartbeats: dict[str, tuple[float, float]] = {}
        self._clock_jumps = clock.ClockJumpDetector()

    def absent_for(self, name: str) -> float:
        """Return for how many seconds Redis or a worker has been unavailable; 0 if it is not."""
        since = self._unavailable_since.get(name)
        return 0.0 if since is None else time.monotonic() - since

    async def run(self) -> None:
        """Check every INTERVAL until cancelled."""
        settings = self._context.settings
        while True:
            await next_beat(INTERVAL)
            self._log_clock_jump()
            try:
                await saved_state.write_alive(self._context.redis)
                workers = await read_heartbeats(
                    self._context.redis, (keys.Worker.BRIDGE, keys.Worker.HEALTH)
                )
            except (RedisError, OSError) as error:
                self._update(REDIS, is_available=False, reason=describe(error))
                if self.absent_for(REDIS) > settings.broker_outage_limit:
                    self._fault(
                        ErrorCode.NO_FORWARDER,
                        f"Redis at {settings.redis_address} {describe(error)} "
                        f"(for {self.absent_for(REDIS):.0f} s)",
                    )
                continue
            self._update(REDIS, is_available=True)
            for name, heartbeat in workers.items():
                self._update(
                    name, is_available=heartbeat is not None and self._is_alive(name, heartbeat)
                )
                self._log_degraded(name, "" if heartbeat is None else heartbeat.degraded_reason)
                if self.absent_for(name) > settings.worker_outage_limit:
                    code = (
                        ErrorCode.NO_RABBITMQ
                        if name == keys.Worker.BRIDGE
                        else ErrorCode.NO_FORWARDER
                    )
                    self._fault(
                        code,
                        f"worker ccarchiver:{name} has been unavailable for "
                        f"{self.absent_for(name):.0f} s; "
                        f"check it with: supervisorctl status ccarchiver:{name}",
                    )

    def _log_degraded(self, name: str, reason: str) -> None:
        if reason == self._degraded_reasons.get(name, ""):
            return
        self._degraded_reasons[name] = reason
        if reason:
            self._log.warning("degraded: ccarchiver:%s: %s%s", name, reason, self._reassurance())
        else:
            self._log.info("ccarchiver:%s is no longer degraded", name)

    def _reassurance(self) -> str:
        return "; images are still accepted" if self._is_enabled() else ""

    def _is_alive(self, name: str, heartbeat: Heartbeat) -> bool:
        """Return whether a worker is alive.

        Its key may outlive it: Redis expires keys by its wall clock, which may be set back.
        """
        now = time.monotonic()
        last_written_at, seen_at = self._last_heartbeats.get(name, (0.0, now))
        if heartbeat.written_at != last_written_at:
            self._last_heartbeats[name] = (heartbeat.written_at, now)
            return True
        return now - seen_at <= TTL

    def _log_clock_jump(self) -> None:
        jumped_s = self._clock_jumps.poll()
        if jumped_s:
            self._log.warning(
                "this machine's clock jumped by %+.0f s; no data is lost%s",
                jumped_s,
                self._reassurance(),
            )

    def _update(self, name: str, *, is_available: bool, reason: str = "is unavailable") -> None:
        if is_available:
            self._unavailable_since.pop(name, None)
            if name in self._logged:
                self._logged.discard(name)
                self._log.info("%s is available again", name)
            return
        self._unavailable_since.setdefault(name, time.monotonic())
        if name not in self._logged and self.absent_for(name) >= NOTICE_AFTER:
            self._logged.add(name)
            self._log.warning("degraded: %s %s%s", name, reason, self._reassurance())
