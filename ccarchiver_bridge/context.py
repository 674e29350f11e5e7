"""What the parts of the bridge share: the settings, the session in force, the open link, and how to report faults."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from ccarchiver_bridge.consumer_lag import ConsumerLag
from ccarchiver_bridge.messages.outgoing import MessageBuilder
from ccarchiver_core import keys
from ccarchiver_core.domain.session import Session
from ccarchiver_core.domain.worker_messages import SessionFailed
from ccarchiver_core.redis.client import retry_until_available
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
        Redis, steps, settings.
    """

    def __init__(self, context: WorkerContext) -> None:
        self.context = context
        self.settings = context.settings
        self.redis = context.redis
        self.runner = context.transactions
        self.writer = MessageBuilder(context.settings)
        self.session = Session()
        self.attention = ConsumerLag()
        self.link: AmqpConnection | None = None
        """The open link; None while RabbitMQ is away or no session is wanted."""
        self._faulted = ""

    async def refresh_session(self) -> Session:
        """Read the session from Redis, waiting if need be."""
        self.session = await retry_until_available(lambda: read_session(self.redis))
        return self.session

    async def suspect(self, suspect: ReplaceForwarder) -> None:
        """Tell health that the paired Forwarder seems lost; nothing if its session is over. Safe to repeat."""
        transaction = Transaction()
        require_active(transaction, suspect.session_id)
        transaction.enqueue(keys.Worker.HEALTH, suspect)
        await self.runner.apply(transaction)

    async def fault(self, code: ErrorCode, report: str) -> None:
        """Tell SAL that this session cannot go on; once a session, safe to repeat."""
        session_id = self.session.id
        if self._faulted == session_id:
            return
        self._faulted = session_id
        _log.error("session.failed", error_code=int(code), report=report, session=session_id, epoch=self.session.epoch)
        transaction = Transaction()
        require_active(transaction, session_id)
        transaction.enqueue(keys.Worker.SAL, SessionFailed(session_id=session_id, code=code, report=report))
        await self.runner.apply(transaction)
