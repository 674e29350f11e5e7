"""The scan of the camera's images by the paired Forwarder: SCAN and its answer.

A Forwarder handles one message at a time. While it scans it acknowledges nothing, so the deadlines
of its acknowledgements are suspended.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import structlog

from ccarchiver_bridge.amqp.errors import AmqpError
from ccarchiver_core import keys
from ccarchiver_core.base import failpoint
from ccarchiver_core.base.clock import unix_time
from ccarchiver_core.domain.worker_messages import ScanAnswered
from ccarchiver_core.redis.retry import retry_until_available
from ccarchiver_core.store import scans
from ccarchiver_core.store.scans import ScanState, read_scan
from ccarchiver_core.store.transaction import Transaction

if TYPE_CHECKING:
    from ccarchiver_bridge.context import BridgeContext
    from ccarchiver_bridge.pending_acks import PendingAcks
    from ccarchiver_core.domain.worker_messages import ScanForwarder
    from ccarchiver_core.store.scans import Scan

MAX_ANSWERS = 10
"""Answers to one scan that health is notified of; a defective peer must not fill its mailbox."""

_log = structlog.get_logger(__name__)


class ForwarderScan:
    """Sends SCAN and notifies health of the answer; health decides when, and uses the names.

    Parameters
    ----------
    bridge : `BridgeContext`
        Session and connection.
    pending : `PendingAcks`
        Acknowledgements that the bridge expects.
    """

    def __init__(self, bridge: BridgeContext, pending: PendingAcks) -> None:
        self._bridge = bridge
        self._pending_acks = pending
        self._queue = ""
        self._answers = 0
        self._is_sending = False
        self._is_answered_early = False
        """Whether the answer arrived before the scan was recorded as sent."""

    async def load(self) -> None:
        """Suspend the deadlines again if an earlier process of this bridge has sent a scan."""
        scan = await retry_until_available(lambda: read_scan(self._bridge.redis))
        left_s = scan.sent_at + self._bridge.settings.scan_timeout - time.time()
        if scan.state is ScanState.SENT and left_s > 0:
            # The wall clock may have been set back meanwhile.
            self._suspend(scan.queue, min(left_s, self._bridge.settings.scan_timeout))

    async def request(self, message: ScanForwarder) -> None:
        """Send SCAN to the paired Forwarder, unless it is busy; safe to repeat."""
        session = self._bridge.session
        scan = await retry_until_available(lambda: read_scan(self._bridge.redis))
        if scan.number != message.number or scan.state is not ScanState.REQUESTED:
            return
        is_current = (message.session_id, message.epoch) == (session.id, session.epoch)
        if not is_current or not session.is_paired or session.forwarder is None:
            await self._record(scan, state=ScanState.NOT_SENT)
            return
        queue = session.forwarder.consume_queue
        if not self._bridge.can_publish or self._pending_acks.is_expected_from(queue):
            await self._record(scan, state=ScanState.NOT_SENT)
            return
        self._suspend(queue, self._bridge.settings.scan_timeout)
        self._is_sending, self._is_answered_early = True, False
        try:
            failpoint.hit("bridge.before_scan")
            await self._bridge.publish_once(
                queue,
                self._bridge.writer.scan(keys.scan_names(scan.number)).body(),
                message_id=f"{session.id}_scan_{scan.number}",
                # A Forwarder that is not there now must not scan when it returns in the night.
                expire_s=self._bridge.settings.scan_timeout,
            )
            failpoint.hit("bridge.after_scan")
        except AmqpError as error:
            self._is_sending = False
            self._pending_acks.resume(queue)
            _log.warning("scan.not_sent", queue=queue, error=str(error))
            await self._record(scan, state=ScanState.NOT_SENT)
            return
        await self._record(scan, state=ScanState.SENT, sent_at=unix_time())
        self._is_sending = False
        if self._is_answered_early:
            await self._bridge.transactions.apply(
                Transaction().enqueue(keys.Worker.HEALTH, ScanAnswered())
            )
        _log.info("scan.sent", number=scan.number, queue=queue, epoch=session.epoch)

    def on_answer(self, transaction: Transaction) -> None:
        """Add the notification of health to a transaction, and resume the deadlines."""
        self._pending_acks.resume(self._queue)
        self._answers += 1
        if self._is_sending:
            # Health would not expect an answer to a scan that is not recorded as sent.
            self._is_answered_early = True
        elif self._answers <= MAX_ANSWERS:
            transaction.enqueue(keys.Worker.HEALTH, ScanAnswered())
        else:
            transaction.count("scan_answers_ignored")

    def _suspend(self, queue: str, limit_s: float) -> None:
        self._queue, self._answers = queue, 0
        self._pending_acks.suspend(queue, limit_s)

    async def _record(self, scan: Scan, *, state: ScanState, sent_at: float = 0.0) -> None:
        transaction = Transaction()
        scans.write(transaction, scan, state=state, sent_at=sent_at)
        await self._bridge.transactions.apply(transaction)
