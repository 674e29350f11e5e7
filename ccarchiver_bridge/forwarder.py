"""The Forwarder as RabbitMQ shows it: asking one to associate, seeing whether it consumes, emptying its queue."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import structlog

from ccarchiver_bridge import pending_acks as owed_answers
from ccarchiver_bridge.amqp.errors import AmqpError, UnroutableError
from ccarchiver_bridge.pending_acks import MAX_SENDS, PendingAck
from ccarchiver_core import keys
from ccarchiver_core.base import failpoint
from ccarchiver_core.base.error_codes import ErrorCode
from ccarchiver_core.domain.exposure import ack_number
from ccarchiver_core.domain.worker_messages import (
    AssociationOutcome,
    AssociationResult,
    ReplaceForwarder,
    ReplaceReason,
)
from ccarchiver_core.redis.client import read_set, retry_until_available
from ccarchiver_core.store.transaction import Transaction

if TYPE_CHECKING:
    from ccarchiver_bridge.amqp.connection import AmqpConnection
    from ccarchiver_bridge.context import BridgeContext
    from ccarchiver_bridge.messages.incoming import AssociatedAck
    from ccarchiver_bridge.pending_acks import PendingAcks
    from ccarchiver_core.domain.worker_messages import AssociateForwarder

ASSOCIATED_DIGIT = 0
"""Last digit of ASSOCIATED's ACK_ID number."""

LOOK_INTERVAL = 0.5
"""Seconds between two looks at the Forwarder's queue."""

LOOKS_WITHOUT_CONSUMER = 3
"""Looks in a row without a consumer after which a Forwarder is suspect: one look may fall into its reconnect."""

RECONNECT_GRACE = 12.0
"""Seconds after our own reconnect in which a Forwarder without a consumer may be reconnecting as well."""

_log = structlog.get_logger(__name__)


