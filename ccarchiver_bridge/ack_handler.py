"""Handling of acknowledgements: each removes a pending ack, and its image continues."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from ccarchiver_bridge.messages import target_dir
from ccarchiver_bridge.messages.incoming import (
    Ack,
    AssociatedAck,
    ForwarderAck,
    HealthCheckAck,
    NewItemAck,
)
from ccarchiver_core.base import failpoint
from ccarchiver_core.base.clock import unix_time
from ccarchiver_core.base.error_codes import ErrorCode
from ccarchiver_core.base.errors import RejectedError
from ccarchiver_core.domain.exposure import Instruction
from ccarchiver_core.domain.instruction_limits import MAX_SENDS
from ccarchiver_core.domain.worker_messages import ReplaceForwarder, ReplaceReason
from ccarchiver_core.store import dead_letters, pending_acks, stage_durations
from ccarchiver_core.store.image_ledger import ImageLedger
from ccarchiver_core.store.transaction import Transaction

if TYPE_CHECKING:
    import asyncio

    from ccarchiver_bridge.amqp.connection import Delivery
    from ccarchiver_bridge.association import Association
    from ccarchiver_bridge.context import BridgeContext
    from ccarchiver_bridge.controller import ControllerMonitor
    from ccarchiver_bridge.dispatcher import Dispatcher
    from ccarchiver_bridge.pending_acks import PendingAcks
    from ccarchiver_core.domain.pending_ack import PendingAck
    from ccarchiver_core.store.transaction import Outcome

SILENCE_CODES = {
    Instruction.NEW_ITEM: ErrorCode.NO_XFER_PARAMS_ACK,
    Instruction.XFER_PARAMS: ErrorCode.NO_XFER_PARAMS_ACK,
    Instruction.END_READOUT: ErrorCode.NO_END_READOUT_ACK,
    Instruction.HEADER_READY: ErrorCode.NO_HEADER_READY_ACK,
}
"""Error code for each missing acknowledgement."""

_log = structlog.get_logger(__name__)


class AckHandler:
    """Handler of acknowledgements and of their absence.

    Parameters
    ----------
    bridge, pending, dispatcher, controller, association
        The parts of the bridge that an acknowledgement can concern.
    """

    def __init__(
        self,
        bridge: BridgeContext,
        pending: PendingAcks,
        dispatcher: Dispatcher,
        controller: ControllerMonitor,
        association: Association,
    ) -> None:
        self._bridge = bridge
        self._pending_acks = pending
        self._dispatcher = dispatcher
        self._controller = controller
        self._association = association

    def log_keys(self, ack: Ack) -> dict[str, str | int]:
        """Return the keys of log lines about an acknowledgement.

        They are those of its pending ack, or without one what the acknowledgement itself contains.
        """
        pending = self._pending_acks.find(ack.ACK_ID)
        if pending is not None:
            return pending.log_keys
        obsid = ack.IMAGE_ID if isinstance(ack, NewItemAck | ForwarderAck) else None
        return {"ack_id": ack.ACK_ID, "image": obsid} if obsid else {"ack_id": ack.ACK_ID}

    async def handle(self, ack: Ack, delivery: Delivery) -> None:
        """Handle an acknowledgement; safe to repeat.

        An acknowledgement without a pending ack is logged and counted; it has no other effect.

        Raises
        ------
        RejectedError
            If the acknowledgement cannot be used and nothing has been written about it yet.
        """
        if isinstance(ack, HealthCheckAck):
            self._controller.on_health_check_ack(ack)
            return
        pending = self._pending_acks.find(ack.ACK_ID)
        if pending is None:
            await self._ignore(ack)
            return
        if isinstance(ack, AssociatedAck):
            if pending.instruction is not None:
                raise RejectedError(
                    f"{ack.MSG_TYPE} answers {ack.ACK_ID}, which was {pending.instruction}"
                )
            await self._association.on_accepted(pending, ack)
            return
        if pending.instruction is None or isinstance(ack, NewItemAck) is not (
            pending.instruction is Instruction.NEW_ITEM
        ):
            raise RejectedError(
                f"{ack.MSG_TYPE} answers {ack.ACK_ID}, which was "
                f"{pending.instruction or 'ASSOCIATED'}"
            )
        outcome = await self._record_ack(pending, pending.instruction, ack, delivery)
        await self._dispatcher.advance(pending.obsid)
        self._dispatcher.forget_if_acknowledged(pending.obsid)
        if outcome is not None:
            await outcome
            _log.info(
                "instruction.acknowledged",
                instruction=pending.instruction,
                msg_type=ack.MSG_TYPE,
                **pending.log_keys,
            )

    async def _record_ack(
        self, pending: PendingAck, instruction: Instruction, ack: Ack, delivery: Delivery
    ) -> asyncio.Future[Outcome] | None:
        """Apply an acknowledgement and submit its record.

        The instructions that it makes possible need not wait until the record is on disk.
        """
        # The record of the instruction was submitted under the same lock.
        async with self._dispatcher.lock(pending.obsid):
            if self._pending_acks.find(pending.ack_id) is None:
                await self._ignore(ack)  # a duplicate, and the other one is handled
                return None
            exposure = await self._dispatcher.load(pending.obsid)
            transaction = Transaction()
            pending_acks.remove(transaction, pending.ack_id)
            rejection = ""
            if exposure is not None:
                if isinstance(ack, NewItemAck):
                    rejection = self._rejection_reason(ack, pending)
                    if rejection:
                        dead_letters.add(
                            transaction,
                            self._bridge.settings,
                            origin=delivery.queue,
                            reason=rejection,
                            raw=delivery.body,
                            obsid=pending.obsid,
                        )
                        ImageLedger.fail(
                            transaction, pending.obsid, rejection, ErrorCode.NO_XFER_PARAMS_ACK
                        )
                        exposure.failure_reason = rejection
                    else:
                        ImageLedger.record_target_dir(transaction, pending.obsid, ack.TARGET_DIR)
                        exposure.target_dir = ack.TARGET_DIR
                sent = exposure.sent.get(instruction)
                if sent is not None and sent.ack_id == pending.ack_id:
                    answered = sent.model_copy(update={"acked": True, "acked_at": unix_time()})
                    exposure.sent[instruction] = answered
                    ImageLedger.record_instruction(
                        transaction, pending.obsid, instruction, answered
                    )
                    if sent.sent_at:
                        stage_durations.observe(
                            transaction,
                            stage_durations.ANSWERING[instruction],
                            answered.acked_at - sent.sent_at,
                        )
            failpoint.hit(f"bridge.before_ack_of_{instruction}")
            outcome = await self._bridge.transactions.submit(transaction)
            failpoint.hit(f"bridge.after_ack_of_{instruction}")
            self._pending_acks.extend_later(pending)
            self._pending_acks.forget(pending.ack_id)
            if instruction is Instruction.NEW_ITEM:
                self._controller.on_message()
        if rejection:
            _log.error(
                "image.failed",
                effect="the image is not archived",
                **pending.log_keys,
                reason=rejection,
            )
            await self._bridge.fault(
                ErrorCode.NO_XFER_PARAMS_ACK,
                f"{pending.obsid}: {rejection}; it is in the dead letters",
            )
        return outcome

    async def _ignore(self, ack: Ack) -> None:
        _log.info(
            "ack.ignored",
            msg_type=ack.MSG_TYPE,
            ack_id=ack.ACK_ID,
            reason="no pending ack: late, duplicate or old",
        )
        await self._bridge.transactions.apply(Transaction().count("unexpected_acks"))

    @staticmethod
    def _rejection_reason(ack: NewItemAck, pending: PendingAck) -> str:
        """Return why a Controller's acknowledgement cannot be used; empty if it can be used."""
        if not ack.ACK_BOOL:
            remedy = "check the Controller's log for the reason"
            return f"the Controller rejected the image (ACK_BOOL FALSE); {remedy}"
        if ack.IMAGE_ID is not None and pending.obsid != ack.IMAGE_ID:
            return f"the Controller answered for image {ack.IMAGE_ID!r} instead"
        try:
            target_dir.check(ack.TARGET_DIR)
        except RejectedError as error:
            return str(error)
        return ""

    async def retry_overdue(self) -> None:
        """Send overdue messages again; escalate when a peer stays silent.

        A silent Controller is a fault; a silent Forwarder is to be replaced.
        """
        for late in self._pending_acks.overdue(self._bridge.consumer_lag.read_until):
            if not self._bridge.can_publish or self._pending_acks.find(late.ack_id) is None:
                continue
            if late.sends < MAX_SENDS:
                _log.warning(
                    "ack.overdue",
                    instruction=late.instruction or "ASSOCIATED",
                    queue=late.queue,
                    **late.log_keys,
                )
                if late.instruction is None:
                    await self._association.resend(late)
                else:
                    await self._dispatcher.resend(late)
                continue
            if late.instruction is Instruction.NEW_ITEM and await self._controller.may_answer():
                self._pending_acks.extend(late.ack_id)
                continue
            self._pending_acks.stop_waiting(late.ack_id)
            await self._report_silence(late)

    async def _report_silence(self, late: PendingAck) -> None:
        if late.instruction is None:
            await self._association.on_silent(late)
            return
        waited = f"{MAX_SENDS} times in {MAX_SENDS * self._bridge.settings.ack_timeout:g} s"
        code = SILENCE_CODES[late.instruction]
        if late.instruction is Instruction.NEW_ITEM:
            report = (
                f"the Controller on queue {late.queue} did not answer "
                f"{self._bridge.settings.new_archive_item} of image {late.obsid}, sent {waited}, "
                "although it answers health checks"
            )
            await self._bridge.fault(code, report)
            return
        report = (
            f"the Forwarder on queue {late.queue} did not answer {late.instruction} of image "
            f"{late.obsid}, sent {waited}"
        )
        _log.error(
            "forwarder.silent",
            effect="the images wait for another Forwarder",
            instruction=late.instruction,
            queue=late.queue,
            **late.log_keys,
        )
        suspect = ReplaceForwarder(
            session_id=late.session_id,
            epoch=late.epoch,
            reason=ReplaceReason.MISSING_ACK,
            code=code,
            report=report,
        )
        await self._bridge.suspect(suspect)
