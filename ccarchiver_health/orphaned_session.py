"""End of the session of a CSC that does not return within RESUME_WINDOW.

The CSC would then start in STANDBY, in which no Forwarder may be paired.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from ccarchiver_core import keys
from ccarchiver_core.base.beat import next_beat
from ccarchiver_core.domain.worker_messages import SessionChanged
from ccarchiver_core.redis.retry import retry_until_available
from ccarchiver_core.store import session
from ccarchiver_core.store.transaction import Transaction

if TYPE_CHECKING:
    from ccarchiver_core.runtime.watchdog import Watchdog
    from ccarchiver_core.runtime.worker import WorkerContext

POLL_INTERVAL = 1.0
"""Seconds between two polls; heartbeats are written once a second."""

_log = structlog.get_logger(__name__)


class OrphanedSession:
    """Task that ends a session without a CSC.

    Parameters
    ----------
    context : `WorkerContext`
        Redis client, transactions and settings.
    watchdog : `Watchdog`
        Source of the time for which the CSC has had no heartbeat.
    """

    def __init__(self, context: WorkerContext, watchdog: Watchdog) -> None:
        self._context = context
        self._watchdog = watchdog

    async def run(self) -> None:
        """Poll until cancelled."""
        while True:
            await next_beat(POLL_INTERVAL)
            missing_s = self._watchdog.missing_for(keys.Worker.SAL)
            if missing_s > self._context.settings.resume_window:
                await self._end_session(missing_s)

    async def _end_session(self, missing_s: float) -> None:
        current = await retry_until_available(lambda: session.read_session(self._context.redis))
        if not current.is_active:
            return
        reason = f"ccarchiver:sal has had no heartbeat for {missing_s:.0f} s (RESUME_WINDOW)"
        _log.error(
            "session.ended",
            effect="no image is archived until the CSC is started again",
            session=current.id,
            epoch=current.epoch,
            reason=reason,
        )
        transaction = Transaction()
        session.require_active(transaction, current.id)
        session.end(transaction, self._context.settings.association_key)
        changed = SessionChanged(session_id=current.id)
        transaction.enqueue(keys.Worker.BRIDGE, changed).enqueue(keys.Worker.HEALTH, changed)
        await self._context.transactions.apply(transaction)
