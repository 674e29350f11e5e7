"""Watchdog for workers that hang: health watches bridge and CSC, the bridge watches health."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import psutil
import structlog

from ccarchiver_core.base.beat import next_beat
from ccarchiver_core.base.host import host_name
from ccarchiver_core.redis.errors import UNAVAILABLE_ERRORS
from ccarchiver_core.redis.replies import read_string
from ccarchiver_core.redis.retry import retry_until_available
from ccarchiver_core.runtime.heartbeat import read_heartbeats
from ccarchiver_core.runtime.lease import parse_holder
from ccarchiver_core.store.transaction import Transaction

if TYPE_CHECKING:
    from ccarchiver_core import keys
    from ccarchiver_core.runtime.heartbeat import Heartbeat
    from ccarchiver_core.runtime.worker import WorkerContext

POLL_INTERVAL = 1.0
"""Seconds between two polls; workers write their heartbeats once a second."""

STALE_POLL_S = 5.0
"""Seconds by which a poll may be late.

After a longer delay, this process or the whole machine was suspended. The watchdog could not
observe the other workers during that time, so it resets their timers.
"""

_log = structlog.get_logger(__name__)


@dataclass
class _Watched:
    last: Heartbeat | None = None
    heartbeat_at: float = field(default_factory=time.monotonic)
    """Time of its last heartbeat, by the monotonic clock."""
    progress_at: float = field(default_factory=time.monotonic)
    """Time at which it last read its mailbox or handled a message."""
    missing_s: float = 0.0
    """Seconds without a heartbeat, as of the last poll."""

    def reset(self) -> None:
        """Restart the timers of this worker."""
        self.missing_s = 0.0
        self.heartbeat_at = self.progress_at = time.monotonic()


class Watchdog:
    """Kills workers whose heartbeat or mailbox makes no progress for WATCHDOG_TIMEOUT.

    It measures time by the monotonic clock, so a jump of the wall clock has no effect. While Redis
    is unavailable or read-only, no worker can write a heartbeat. That time does not count, so that
    two workers that watch each other do not kill each other.

    Parameters
    ----------
    context : `WorkerContext`
        Redis, settings and heartbeat of the worker that runs the watchdog.
    workers : `Worker`
        The workers to watch.
    """

    def __init__(self, context: WorkerContext, *workers: keys.Worker) -> None:
        self._context = context
        self._watched = {worker: _Watched() for worker in workers}
        self._polled_at = time.monotonic()

    def missing_for(self, worker: keys.Worker) -> float:
        """Return the seconds without a heartbeat of a watched worker, as of the last poll."""
        return self._watched[worker].missing_s

    async def run(self) -> None:
        """Poll until cancelled."""
        self._polled_at = time.monotonic()
        while True:
            await next_beat(POLL_INTERVAL)
            await self._poll()

    async def _poll(self) -> None:
        now = time.monotonic()
        late_s, self._polled_at = now - self._polled_at - POLL_INTERVAL, now
        try:
            heartbeat = await read_heartbeats(self._context.redis, self._watched)
        except UNAVAILABLE_ERRORS:
            self._reset_all()
            return
        if late_s > STALE_POLL_S or not self._context.heartbeat.is_published:
            self._reset_all()
        for worker, watched in self._watched.items():
            self._record(watched, heartbeat[worker])
            watched.missing_s = now - watched.heartbeat_at
            silent_s = now - min(watched.heartbeat_at, watched.progress_at)
            if watched.last is not None and silent_s > self._context.settings.watchdog_timeout:
                await self._end_if_hung(worker, watched, watched.last, silent_s)

    def _reset_all(self) -> None:
        for watched in self._watched.values():
            watched.reset()

    @staticmethod
    def _record(watched: _Watched, heartbeat: Heartbeat | None) -> None:
        if heartbeat is None:
            return
        now, before = time.monotonic(), watched.last
        is_same_process = before is not None and before.pid == heartbeat.pid
        if before is None or heartbeat.written_at != before.written_at:
            watched.heartbeat_at = now
        progress = heartbeat.mailbox_progress  # None: its version does not send it
        if (
            before is None
            or not is_same_process
            or progress is None
            or progress != before.mailbox_progress
        ):
            watched.progress_at = now
        watched.last = heartbeat

    async def _end_if_hung(
        self, worker: keys.Worker, watched: _Watched, last: Heartbeat, silent_s: float
    ) -> None:
        """Kill a worker whose process exists but hangs; supervisord starts it again."""
        watched.last = None
        watched.progress_at = time.monotonic()
        if last.host != host_name():
            await self._revoke(worker, last, silent_s)
            return
        if not _is_worker(last.pid, worker):
            return
        _log.error(
            "worker.hung",
            effect="images wait until the worker runs again",
            hung_worker=str(worker),
            hung_pid=last.pid,
            silent_s=round(silent_s, 1),
            action="SIGKILL",
        )
        os.kill(last.pid, signal.SIGKILL)
        await self._context.transactions.apply(Transaction().count(f"watchdog_kills:{worker}"))

    async def _revoke(self, worker: keys.Worker, last: Heartbeat, silent_s: float) -> None:
        """Revoke the lease of a worker that hangs on another host.

        Its process is out of reach of a signal, but exits when it fails to renew the lease.
        """
        held = await retry_until_available(lambda: read_string(self._context.redis, worker.lease))
        holder = (parse_holder(worker, held) if held else None) or {}
        if (holder.get("host"), holder.get("pid")) != (last.host, last.pid):
            return  # its lease has expired, or a successor holds it
        _log.error(
            "worker.hung",
            effect="images wait until the worker runs again",
            hung_worker=str(worker),
            hung_pid=last.pid,
            host=last.host,
            silent_s=round(silent_s, 1),
            action="its lease is revoked",
        )
        transaction = (
            Transaction().require(worker.lease, "", held).command("INCR", worker.fencing_token)
        )
        await self._context.transactions.apply(transaction.count(f"watchdog_kills:{worker}"))


def _is_worker(pid: int, worker: keys.Worker) -> bool:
    """Return whether a process is that worker; another program may have its process id by now."""
    try:
        words = psutil.Process(pid).cmdline()
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return False
    return any(
        f"run_ccarchiver_{worker}" in word or f"ccarchiver_{worker}.main" in word for word in words
    )
