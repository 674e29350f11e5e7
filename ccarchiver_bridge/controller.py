"""Health checks of the Controller at regular intervals."""

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
"""Last digit of a health check's ACK_ID number; instructions use other digits."""

LOOKS_WITHOUT_PROGRESS = 4
"""Consecutive checks without a shorter queue after which the Controller counts as hung.

While many files arrive, the queue of a working Controller may grow between a few checks.
"""

_log = structlog.get_logger(__name__)


class ControllerWatch:
    """Monitor of the Controller.

    It sends ARCHIVE_HEALTH_CHECK every ACK_TIMEOUT and counts the checks without an answer.

    Parameters
    ----------
    bridge : `BridgeContext`
        Session and connection.
    """

    def __init__(self, bridge: BridgeContext) -> None:
        self._bridge = bridge
        self._unanswered = 0
        self._asked = False
        self._backlog: int | None = None
        self._looks_without_progress = 0

    def reset(self) -> None:
        """Restart the count for a new session or a new connection."""
        self.alive()

    def alive(self) -> None:
        """Restart the count because a message of the Controller has arrived."""
        self._unanswered = 0
        self._asked = False
        self._backlog = None
        self._looks_without_progress = 0

    async def is_busy(self) -> bool:
        """Return whether the Controller is still processing the messages in its queue.

        A busy Controller and a dead one are both silent for a while. The Controller is busy while
        its queue has a consumer and messages. If the queue does not become shorter in
        LOOKS_WITHOUT_PROGRESS consecutive checks, the Controller hangs. Without a connection the
        queue cannot be checked, and the Controller counts as busy.
        """
        link = self._bridge.connection
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
        _log.warning(
            "controller.busy",
            queue=self._bridge.settings.archive_ctrl_consume_queue,
            messages=state.messages,
        )
        return self._looks_without_progress < LOOKS_WITHOUT_PROGRESS

    def on_health_check_ack(self, ack: HealthCheckAck) -> None:
        """Restart the count if an answer belongs to the current session.

        An answer to a check of another session does not show that the Controller is alive now.
        """
        session_id = self._bridge.session.id
        if session_id == ack.SESSION_ID or ack.ACK_ID.startswith(f"{session_id}_"):
            self.alive()

    async def watch(self) -> None:
        """Send health checks until cancelled."""
        settings = self._bridge.settings
        while True:
            await asyncio.sleep(settings.ack_timeout)
            if self._bridge.connection is None or not self._bridge.session.is_active:
                self.reset()
                continue
            # While the bridge lags behind, the answer may be among the unread messages.
            if self._asked and self._bridge.consumer_lag.is_current:
                self._unanswered += 1
            if (
                self._unanswered >= settings.controller_max_missed_checks
                and not await self.is_busy()
            ):
                report = (
                    f"the Controller on queue {settings.archive_ctrl_consume_queue} did not answer "
                    f"{self._unanswered} consecutive health checks, "
                    f"{settings.ack_timeout:g} s apart; is it running?"
                )
                await self._bridge.fault(ErrorCode.CONTROLLER_SILENT, report)
                continue
            await self._check()

    async def _check(self) -> None:
        link, session_id = self._bridge.connection, self._bridge.session.id
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
            _log.warning(
                "health_check.not_sent",
                queue=queue,
                ack_id=ack_id,
                session=session_id,
                error=str(error),
            )
