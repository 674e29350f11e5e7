"""The association with a Forwarder: ASSOCIATED, its acknowledgement, and the result for health."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from ccarchiver_bridge.amqp.errors import AmqpError
from ccarchiver_bridge.queue_purge import purge
from ccarchiver_core import keys
from ccarchiver_core.base import failpoint
from ccarchiver_core.domain.exposure import ack_number
from ccarchiver_core.domain.instruction_limits import MAX_SENDS
from ccarchiver_core.domain.pending_ack import PendingAck
from ccarchiver_core.domain.worker_messages import AssociationOutcome, AssociationResult
from ccarchiver_core.store import pending_acks
from ccarchiver_core.store.transaction import Transaction

if TYPE_CHECKING:
    from ccarchiver_bridge.context import BridgeContext
    from ccarchiver_bridge.forwarder_monitor import ForwarderMonitor
    from ccarchiver_bridge.messages.incoming import AssociatedAck
    from ccarchiver_bridge.pending_acks import PendingAcks
    from ccarchiver_core.domain.worker_messages import AssociateForwarder

ASSOCIATED_DIGIT = 0
"""Last digit of ASSOCIATED's ACK_ID number."""

_log = structlog.get_logger(__name__)


class Association:
    """Requests the association that health has chosen; health decides what follows.

    Parameters
    ----------
    bridge : `BridgeContext`
        Session and connection.
    pending : `PendingAcks`
        Acknowledgements that the bridge expects.
    monitor : `ForwarderMonitor`
        Is notified of a Forwarder that has a consumer.
    """

    def __init__(
        self, bridge: BridgeContext, pending: PendingAcks, monitor: ForwarderMonitor
    ) -> None:
        self._bridge = bridge
        self._pending_acks = pending
        self._monitor = monitor
        self._requested: AssociateForwarder | None = None

    async def retry(self) -> None:
        """Send ASSOCIATED if it could not be sent yet; safe to repeat."""
        if (
            self._requested is not None
            and self._pending_acks.find(self._ack_id(self._requested)) is None
        ):
            await self._request()

    async def request(self, message: AssociateForwarder) -> None:
        """Send ASSOCIATED to a Forwarder that health has chosen; safe to repeat.

        Without a connection, it is sent when the next one opens.
        """
        session = self._bridge.session
        if (
            message.session_id != session.id
            or not session.is_active
            or message.epoch != session.epoch
        ):
            return
        self._requested = message
        if (
            self._bridge.connection is not None
            and self._pending_acks.find(self._ack_id(message)) is None
        ):
            await self._request()

    async def resend(self, late: PendingAck) -> None:
        """Send ASSOCIATED again with the same ACK_ID."""
        await self._publish(late.model_copy(update={"sends": late.sends + 1}))

    async def on_accepted(self, pending: PendingAck, ack: AssociatedAck) -> None:
        """Notify health that the Forwarder has accepted the association."""
        await self._reply(pending, AssociationOutcome.ASSOCIATED, presence_key=ack.ASSOCIATION_KEY)

    async def on_silent(self, pending: PendingAck) -> None:
        """Notify health that the Forwarder did not answer."""
        detail = f"ASSOCIATED was sent {MAX_SENDS} times to queue {pending.queue} and not answered"
        await self._reply(pending, AssociationOutcome.SILENT, detail=detail)

    @staticmethod
    def _ack_id(message: AssociateForwarder) -> str:
        return f"{message.session_id}_{ack_number(0, message.epoch, ASSOCIATED_DIGIT)}"

    async def _request(self) -> None:
        message, connection = self._requested, self._bridge.connection
        if message is None or connection is None:
            return
        queue = message.forwarder.consume_queue
        pending = PendingAck(
            ack_id=self._ack_id(message),
            session_id=message.session_id,
            epoch=message.epoch,
            queue=queue,
        )
        try:
            state = await connection.declare(queue)
        except AmqpError as error:
            if connection.blocked_reason:
                return  # it is requested again when the block ends
            if self._bridge.connection is connection and not connection.closed.done():
                await self._reply(
                    pending,
                    AssociationOutcome.DECLINED,
                    detail=f"queue {queue} cannot be declared: {error}",
                )
            return
        if state.consumers == 0:
            detail = f"queue {queue} has no consumer"
            try:
                await purge(connection, queue)
            except AmqpError as error:
                _log.warning("queue.not_purged", queue=queue, error=str(error))
                detail = f"{detail} and cannot be purged: {error}"
            await self._reply(pending, AssociationOutcome.NO_CONSUMER, detail=detail)
            return
        self._monitor.on_consumer_found(message.epoch)
        await self._publish(pending)

    async def _publish(self, pending: PendingAck) -> None:
        if self._bridge.connection is None:
            return
        self._pending_acks.expect(pending)
        try:
            failpoint.hit("bridge.before_associated")
            with structlog.contextvars.bound_contextvars(**pending.log_keys):
                await self._bridge.publish_once(
                    pending.queue,
                    self._bridge.writer.associated(pending.ack_id).body(),
                    message_id=pending.ack_id,
                )
            failpoint.hit("bridge.after_associated")
        except AmqpError as error:
            self._pending_acks.forget(pending.ack_id)
            _log.warning(
                "association.waiting", queue=pending.queue, **pending.log_keys, error=str(error)
            )
            if self._bridge.can_publish:
                detail = f"ASSOCIATED to queue {pending.queue} cannot be sent: {error}"
                await self._reply(pending, AssociationOutcome.DECLINED, detail=detail)
            return
        transaction = Transaction()
        pending_acks.record(transaction, pending)
        await self._bridge.transactions.apply(transaction)
        _log.info("association.requested", queue=pending.queue, **pending.log_keys)

    async def _reply(
        self,
        pending: PendingAck,
        reply: AssociationOutcome,
        *,
        presence_key: str = "",
        detail: str = "",
    ) -> None:
        transaction = Transaction()
        pending_acks.remove(transaction, pending.ack_id)
        transaction.enqueue(
            keys.Worker.HEALTH,
            AssociationResult(
                session_id=pending.session_id,
                epoch=pending.epoch,
                result=reply,
                presence_key=presence_key,
                detail=detail,
            ),
        )
        await self._bridge.transactions.apply(transaction)
        self._pending_acks.forget(pending.ack_id)
        if self._requested is not None and self._ack_id(self._requested) == pending.ack_id:
            self._requested = None
