"""End of the session of a CSC that does not return within RESUME_WINDOW.

The CSC would then start in STANDBY, in which no Forwarder may be paired.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

from ccarchiver_core import keys
from ccarchiver_core.domain.worker_messages import SessionChanged
from ccarchiver_core.redis.retry import retry_until_available
from ccarchiver_core.store import session
from ccarchiver_core.store.transaction import Transaction

if TYPE_CHECKING:
    from ccarchiver_core.runtime.watchdog import Watchdog
    from ccarchiver_core.runtime.worker import WorkerContext

LOOK_INTERVAL = 1.0
"""Seconds between two polls; heartbeats are written once a second."""

_log = structlog.get_logger(__name__)


class OrphanedSession:
    """Task that ends a session without a CSC.

    Parameters
    ----------
    context : `WorkerContext`
        Redis client, transactions and settings.
    watch : `Watchdog`
        Source of the time for which the CSC has had no heartbeat.
    """

    def __init__(self, context: WorkerContext, watch: Watchdog) -> None:
        self._context = context
        self._watch = watch

    async def run(self) -> None:
        """Poll until cancelled."""
        while True:
            await asyncio.sleep(LOOK_INTERVAL)
            away_s = self._watch.away_for(keys.Worker.SAL)
            if away_s > self._context.settings.resume_window:
                await self._end_session(away_s)

    async def _end_session(self, away_s: float) -> None:
        current = await retry_until_available(lambda: session.read_session(self._context.redis))
        if not current.is_active:
            return
        reason = f"ccarchiver:sal has had no heartbeat for {away_s:.0f} s (RESUME_WINDOW)"
        _log.error("session.ended", session=current.id, epoch=current.epoch, reason=reason)
        transaction = Transaction()
        session.require_active(transaction, current.id)
        session.end(transaction, self._context.settings.association_key)
        changed = SessionChanged(session_id=current.id)
        transaction.enqueue(keys.Worker.BRIDGE, changed).enqueue(keys.Worker.HEALTH, changed)
        await self._context.transactions.apply(transaction)
