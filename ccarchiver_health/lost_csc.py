"""Ends the session of a CSC that does not come back in time: it would start in STANDBY, so nothing may stay paired."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

from ccarchiver_core import keys, session
from ccarchiver_core.mail import SessionChanged
from ccarchiver_core.redis_client import patiently
from ccarchiver_core.step import Step

if TYPE_CHECKING:
    from ccarchiver_core.worker import WorkerContext
    from ccarchiver_core.worker_watch import WorkerWatch

LOOK_INTERVAL = 1.0
"""Seconds between two looks; heartbeats come once a second."""

_log = structlog.get_logger(__name__)


class LostCsc:
    """Ends a session that nobody leads.

    Parameters
    ----------
    context : `WorkerContext`
        Redis, steps, settings.
    watch : `WorkerWatch`
        Knows for how long the CSC has been away.
    """

    def __init__(self, context: WorkerContext, watch: WorkerWatch) -> None:
        self._context = context
        self._watch = watch

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await asyncio.sleep(LOOK_INTERVAL)
            away_s = self._watch.away_for(keys.Worker.SAL)
            if away_s > self._context.settings.resume_window:
                await self._end_session(away_s)

    async def _end_session(self, away_s: float) -> None:
        current = await patiently(lambda: session.read_session(self._context.redis))
        if not current.wanted:
            return
        why = f"ccarchiver:sal has shown no life for {away_s:.0f} s (RESUME_WINDOW)"
        _log.error("session.ended", session=current.id, epoch=current.epoch, why=why)
        step = Step()
        session.only_during(step, current.id)
        session.end(step, self._context.settings.association_key)
        changed = SessionChanged(session_id=current.id)
        step.post(keys.Worker.BRIDGE, changed).post(keys.Worker.HEALTH, changed)
        await self._context.runner.apply(step)
