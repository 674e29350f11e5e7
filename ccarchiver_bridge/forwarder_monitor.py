"""Monitoring of the paired Forwarder over RabbitMQ: its queue must have a consumer."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import structlog

from ccarchiver_bridge.amqp.errors import AmqpError
from ccarchiver_core.base.beat import next_beat
from ccarchiver_core.base.error_codes import ErrorCode
from ccarchiver_core.domain.worker_messages import ReplaceForwarder, ReplaceReason

if TYPE_CHECKING:
    from ccarchiver_bridge.context import BridgeContext

CHECK_INTERVAL_S = 0.5
"""Seconds between two checks of the Forwarder's queue."""

CHECKS_WITHOUT_CONSUMER = 3
"""Consecutive checks without a consumer after which a Forwarder is suspect.

One check may coincide with its reconnect.
"""

RECONNECT_GRACE = 12.0
"""Seconds after the bridge's own reconnect in which the Forwarder may be reconnecting as well."""

_log = structlog.get_logger(__name__)


class ForwarderMonitor:
    """Checks the paired Forwarder's queue; health decides what follows.

    Parameters
    ----------
    bridge : `BridgeContext`
        Session and connection.
    """

    def __init__(self, bridge: BridgeContext) -> None:
        self._bridge = bridge
        self._connected_at = time.monotonic()
        self._confirmed_epoch = -1
        self._suspected_epoch = -1

    def on_connected(self) -> None:
        """Allow the Forwarder the time to reconnect that the bridge needed itself."""
        self._connected_at = time.monotonic()
        self._confirmed_epoch = -1

    def on_consumer_found(self, epoch: int) -> None:
        """Record that the Forwarder of a pairing has a consumer.

        Its loss is then detected at once, also before the first check of its queue.
        """
        self._confirmed_epoch = epoch

    async def run(self) -> None:
        """Check the paired Forwarder's queue for a consumer until cancelled."""
        missing = 0
        while True:
            await next_beat(CHECK_INTERVAL_S)
            session, connection = self._bridge.session, self._bridge.connection
            if connection is None or not session.is_paired or session.forwarder is None:
                missing = 0
                continue
            try:
                state = await connection.inspect(session.forwarder.consume_queue)
            except AmqpError:
                missing = 0
                continue
            if state is not None and state.consumers > 0:
                self._confirmed_epoch = session.epoch
                missing = 0
                continue
            may_be_reconnecting = time.monotonic() - self._connected_at < RECONNECT_GRACE
            if self._confirmed_epoch != session.epoch and may_be_reconnecting:
                continue
            missing += 1
            if missing >= CHECKS_WITHOUT_CONSUMER and self._suspected_epoch != session.epoch:
                self._suspected_epoch = session.epoch
                await self._suspect(session.forwarder.hostname, session.forwarder.consume_queue)

    async def _suspect(self, hostname: str, queue: str) -> None:
        session = self._bridge.session
        checks = CHECKS_WITHOUT_CONSUMER
        report = f"Forwarder {hostname}: its queue {queue} has had no consumer in {checks} checks"
        _log.warning(
            "forwarder.no_consumer",
            hostname=hostname,
            queue=queue,
            session=session.id,
            epoch=session.epoch,
        )
        suspect = ReplaceForwarder(
            session_id=session.id,
            epoch=session.epoch,
            reason=ReplaceReason.NO_CONSUMER,
            code=ErrorCode.FORWARDER_GONE,
            report=report,
        )
        await self._bridge.suspect(suspect)
