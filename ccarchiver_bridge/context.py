"""Context that the parts of the bridge share: settings, session, connection, fault notification."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

from ccarchiver_bridge.amqp.errors import AmqpError, UnroutableError
from ccarchiver_bridge.consumer_lag import ConsumerLag
from ccarchiver_bridge.messages.outgoing import MessageBuilder
from ccarchiver_bridge.problems import Problems
from ccarchiver_core import keys
from ccarchiver_core.domain.session import Session
from ccarchiver_core.domain.worker_messages import SessionFailed
from ccarchiver_core.redis.retry import retry_until_available
from ccarchiver_core.store.session import read_session, require_active
from ccarchiver_core.store.transaction import Transaction

if TYPE_CHECKING:
    from ccarchiver_bridge.amqp.connection import AmqpConnection
    from ccarchiver_core.base.error_codes import ErrorCode
    from ccarchiver_core.domain.worker_messages import ReplaceForwarder
    from ccarchiver_core.runtime.worker import WorkerContext

_log = structlog.get_logger(__name__)


class BridgeContext:
    """State of one bridge process; all of it can be read from Redis again.

    Parameters
    ----------
    context : `WorkerContext`
        Redis, transactions, settings.
    """

    def __init__(self, context: WorkerContext) -> None:
        self.context = context
        self.settings = context.settings
        self.redis = context.redis
        self.transactions = context.transactions
        self.writer = MessageBuilder(context.settings)
        self.session = Session()
        self.consumer_lag = ConsumerLag()
        self.connection: AmqpConnection | None = None
        """The open connection; None while RabbitMQ is unavailable or no session is active."""
        self.problems = Problems()
        """Problems of the open connection."""
        self.retry_requested = asyncio.Event()
        """Is set when a message could not be sent although the connection is open."""
        self._rejecting: set[str] = set()
        self._faulted = ""

    @property
    def can_publish(self) -> bool:
        """Whether the connection is open and RabbitMQ accepts messages."""
        connection = self.connection
        return (
            connection is not None
            and not connection.closed.done()
            and not connection.blocked_reason
        )

    async def publish(
        self, queue: str, body: bytes, *, message_id: str, expire_s: float | None = None
    ) -> None:
        """Publish a message, and try again later if RabbitMQ rejects it.

        If RabbitMQ rejects the message while the connection stays open, the operator sees why, and
        `retry_requested` is set: no event would cause another attempt.

        Raises
        ------
        AmqpError
            If the message was not sent, or it is unknown whether it was.
        """
        try:
            await self.publish_once(queue, body, message_id=message_id, expire_s=expire_s)
        except AmqpError as error:
            if self.can_publish:
                remedy = f"{error.remedy}; " if error.remedy else ""
                self.problems.set(
                    queue,
                    f"messages to queue {queue} cannot be sent: {error}; {remedy}"
                    f"rabbitmqctl list_queues -p {self.settings.vhost} name messages policy",
                )
                self._rejecting.add(queue)
                self.retry_requested.set()
            raise
        self.problems.clear(queue)

    def forget_rejections(self) -> None:
        """Remove the problems of queues to which nothing is sent any more; safe to repeat.

        A queue that still rejects messages is reported again at the next attempt.
        """
        for queue in self._rejecting:
            self.problems.clear(queue)
        self._rejecting.clear()

    async def publish_once(
        self, queue: str, body: bytes, *, message_id: str, expire_s: float | None = None
    ) -> None:
        """Publish a message; declare its queue again if it is missing.

        Raises
        ------
        AmqpError
            If the message was not sent, or it is unknown whether it was.
        """
        connection = self.connection
        if connection is None:
            raise AmqpError("there is no connection to RabbitMQ")
        try:
            await connection.publish(queue, body, message_id=message_id, expire_s=expire_s)
        except UnroutableError as error:
            _log.warning("queue.missing", queue=queue, ack_id=message_id, error=str(error))
            await connection.declare(queue)
            try:
                await connection.publish(queue, body, message_id=message_id, expire_s=expire_s)
            except UnroutableError as again:
                raise AmqpError(str(again)) from again

    async def refresh_session(self) -> Session:
        """Read the session from Redis and return it; wait while Redis is unavailable."""
        self.session = await retry_until_available(lambda: read_session(self.redis))
        return self.session

    async def suspect(self, suspect: ReplaceForwarder) -> None:
        """Notify health that the paired Forwarder seems lost; safe to repeat.

        Nothing is sent if its session has ended.
        """
        transaction = Transaction()
        require_active(transaction, suspect.session_id)
        transaction.enqueue(keys.Worker.HEALTH, suspect)
        await self.transactions.apply(transaction)

    async def fault(self, code: ErrorCode, report: str) -> None:
        """Notify the CSC, once for each session, that it cannot continue; safe to repeat."""
        session_id = self.session.id
        if self._faulted == session_id:
            return
        self._faulted = session_id
        _log.error(
            "session.failed",
            effect="archiving stops until the CSC is started again",
            error_code=int(code),
            report=report,
            session=session_id,
            epoch=self.session.epoch,
        )
        transaction = Transaction()
        require_active(transaction, session_id)
        transaction.enqueue(
            keys.Worker.SAL, SessionFailed(session_id=session_id, code=code, report=report)
        )
        await self.transactions.apply(transaction)
