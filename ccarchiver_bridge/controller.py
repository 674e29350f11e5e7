"""Health checks of the Controller at regular intervals."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import structlog

from ccarchiver_bridge.amqp.errors import AmqpError
from ccarchiver_core.base.error_codes import ErrorCode
from ccarchiver_core.domain.exposure import ack_number

if TYPE_CHECKING:
    from ccarchiver_bridge.context import BridgeContext
    from ccarchiver_bridge.messages.incoming import HealthCheckAck

HEALTH_DIGIT = 9
"""Last digit of a health check's ACK_ID number; instructions use other digits."""

CHECKS_WITHOUT_PROGRESS = 4
"""Consecutive checks without a shorter queue after which the Controller counts as hung.

While many files arrive, the queue of a working Controller may grow between a few checks.
"""

_log = structlog.get_logger(__name__)


class ControllerMonitor:
    """Monitor of the Controller.

    It sends ARCHIVE_HEALTH_CHECK every ACK_TIMEOUT and counts the checks without an answer.

    Parameters
    ----------
    bridge : `BridgeContext`
        Session and connection.
    """

    def __init__(self, bridge: BridgeContext) -> None:
        self._bridge = bridge
        self._missed_checks = 0
        self._awaits_answer = False
        self._backlog: int | None = None
        self._checks_without_progress = 0
        self._has_consumer = False

    def reset(self) -> None:
        """Restart the count for a new session or a new connection."""
        self.on_message()

    def on_message(self) -> None:
        """Restart the count because a message of the Controller has arrived."""
        self._missed_checks = 0
        self._awaits_answer = False
        self._backlog = None
        self._checks_without_progress = 0

    async def may_answer(self) -> bool:
        """Return whether a missing answer of the Controller is no reason for a fault yet.

        While it does not answer health checks either, these decide: an unanswered instruction stays
        in its durable queue, and a Controller that returns within their limit handles it.
        """
        return self._missed_checks > 0 or self._awaits_answer or await self.is_busy()

    async def is_busy(self) -> bool:
        """Return whether the Controller is still processing the messages in its queue.

        A busy Controller and a dead one are both silent for a while. The Controller is busy while
        its queue has a consumer and messages. If the queue does not become shorter in
        CHECKS_WITHOUT_PROGRESS consecutive checks, the Controller hangs. Without a connection the
        queue cannot be checked, and the Controller counts as busy.
        """
        connection = self._bridge.connection
        if connection is None:
            return True
        try:
            state = await connection.inspect(self._bridge.settings.archive_ctrl_consume_queue)
        except AmqpError:
            return True
        self._has_consumer = state is not None and state.consumers > 0
        if state is None or state.consumers == 0 or state.messages == 0:
            return False
        progress = self._backlog is None or state.messages < self._backlog
        self._checks_without_progress = 0 if progress else self._checks_without_progress + 1
        self._backlog = state.messages
        _log.warning(
            "controller.busy",
            queue=self._bridge.settings.archive_ctrl_consume_queue,
            messages=state.messages,
        )
        return self._checks_without_progress < CHECKS_WITHOUT_PROGRESS

    def describe_silence(self) -> str:
        """Return what the last check of the Controller's queue has shown, and what to do."""
        if self._has_consumer:
            return "its queue has a consumer, which does not answer: restart the Controller"
        return (
            "its queue has no consumer: start the Controller, or restart it if it runs; it does "
            "not consume again by itself after a restart of RabbitMQ"
        )

    def on_health_check_ack(self, ack: HealthCheckAck) -> None:
        """Restart the count if an answer belongs to the current session.

        An answer to a check of another session does not show that the Controller is alive now.
        """
        session_id = self._bridge.session.id
        if session_id == ack.SESSION_ID or ack.ACK_ID.startswith(f"{session_id}_"):
            self.on_message()

    async def run(self) -> None:
        """Send health checks until cancelled."""
        settings = self._bridge.settings
        while True:
            await asyncio.sleep(settings.ack_timeout)
            if not self._bridge.can_publish or not self._bridge.session.is_active:
                self.reset()
                continue
            # While the bridge lags behind, the answer may be among the unread messages.
            if self._awaits_answer and self._bridge.consumer_lag.is_current:
                self._missed_checks += 1
            if (
                self._missed_checks >= settings.controller_max_missed_checks
                and not await self.is_busy()
            ):
                report = (
                    f"the Controller on queue {settings.archive_ctrl_consume_queue} did not answer "
                    f"{self._missed_checks} consecutive health checks, "
                    f"{settings.ack_timeout:g} s apart; {self.describe_silence()}"
                )
                await self._bridge.fault(ErrorCode.CONTROLLER_SILENT, report)
                continue
            await self._check()

    async def _check(self) -> None:
        session_id = self._bridge.session.id
        milliseconds = time.time_ns() // 1_000_000
        ack_id = f"{session_id}_{ack_number(0, 0, HEALTH_DIGIT) + milliseconds * 10}"
        queue = self._bridge.settings.archive_ctrl_consume_queue
        try:
            await self._bridge.publish(
                queue,
                self._bridge.writer.health_check(ack_id, session_id).body(),
                message_id=ack_id,
                expire_s=self._bridge.settings.ack_timeout,
            )
        except AmqpError as error:
            # RabbitMQ's failure is not the Controller's: the check does not count as missed.
            _log.warning(
                "health_check.not_sent",
                queue=queue,
                ack_id=ack_id,
                session=session_id,
                error=str(error),
            )
        else:
            self._awaits_answer = True
