"""Watches the other two workers: ends one that hangs, ends the session of a CSC that does not come back."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import psutil
import structlog

from ccarchiver_core import keys, session
from ccarchiver_core.mail import SessionChanged
from ccarchiver_core.redis_client import AWAY_ERRORS
from ccarchiver_core.step import Step
from ccarchiver_core.vitals import read_vitals

if TYPE_CHECKING:
    from ccarchiver_core.vitals import Vitals
    from ccarchiver_core.worker import WorkerContext

LOOK_INTERVAL = 1.0
"""Seconds between two looks; heartbeats come once a second."""

_log = structlog.get_logger(__name__)


@dataclass
class _Watched:
    worker: keys.Worker
    last: Vitals | None = None
    beat_at: float = field(default_factory=time.monotonic)
    """When it last showed life."""
    progress_at: float = field(default_factory=time.monotonic)
    """When it last read its mailbox."""
    session_ended: bool = False


class WorkerWatch:
    """Watches heartbeats by the monotonic clock: a stepped wall clock makes nobody look dead.

    Parameters
    ----------
    context : `WorkerContext`
        Redis, steps, settings.
    """

    def __init__(self, context: WorkerContext) -> None:
        self._context = context
        self._watched = [_Watched(keys.Worker.SAL), _Watched(keys.Worker.BRIDGE)]

    async def run(self) -> None:
        """Watch until cancelled."""
        while True:
            await asyncio.sleep(LOOK_INTERVAL)
            for watched in self._watched:
                try:
                    vitals = await read_vitals(self._context.redis, watched.worker)
                except AWAY_ERRORS:
                    self._forgive()  # without Redis nobody can show life
                    break
                await self._look(watched, vitals)

    def _forgive(self) -> None:
        for watched in self._watched:
            watched.beat_at = watched.progress_at = time.monotonic()

    async def _look(self, watched: _Watched, vitals: Vitals | None) -> None:
        now = time.monotonic()
        before = watched.last
        if vitals is not None:
            same_process = before is not None and before.pid == vitals.pid
            if before is None or vitals.beat != before.beat:
                watched.beat_at, watched.session_ended = now, False
            reads = vitals.mailbox_reads  # None: its version does not tell
            if before is None or not same_process or reads is None or reads != before.mailbox_reads:
                watched.progress_at = now
            watched.last = vitals
        settings = self._context.settings
        silent_s = now - min(watched.beat_at, watched.progress_at)
        if watched.last is not None and silent_s > settings.hung_after:
            await self._end_if_hung(watched, watched.last, silent_s)
        away_s = now - watched.beat_at
        if watched.worker is keys.Worker.SAL and away_s > settings.resume_window and not watched.session_ended:
            watched.session_ended = True
            await self._end_session(away_s)

    async def _end_if_hung(self, watched: _Watched, last: Vitals, silent_s: float) -> None:
        """Kill a worker whose process is there but does nothing; supervisord starts it again."""
        watched.last = None
        watched.progress_at = time.monotonic()
        if last.host != socket.gethostname() or not _is_worker(last.pid, watched.worker):
            return
        _log.error(
            "worker.hung",
            hung_worker=str(watched.worker),
            hung_pid=last.pid,
            silent_s=round(silent_s, 1),
            action="SIGKILL",
        )
        os.kill(last.pid, signal.SIGKILL)
        await self._context.runner.apply(Step().count(f"workers_hung:{watched.worker}"))

    async def _end_session(self, silent_s: float) -> None:
        """End the session of a CSC that would start in STANDBY by now."""
        current = await session.read_session(self._context.redis)
        if not current.wanted:
            return
        why = f"ccarchiver:sal has shown no life for {silent_s:.0f} s (RESUME_WINDOW)"
        _log.error("session.ended", session=current.id, epoch=current.epoch, why=why)
        step = Step()
        session.only_during(step, current.id)
        session.end(step, self._context.settings.association_key)
        changed = SessionChanged(session_id=current.id)
        step.post(keys.Worker.BRIDGE, changed).post(keys.Worker.HEALTH, changed)
        await self._context.runner.apply(step)


def _is_worker(pid: int, worker: keys.Worker) -> bool:
    """Tell whether a process is that worker: its number may have gone to another program."""
    try:
        words = psutil.Process(pid).cmdline()
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return False
    return any(f"run_ccarchiver_{worker}" in word or f"ccarchiver_{worker}.main" in word for word in words)
