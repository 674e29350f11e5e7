"""Context that the parts of the bridge share: settings, session, connection, fault notification."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from ccarchiver_bridge.consumer_lag import ConsumerLag
from ccarchiver_bridge.messages.outgoing import MessageBuilder
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
        self._faulted = ""

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
