"""Sends what each image needs next, in order.

Whatever happens (an event, an answer, a new pairing, a reconnect), the same question is asked again of the image's
record: what must go out now? So a restart needs no plan of its own, it asks for every unfinished image.
"""

from __future__ import annotations

import asyncio
import collections
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

import structlog

from ccarchiver_bridge import pending_acks as owed_answers
from ccarchiver_bridge.amqp.errors import AmqpError, UnroutableError
from ccarchiver_bridge.pending_acks import PendingAck
from ccarchiver_core import keys
from ccarchiver_core.base import failpoint
from ccarchiver_core.base.clock import unix_time
from ccarchiver_core.base.errors import CcArchiverError
from ccarchiver_core.domain.exposure import Exposure, Instruction, SentInstruction, ack_number
from ccarchiver_core.log.deferred_log import DeferredLog
from ccarchiver_core.redis.client import retry_until_available
from ccarchiver_core.store import ledger, stage_durations
from ccarchiver_core.store.transaction import Transaction

if TYPE_CHECKING:
    from ccarchiver_bridge.context import BridgeContext
    from ccarchiver_bridge.pending_acks import PendingAcks
    from ccarchiver_core.domain.worker_messages import ExposureEventMessage
    from ccarchiver_core.store.transaction import Outcome

CACHE = 3000
"""Images kept in memory while something is to be sent for them or answered; a burst of 2,000 fits."""

_log = structlog.get_logger(__name__)


@dataclass
class _Sending:
    """What is under way of an image's orders that went out."""

    outcomes: list[asyncio.Future[Outcome]] = field(default_factory=list)
    lines: DeferredLog = field(default_factory=DeferredLog)


