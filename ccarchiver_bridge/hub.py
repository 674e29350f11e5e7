"""What the parts of the bridge share: the settings, the session in force, the open link, and how to report faults."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from ccarchiver_bridge.attention import Attention
from ccarchiver_bridge.messages.outgoing import Writer
from ccarchiver_core import keys
from ccarchiver_core.mail import SessionFault
from ccarchiver_core.redis_client import patiently
from ccarchiver_core.session import Session, only_during, read_session
from ccarchiver_core.step import Step

if TYPE_CHECKING:
    from ccarchiver_bridge.amqp.link import Link
    from ccarchiver_core.error_codes import ErrorCode
    from ccarchiver_core.mail import ForwarderSuspect
    from ccarchiver_core.worker import WorkerContext

_log = structlog.get_logger(__name__)


class Hub:
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
        self.runner = context.runner
        self.writer = Writer(context.settings)
        self.session = Session()
        self.attention = Attention()
        self.link: Link | None = None
        """The open link; None while RabbitMQ is away or no session is wanted."""
        self._faulted = ""

    async def refresh_session(self) -> Session:
        """Read the session from Redis, waiting if need be."""
        self.session = await patiently(lambda: read_session(self.redis))
        return self.session

    async def suspect(self, suspect: ForwarderSuspect) -> None:
        """Tell health that the paired Forwarder seems lost; nothing if its session is over. Safe to repeat."""
        step = Step()
        only_during(step, suspect.session_id)
        step.post(keys.Worker.HEALTH, suspect)
        await self.runner.apply(step)

    async def fault(self, code: ErrorCode, report: str) -> None:
        """Tell SAL that this session cannot go on; once a session, safe to repeat."""
        session_id = self.session.id
        if self._faulted == session_id:
            return
        self._faulted = session_id
        _log.error("session.fault", error_code=int(code), report=report, session=session_id, epoch=self.session.epoch)
        step = Step()
        only_during(step, session_id)
        step.post(keys.Worker.SAL, SessionFault(session_id=session_id, code=code, report=report))
        await self.runner.apply(step)
