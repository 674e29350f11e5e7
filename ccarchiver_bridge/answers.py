"""What peers answer: each answer settles what was owed and lets its image go on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from ccarchiver_bridge import owed as owed_answers
from ccarchiver_bridge.messages import target_dir
from ccarchiver_bridge.messages.incoming import Ack, AssociatedAck, ForwarderAck, HealthCheckAck, NewItemAck
from ccarchiver_bridge.owed import MAX_SENDS
from ccarchiver_core import deadletter, keys, killpoint, ledger, measures
from ccarchiver_core.error_codes import ErrorCode
from ccarchiver_core.errors import RejectedError
from ccarchiver_core.exposure import Order
from ccarchiver_core.mail import ForwarderSuspect, Suspicion
from ccarchiver_core.step import Step, unix_time

if TYPE_CHECKING:
    import asyncio

    from ccarchiver_bridge.amqp.link import Delivery
    from ccarchiver_bridge.controller import ControllerWatch
    from ccarchiver_bridge.dispatcher import Dispatcher
    from ccarchiver_bridge.forwarder import ForwarderWatch
    from ccarchiver_bridge.hub import Hub
    from ccarchiver_bridge.owed import Owed, OwedAnswers
    from ccarchiver_core.step import Outcome

SILENCE_CODES = {
    Order.NEW_ITEM: ErrorCode.NO_XFER_PARAMS_ACK,
    Order.XFER_PARAMS: ErrorCode.NO_XFER_PARAMS_ACK,
    Order.END_READOUT: ErrorCode.NO_END_READOUT_ACK,
    Order.HEADER_READY: ErrorCode.NO_HEADER_READY_ACK,
}
"""Which error code stands for which missing answer."""

_log = structlog.get_logger(__name__)


class Answers:
    """Handles acks, and their absence.

    Parameters
    ----------
    hub, owed, dispatcher, controller, forwarder
        The parts of the bridge an answer can concern.
    """

    def __init__(
        self,
        hub: Hub,
        owed: OwedAnswers,
        dispatcher: Dispatcher,
        controller: ControllerWatch,
        forwarder: ForwarderWatch,
    ) -> None:
        self._hub = hub
        self._owed = owed
        self._dispatcher = dispatcher
        self._controller = controller
        self._forwarder = forwarder

    def log_keys(self, ack: Ack) -> dict[str, str | int]:
        """Keys by which log lines about an answer are found: what was owed, or else what the answer itself says."""
        owed = self._owed.find(ack.ACK_ID)
        if owed is not None:
            return owed.log_keys
        said = ack.IMAGE_ID if isinstance(ack, NewItemAck | ForwarderAck) else None
        return {"ack_id": ack.ACK_ID, "image": said} if said else {"ack_id": ack.ACK_ID}

    async def handle(self, ack: Ack, delivery: Delivery) -> None:
        """Take an answer in; safe to repeat. Nothing that was not owed changes anything.

        Raises
        ------
        RejectedError
            If the answer cannot be used and nothing has been written about it yet.
        """
        if isinstance(ack, HealthCheckAck):
            self._controller.heard(ack)
            return
        owed = self._owed.find(ack.ACK_ID)
        if owed is None:
            await self._ignore(ack)
            return
        if isinstance(ack, AssociatedAck):
            if owed.order is not None:
                raise RejectedError(f"{ack.MSG_TYPE} answers {ack.ACK_ID}, which was {owed.order}")
            await self._forwarder.associated(owed, ack)
            return
        if owed.order is None or isinstance(ack, NewItemAck) is not (owed.order is Order.NEW_ITEM):
            raise RejectedError(f"{ack.MSG_TYPE} answers {ack.ACK_ID}, which was {owed.order or 'ASSOCIATED'}")
        outcome = await self._settle(owed, owed.order, ack, delivery)
        await self._dispatcher.advance(owed.obsid)
        self._dispatcher.forget_if_done(owed.obsid)
        if outcome is not None:
            await outcome
            _log.info("order.answered", order=owed.order, msg_type=ack.MSG_TYPE, **owed.log_keys)

    async def _settle(self, owed: Owed, order: Order, ack: Ack, delivery: Delivery) -> asyncio.Future[Outcome] | None:
        """Take an answer in and give its record to Redis; what it makes possible need not wait for the disk."""
        async with self._dispatcher.lock(owed.obsid):  # its order's record is given to Redis under this lock
            if self._owed.find(owed.ack_id) is None:
                await self._ignore(ack)  # doubled, and the other one was quicker
                return None
            exposure = await self._dispatcher.load(owed.obsid)
            step = Step()
            owed_answers.settle(step, owed.ack_id)
            refusal = ""
            if exposure is not None:
                if isinstance(ack, NewItemAck):
                    refusal = self._take_target(ack, owed)
                    if refusal:
                        deadletter.add(
                            step,
                            self._hub.settings,
                            origin=delivery.queue,
                            reason=refusal,
                            raw=delivery.body,
                            obsid=owed.obsid,
                        )
                        ledger.fail(step, owed.obsid, refusal, ErrorCode.NO_XFER_PARAMS_ACK)
                        exposure.failed = refusal
                    else:
                        step.do("HSET", keys.image(owed.obsid), "target_dir", ack.TARGET_DIR)
                        exposure.target_dir = ack.TARGET_DIR
                sent = exposure.sent.get(order)
                if sent is not None and sent.ack_id == owed.ack_id:
                    answered = sent.model_copy(update={"acked": True, "acked_at": unix_time()})
                    exposure.sent[order] = answered
                    ledger.record_sent(step, owed.obsid, order, answered)
                    if sent.at:
                        measures.observe(step, measures.ANSWERING[order], answered.acked_at - sent.at)
            killpoint.reach(f"bridge.before_ack_of_{order}")
            outcome = await self._hub.runner.give(step)
            killpoint.reach(f"bridge.after_ack_of_{order}")
            self._owed.heard(owed)
            self._owed.forget(owed.ack_id)
            if order is Order.NEW_ITEM:
                self._controller.alive()
        if refusal:
            _log.error("image.failed", **owed.log_keys, reason=refusal)
            await self._hub.fault(ErrorCode.NO_XFER_PARAMS_ACK, f"{owed.obsid}: {refusal}; it is in the dead letters")
        return outcome

    async def _ignore(self, ack: Ack) -> None:
        _log.info("ack.ignored", msg_type=ack.MSG_TYPE, ack_id=ack.ACK_ID, why="nobody owes it: late, doubled or old")
        await self._hub.runner.apply(Step().count("acks_ignored"))

    @staticmethod
    def _take_target(ack: NewItemAck, owed: Owed) -> str:
        """Give the reason why a Controller's answer cannot be used; empty if it can."""
        if not ack.ACK_BOOL:
            return "the Controller refused the image (ACK_BOOL FALSE); look at the Controller's log for the reason"
        if ack.IMAGE_ID is not None and owed.obsid != ack.IMAGE_ID:
            return f"the Controller answered for image {ack.IMAGE_ID!r} instead"
        try:
            target_dir.check(ack.TARGET_DIR)
        except RejectedError as error:
            return str(error)
        return ""

    async def chase(self) -> None:
        """Send again what is overdue; report who stays silent."""
        for late in self._owed.overdue(self._hub.attention.read_until):
            if self._hub.link is None or self._owed.find(late.ack_id) is None:
                continue
            if late.sends < MAX_SENDS:
                _log.warning("ack.overdue", order=late.order or "ASSOCIATED", queue=late.queue, **late.log_keys)
                if late.order is None:
                    await self._forwarder.ask_again(late)
                else:
                    await self._dispatcher.resend(late)
                continue
            if late.order is Order.NEW_ITEM and await self._controller.is_busy():
                self._owed.extend(late.ack_id)
                continue
            self._owed.give_up(late.ack_id)
            await self._report_silence(late)

    async def _report_silence(self, late: Owed) -> None:
        if late.order is None:
            await self._forwarder.silent(late)
            return
        waited = f"{MAX_SENDS} times in {MAX_SENDS * self._hub.settings.ack_timeout:g} s"
        code = SILENCE_CODES[late.order]
        if late.order is Order.NEW_ITEM:
            report = (
                f"the Controller on queue {late.queue} did not answer {self._hub.settings.new_archive_item} of image "
                f"{late.obsid}, sent {waited}; is it running?"
            )
            await self._hub.fault(code, report)
            return
        report = f"the Forwarder on queue {late.queue} did not answer {late.order} of image {late.obsid}, sent {waited}"
        _log.error("forwarder.silent", order=late.order, queue=late.queue, **late.log_keys)
        suspect = ForwarderSuspect(
            session_id=late.session_id,
            epoch=late.epoch,
            suspicion=Suspicion.OWES_ACK,
            code=code,
            report=report,
        )
        await self._hub.suspect(suspect)