class Dispatcher:
    """Sends the orders of images.

    Parameters
    ----------
    hub : `Hub`
        Session and link.
    answers : `OwedAnswers`
        Where the answers are expected.
    """

    def __init__(self, bridge: BridgeContext, answers: PendingAcks) -> None:
        self._bridge = bridge
        self._pending_acks = answers
        self._cache: collections.OrderedDict[str, Exposure] = collections.OrderedDict()
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._busy: set[asyncio.Future[None]] = set()
        self._highest_job = 0

    async def begin(self) -> None:
        """Learn which jobs an earlier process may have had; call it once, first."""
        job = await retry_until_available(lambda: self._bridge.redis.hget(keys.COUNTERS, "job"))
        self._highest_job = int(job or 0)

    def lock(self, obsid: str) -> asyncio.Lock:
        """Give the lock that keeps one image's steps in order."""
        found = self._locks.get(obsid)
        if found is None:
            found = self._locks[obsid] = asyncio.Lock()
        return found

    async def handle_event(self, message: ExposureEventMessage, *, is_fresh: bool) -> None:
        """Take in an event of an image, and send what it makes possible.

        Parameters
        ----------
        mail : `ExposureMail`
            The event.
        is_fresh : `bool`
            Whether this letter was never read before, so that nothing can have been done about it.
        """
        async with self.lock(message.obsid):
            exposure = self._cache.get(message.obsid)
            if exposure is None and is_fresh and message.is_new_image and message.job > self._highest_job:
                # Job numbers rise: neither this process nor an earlier one has had it. There is nothing to be read.
                exposure = self._remember(Exposure(obsid=message.obsid, job=message.job))
            if exposure is not None:
                exposure.apply(message.event, message.received_at)
        await self.advance_safely(message.obsid)

    async def advance_safely(self, obsid: str) -> None:
        """Do what `advance` does, but keep a defect that one image shows from stopping the others."""
        try:
            await self.advance(obsid)
        except CcArchiverError:
            raise
        except Exception:  # noqa: BLE001  logged with its traceback
            _log.exception(
                "image.handling_failed", image=obsid, effect="it stays unfinished and will be reported as stalled"
            )

    async def advance(self, obsid: str) -> None:
        """Send all that can be sent for an image now; nothing if RabbitMQ is away. Safe to repeat."""
        busy = asyncio.get_running_loop().create_future()
        self._busy.add(busy)
        try:
            with structlog.contextvars.bound_contextvars(image=obsid):
                await self._send_all(obsid)
        finally:
            self._busy.discard(busy)
            busy.set_result(None)

    async def _send_all(self, obsid: str) -> None:
        sending = _Sending()
        async with self.lock(obsid):
            exposure = await self.load(obsid)
            while exposure is not None:
                instruction = exposure.next_instruction(self._bridge.session.id, self._bridge.session.epoch)
                if instruction is None or not await self._send(exposure, instruction, sending):
                    break
        # Their records are on their way, in order. The image's next order need not wait until they are on disk.
        for outcome in sending.outcomes:
            await outcome
        sending.lines.flush()

    async def advance_all(self) -> None:
        """Send what every unfinished image needs, oldest job first: after a restart, a reconnect, a new pairing."""
        names = await retry_until_available(lambda: ledger.unfinished(self._bridge.redis))
        if names:
            _log.info("images.resumed", count=len(names))
        for obsid in names:
            async with self.lock(obsid):
                self._cache.pop(obsid, None)
            await self.advance_safely(obsid)

    async def drain(self) -> None:
        """Wait until no message that was begun before this call is under way; not from within `advance`."""
        if self._busy:
            await asyncio.wait(set(self._busy))

    async def load(self, obsid: str) -> Exposure | None:
        """Get an image from memory or the ledger; call it under the image's lock."""
        found = self._cache.get(obsid)
        if found is None:
            await self._bridge.runner.drain()  # what has just been sent is to be in what is read
            found = await retry_until_available(
                lambda: ledger.read_exposure(self._bridge.redis, obsid, self._bridge.settings.files_per_image)
            )
            if found is None:
                return None
            self._remember(found)
        self._cache.move_to_end(obsid)
        return found

    def forget_if_done(self, obsid: str) -> None:
        """Keep an image no longer in memory for which all is sent and answered."""
        exposure = self._cache.get(obsid)
        if exposure and len(exposure.sent) == len(Instruction) and all(sent.acked for sent in exposure.sent.values()):
            del self._cache[obsid]

    def _remember(self, exposure: Exposure) -> Exposure:
        self._highest_job = max(self._highest_job, exposure.job)
        self._cache[exposure.obsid] = exposure
        while len(self._cache) > CACHE:
            self._cache.popitem(last=False)
        return exposure

    async def resend(self, late: PendingAck) -> None:
        """Send an unanswered order again with the same ACK_ID."""
        if late.instruction is None:
            return
        async with self.lock(late.obsid):
            exposure = await self.load(late.obsid)
            if exposure is None or self._pending_acks.find(late.ack_id) is None:
                self._pending_acks.forget(late.ack_id)
                return
            again = late.model_copy(update={"sends": late.sends + 1})
            if await self._publish(exposure, late.instruction, again):
                transaction = Transaction().count("resends")
                owed_answers.record(transaction, again)
                sent = exposure.sent.get(late.instruction)
                if sent is not None and sent.ack_id == late.ack_id:
                    exposure.sent[late.instruction] = sent.model_copy(update={"resent_at": unix_time()})
                    ledger.record_sent(transaction, late.obsid, late.instruction, exposure.sent[late.instruction])
                await self._bridge.runner.apply(transaction)

    async def _send(self, exposure: Exposure, instruction: Instruction, sending: _Sending) -> bool:
        """Send one order and give its record to Redis; False if it cannot go out now."""
        session = self._bridge.session
        if not session.is_active:
            return False
        if instruction is Instruction.NEW_ITEM:
            queue, epoch = self._bridge.settings.archive_ctrl_consume_queue, 0
        elif session.is_paired and session.forwarder is not None:
            queue, epoch = session.forwarder.consume_queue, session.epoch
        else:
            return False
        ack_id = f"{session.id}_{ack_number(exposure.job, epoch, instruction.digit)}"
        pending = PendingAck(
            ack_id=ack_id,
            session_id=session.id,
            epoch=epoch,
            queue=queue,
            instruction=instruction,
            obsid=exposure.obsid,
        )
        if not await self._publish(exposure, instruction, pending):
            self._pending_acks.forget(ack_id)
            return False
        sent = SentInstruction(ack_id=ack_id, session_id=session.id, epoch=epoch, sent_at=unix_time())
        transaction = Transaction().count("orders_confirmed")
        before = exposure.sent.get(instruction)
        if before is not None:
            transaction.count("orders_replayed")
            ledger.record_superseded(transaction, exposure.obsid, instruction, before)
        elif since := exposure.ready_at(instruction):
            stage_durations.observe(transaction, stage_durations.SENDING[instruction], sent.sent_at - since)
        ledger.record_sent(transaction, exposure.obsid, instruction, sent)
        owed_answers.record(transaction, pending)
        sending.outcomes.append(await self._bridge.runner.submit(transaction))
        exposure.sent[instruction] = sent
        sending.lines.add(
            _log.info, "instruction.sent", instruction=instruction, job=exposure.job, queue=queue, **pending.log_keys
        )
        return True

    async def _publish(self, exposure: Exposure, instruction: Instruction, pending: PendingAck) -> bool:
        link, session = self._bridge.link, self._bridge.session
        if link is None:
            return False
        body = self._bridge.writer.instruction(
            instruction, exposure, ack_id=pending.ack_id, session_id=pending.session_id, forwarder=session.forwarder
        ).body()
        self._pending_acks.expect(pending)
        try:
            await self._bridge.runner.wait_until_safe()
            failpoint.hit(f"bridge.before_{instruction}")
            try:
                await link.publish(pending.queue, body, message_id=pending.ack_id)
            except UnroutableError as error:
                _log.warning(
                    "queue.missing",
                    queue=pending.queue,
                    **pending.log_keys,
                    error=str(error),
                    remedy="declaring it again",
                )
                await link.declare(pending.queue)
                await link.publish(pending.queue, body, message_id=pending.ack_id)
            failpoint.hit(f"bridge.after_{instruction}")
        except (AmqpError, UnroutableError) as error:
            _log.warning(
                "order.waits", instruction=instruction, queue=pending.queue, **pending.log_keys, error=str(error)
            )
            return False
        return True
