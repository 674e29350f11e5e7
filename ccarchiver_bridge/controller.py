"""Asks the Controller at regular times whether it lives."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import structlog

from ccarchiver_bridge.amqp.errors import AmqpError, UnroutableError
from ccarchiver_core.base.error_codes import ErrorCode
from ccarchiver_core.domain.exposure import ack_number

if TYPE_CHECKING:
    from ccarchiver_bridge.context import BridgeContext
    from ccarchiver_bridge.messages.incoming import HealthCheckAck

HEALTH_DIGIT = 9
"""Last digit of a health check's ACK_ID number; the images' messages use others."""

LOOKS_WITHOUT_PROGRESS = 4
"""Looks in a row at a queue that does not become shorter; while many files come in, a few may be longer ones."""

_log = structlog.get_logger(__name__)


class ControllerWatch:
    """Sends ARCHIVE_HEALTH_CHECK every ACK_TIMEOUT and counts those without an answer.

    Parameters
    ----------
    hub : `Hub`
        Session and link.
    """

    def __init__(self, bridge: BridgeContext) -> None:
        self._bridge = bridge
        self._unanswered = 0
        self._asked = False
        self._backlog: int | None = None
        self._looks_without_progress = 0

    def reset(self) -> None:
        """Start counting again: a new session, or a new connection."""
        self.alive()

    def alive(self) -> None:
        """Take any message of the Controller as a sign of life."""
        self._unanswered = 0
        self._asked = False
        self._backlog = None
        self._looks_without_progress = 0

    async def is_busy(self) -> bool:
        """Tell a Controller that works off its queue from one that is gone: both answer nothing for a while.

        It is busy while somebody consumes its queue and messages wait there. If they do not become fewer for some
        looks, it hangs.
        """
        link = self._bridge.link
        if link is None:
            return True
        try:
            state = await link.inspect(self._bridge.settings.archive_ctrl_consume_queue)
        except AmqpError:
            return True
        if state is None or state.consumers == 0 or state.messages == 0:
            return False
        progress = self._backlog is None or state.messages < self._backlog
        self._looks_without_progress = 0 if progress else self._looks_without_progress + 1
        self._backlog = state.messages
        _log.warning("controller.busy", queue=self._bridge.settings.archive_ctrl_consume_queue, messages=state.messages)
        return self._looks_without_progress < LOOKS_WITHOUT_PROGRESS

    def heard(self, ack: HealthCheckAck) -> None:
        """Take an answer in; one of another session says nothing of today's Controller."""
        session_id = self._bridge.session.id
        if session_id == ack.SESSION_ID or ack.ACK_ID.startswith(f"{session_id}_"):
            self.alive()

    async def watch(self) -> None:
        """Run until cancelled."""
        settings = self._bridge.settings
        while True:
            await asyncio.sleep(settings.ack_timeout)
            if self._bridge.link is None or not self._bridge.session.is_active:
                self.reset()
                continue
            if self._asked and self._bridge.attention.is_current:  # otherwise its answer may lie unread with us
                self._unanswered += 1
            if self._unanswered >= settings.controller_max_missed_checks and not await self.is_busy():
                report = (
                    f"the Controller on queue {settings.archive_ctrl_consume_queue} left {self._unanswered} health "
                    f"checks in a row unanswered, {settings.ack_timeout:g} s apart; is it running?"
                )
                await self._bridge.fault(ErrorCode.CONTROLLER_SILENT, report)
                continue
            await self._check()

    async def _check(self) -> None:
        link, session_id = self._bridge.link, self._bridge.session.id
        if link is None:
            return
        milliseconds = time.time_ns() // 1_000_000
        ack_id = f"{session_id}_{ack_number(0, 0, HEALTH_DIGIT) + milliseconds * 10}"
        queue = self._bridge.settings.archive_ctrl_consume_queue
        self._asked = True
        try:
            await link.publish(
                queue,
                self._bridge.writer.health_check(ack_id, session_id).body(),
                message_id=ack_id,
                expire_s=self._bridge.settings.ack_timeout,
            )
        except (AmqpError, UnroutableError) as error:
            _log.warning("health_check.not_sent", queue=queue, ack_id=ack_id, session=session_id, error=str(error))