class ForwarderWatch:
    """Pairing and watching by way of RabbitMQ; health decides what it means.

    Parameters
    ----------
    hub, owed
        Session and link; where the answers are expected.
    """

    def __init__(self, bridge: BridgeContext, pending: PendingAcks) -> None:
        self._bridge = bridge
        self._pending_acks = pending
        self._asked: AssociateForwarder | None = None
        self._connected_at = time.monotonic()
        self._seen_epoch = -1
        self._suspected_epoch = -1

    async def link_opened(self) -> None:
        """Do what had to wait for the connection."""
        self._connected_at = time.monotonic()
        self._seen_epoch = -1
        await self.purge_lost()
        if self._asked is not None and self._pending_acks.find(self._ack_id(self._asked)) is None:
            await self._ask()

    async def ask(self, message: AssociateForwarder) -> None:
        """Send ASSOCIATED to a Forwarder that health has chosen; waits for the link if there is none. Repeatable."""
        session = self._bridge.session
        if message.session_id != session.id or not session.is_active or message.epoch != session.epoch:
            return
        self._asked = message
        if self._bridge.link is not None and self._pending_acks.find(self._ack_id(message)) is None:
            await self._ask()

    async def ask_again(self, late: PendingAck) -> None:
        """Send ASSOCIATED once more with the same ACK_ID."""
        await self._publish(late.model_copy(update={"sends": late.sends + 1}))

    async def associated(self, pending: PendingAck, ack: AssociatedAck) -> None:
        """Tell health that the Forwarder took the pairing."""
        await self._reply(pending, AssociationOutcome.ASSOCIATED, presence_key=ack.ASSOCIATION_KEY)

    async def silent(self, pending: PendingAck) -> None:
        """Tell health that the Forwarder did not answer."""
        detail = f"ASSOCIATED was sent {MAX_SENDS} times to queue {pending.queue} and not answered"
        await self._reply(pending, AssociationOutcome.SILENT, detail=detail)

    async def purge_lost(self) -> None:
        """Empty lost Forwarders' queues, so that nobody who serves one next gets old orders. Safe to repeat.

        What cannot be done without a connection is done when there is one.
        """
        link, forwarder = self._bridge.link, self._bridge.session.forwarder
        names = await retry_until_available(lambda: read_set(self._bridge.redis, keys.QUEUES_TO_PURGE))
        for queue in names:
            if link is None:
                return
            if forwarder is None or forwarder.consume_queue != queue:
                try:
                    await self._purge(link, queue)
                except AmqpError as error:
                    _log.warning("queue.not_purged", queue=queue, error=str(error))
                    return
            await self._bridge.runner.apply(Transaction().command("SREM", keys.QUEUES_TO_PURGE, queue))

    @staticmethod
    async def _purge(link: AmqpConnection, queue: str) -> None:
        if await link.inspect(queue) is None:
            return
        count = await link.purge(queue)
        if count:
            _log.info("queue.purged", queue=queue, messages=count)

    async def watch(self) -> None:
        """Look for the paired Forwarder's consumer until cancelled."""
        missing = 0
        while True:
            await asyncio.sleep(LOOK_INTERVAL)
            session, link = self._bridge.session, self._bridge.link
            if link is None or not session.is_paired or session.forwarder is None:
                missing = 0
                continue
            try:
                state = await link.inspect(session.forwarder.consume_queue)
            except AmqpError:
                missing = 0
                continue
            if state is not None and state.consumers > 0:
                self._seen_epoch = session.epoch
                missing = 0
                continue
            may_be_reconnecting = time.monotonic() - self._connected_at < RECONNECT_GRACE
            if self._seen_epoch != session.epoch and may_be_reconnecting:
                continue
            missing += 1
            if missing >= LOOKS_WITHOUT_CONSUMER and self._suspected_epoch != session.epoch:
                self._suspected_epoch = session.epoch
                await self._suspect(session.forwarder.hostname, session.forwarder.consume_queue)

    async def _suspect(self, hostname: str, queue: str) -> None:
        session = self._bridge.session
        report = f"Forwarder {hostname}: its queue {queue} has had no consumer for {LOOKS_WITHOUT_CONSUMER} looks"
        _log.warning("forwarder.no_consumer", hostname=hostname, queue=queue, session=session.id, epoch=session.epoch)
        suspect = ReplaceForwarder(
            session_id=session.id,
            epoch=session.epoch,
            reason=ReplaceReason.NO_CONSUMER,
            code=ErrorCode.FORWARDER_GONE,
            report=report,
        )
        await self._bridge.suspect(suspect)

    @staticmethod
    def _ack_id(message: AssociateForwarder) -> str:
        return f"{message.session_id}_{ack_number(0, message.epoch, ASSOCIATED_DIGIT)}"

    async def _ask(self) -> None:
        message, link = self._asked, self._bridge.link
        if message is None or link is None:
            return
        queue = message.forwarder.consume_queue
        pending = PendingAck(
            ack_id=self._ack_id(message), session_id=message.session_id, epoch=message.epoch, queue=queue
        )
        try:
            state = await link.declare(queue)
        except AmqpError as error:
            if self._bridge.link is link and not link.closed.done():
                await self._reply(
                    pending, AssociationOutcome.DECLINED, detail=f"queue {queue} cannot be declared: {error}"
                )
            return
        if state.consumers == 0:
            await self._purge(link, queue)
            await self._reply(pending, AssociationOutcome.NO_CONSUMER, detail=f"nobody consumes queue {queue}")
            return
        self._seen_epoch = message.epoch  # its death is seen from now on, also before the first look at its queue
        await self._publish(pending)

    async def _publish(self, pending: PendingAck) -> None:
        link = self._bridge.link
        if link is None:
            return
        self._pending_acks.expect(pending)
        try:
            failpoint.hit("bridge.before_associated")
            await link.publish(
                pending.queue, self._bridge.writer.associated(pending.ack_id).body(), message_id=pending.ack_id
            )
            failpoint.hit("bridge.after_associated")
        except (AmqpError, UnroutableError) as error:
            self._pending_acks.forget(pending.ack_id)
            _log.warning("association.waiting", queue=pending.queue, **pending.log_keys, error=str(error))
            return
        transaction = Transaction()
        owed_answers.record(transaction, pending)
        await self._bridge.runner.apply(transaction)
        _log.info("association.requested", queue=pending.queue, **pending.log_keys)

    async def _reply(
        self, pending: PendingAck, reply: AssociationOutcome, *, presence_key: str = "", detail: str = ""
    ) -> None:
        transaction = Transaction()
        owed_answers.settle(transaction, pending.ack_id)
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
        await self._bridge.runner.apply(transaction)
        self._pending_acks.forget(pending.ack_id)
        if self._asked is not None and self._ack_id(self._asked) == pending.ack_id:
            self._asked = None
