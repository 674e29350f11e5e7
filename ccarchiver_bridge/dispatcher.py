"""Dispatch of instructions: each image gets the next one that it needs, in order.

After each change (an event, an acknowledgement, a new pairing, a reconnect), the dispatcher derives
the next instruction from the image record. A restart needs no procedure of its own: the dispatcher
does the same for every unfinished image.
"""

from __future__ import annotations

import asyncio
import collections
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

import structlog

from ccarchiver_bridge.amqp.errors import AmqpError
from ccarchiver_bridge.new_images import NewImages
from ccarchiver_core.base import failpoint
from ccarchiver_core.base.clock import unix_time
from ccarchiver_core.base.errors import CcArchiverError
from ccarchiver_core.domain.exposure import Exposure, Instruction, SentInstruction, ack_number
from ccarchiver_core.domain.pending_ack import PendingAck
from ccarchiver_core.log.deferred_log import DeferredLog
from ccarchiver_core.redis.retry import retry_until_available
from ccarchiver_core.store import pending_acks, stage_durations
from ccarchiver_core.store.image_ledger import ImageLedger, read_last_job
from ccarchiver_core.store.transaction import Transaction

if TYPE_CHECKING:
    from ccarchiver_bridge.context import BridgeContext
    from ccarchiver_bridge.pending_acks import PendingAcks
    from ccarchiver_core.domain.worker_messages import ExposureEventMessage
    from ccarchiver_core.store.transaction import Outcome

CACHE = 3000
"""Images in memory that still have instructions to send or acknowledge; a burst of 2,000 fits."""

_log = structlog.get_logger(__name__)


@dataclass
class _Sending:
    """Submitted records and deferred log lines of the instructions that were just sent."""

    outcomes: list[asyncio.Future[Outcome]] = field(default_factory=list)
    lines: DeferredLog = field(default_factory=DeferredLog)


class Dispatcher:
    """Sender of the images' instructions.

    Parameters
    ----------
    bridge : `BridgeContext`
        Session and connection.
    pending : `PendingAcks`
        Acknowledgements that the bridge expects.
    """

    def __init__(self, bridge: BridgeContext, pending: PendingAcks) -> None:
        self._bridge = bridge
        self._pending_acks = pending
        self._cache: collections.OrderedDict[str, Exposure] = collections.OrderedDict()
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._busy: set[asyncio.Future[None]] = set()
        self._new_images = NewImages()
        self._unsent: set[str] = set()
        """Images whose last instruction could not be sent."""

    async def begin(self) -> None:
        """Read the highest job number of earlier processes; call it once, before the rest."""
        job = await retry_until_available(lambda: read_last_job(self._bridge.redis))
        self._new_images = NewImages(job)

    def lock(self, obsid: str) -> asyncio.Lock:
        """Return the lock that keeps the handling of one image in order."""
        found = self._locks.get(obsid)
        if found is None:
            found = self._locks[obsid] = asyncio.Lock()
        return found

    async def handle_event(self, message: ExposureEventMessage, *, is_first_delivery: bool) -> None:
        """Apply an event to its image and send the instructions that it makes possible.

        Parameters
        ----------
        message : `ExposureEventMessage`
            The event.
        is_first_delivery : `bool`
            Whether this is the first delivery of the message, so that it has had no effect yet.
        """
        async with self.lock(message.obsid):
            exposure = self._cache.get(message.obsid)
            if exposure is None and self._new_images.is_new(
                message, is_first_delivery=is_first_delivery
            ):
                exposure = self._remember(Exposure(obsid=message.obsid, job=message.job))
            if exposure is not None:
                exposure.apply(message.event, message.received_at)
        await self.advance_safely(message.obsid)

    async def advance_safely(self, obsid: str) -> None:
        """Call `advance`, but log an unexpected exception instead of raising it.

        A defect that one image reveals must not stop the others.
        """
        try:
            await self.advance(obsid)
        except CcArchiverError:
            raise
        except Exception:  # noqa: BLE001  logged with its traceback
            _log.exception(
                "image.handling_failed",
                image=obsid,
                effect="it stays unfinished and will be reported as stalled",
            )

    async def advance(self, obsid: str) -> None:
        """Send every instruction that can be sent for an image now; safe to repeat.

        Nothing is sent while RabbitMQ is unavailable.
        """
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
                instruction = exposure.next_instruction(
                    self._bridge.session.id, self._bridge.session.epoch
                )
                if instruction is None or not await self._send(exposure, instruction, sending):
                    break
        # The records are submitted, in order. The image's next instruction need not wait until they
        # are on disk.
        for outcome in sending.outcomes:
            await outcome
        sending.lines.flush()

    async def advance_all(self) -> None:
        """Send what every unfinished image needs, oldest job first.

        Needed after a restart, a reconnect and a new pairing.
        """
        names = await retry_until_available(lambda: ImageLedger(self._bridge.redis).open_images())
        if names:
            _log.info("images.resumed", count=len(names))
        for obsid in names:
            async with self.lock(obsid):
                self._cache.pop(obsid, None)
            await self.advance_safely(obsid)

    async def retry_unsent(self) -> None:
        """Try again to send what RabbitMQ did not accept, oldest image name first."""
        unsent, self._unsent = self._unsent, set()
        for obsid in sorted(unsent):
            await self.advance_safely(obsid)

    async def drain(self) -> None:
        """Wait for every call of `advance` that began before this one.

        `advance` itself must not call it.
        """
        if self._busy:
            await asyncio.wait(set(self._busy))

    async def load(self, obsid: str) -> Exposure | None:
        """Return an image from memory or from the ledger; the caller holds the image's lock."""
        found = self._cache.get(obsid)
        if found is None:
            await (
                self._bridge.transactions.drain()
            )  # the record must contain what has just been sent
            ledger = ImageLedger(self._bridge.redis)
            record = await retry_until_available(lambda: ledger.read(obsid))
            files = self._bridge.settings.files_per_image
            found = None if record is None else record.to_exposure(files)
            if found is None:
                return None
            self._remember(found)
        self._cache.move_to_end(obsid)
        return found

    def forget_if_acknowledged(self, obsid: str) -> None:
        """Remove an image from memory if all its instructions are sent and acknowledged."""
        exposure = self._cache.get(obsid)
        if (
            exposure
            and len(exposure.sent) == len(Instruction)
            and all(sent.acked for sent in exposure.sent.values())
        ):
            del self._cache[obsid]

    def _remember(self, exposure: Exposure) -> Exposure:
        self._new_images.add(exposure.job)
        self._cache[exposure.obsid] = exposure
        while len(self._cache) > CACHE:
            self._cache.popitem(last=False)
        return exposure

    async def resend(self, late: PendingAck) -> None:
        """Send an unacknowledged instruction again with the same ACK_ID."""
        if late.instruction is None:
            return
        async with self.lock(late.obsid):
            exposure = await self.load(late.obsid)
            if exposure is None or self._pending_acks.find(late.ack_id) is None:
                self._pending_acks.forget(late.ack_id)
                return
            repeated = late.model_copy(update={"sends": late.sends + 1})
            if await self._publish(exposure, late.instruction, repeated):
                transaction = Transaction().count("resends")
                pending_acks.record(transaction, repeated)
                sent = exposure.sent.get(late.instruction)
                if sent is not None and sent.ack_id == late.ack_id:
                    resent = sent.model_copy(update={"resent_at": unix_time()})
                    exposure.sent[late.instruction] = resent
                    ImageLedger.record_instruction(
                        transaction, late.obsid, late.instruction, resent
                    )
                await self._bridge.transactions.apply(transaction)

    async def _send(self, exposure: Exposure, instruction: Instruction, sending: _Sending) -> bool:
        """Send one instruction and submit its record; return False if it cannot be sent now."""
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
        sent = SentInstruction(
            ack_id=ack_id, session_id=session.id, epoch=epoch, sent_at=unix_time()
        )
        transaction = Transaction().count("instructions_confirmed")
        before = exposure.sent.get(instruction)
        if before is not None:
            transaction.count("instructions_replayed")
            ImageLedger.record_superseded(transaction, exposure.obsid, instruction, before)
        elif since := exposure.ready_at(instruction):
            stage_durations.observe(
                transaction, stage_durations.SENDING[instruction], sent.sent_at - since
            )
        ImageLedger.record_instruction(transaction, exposure.obsid, instruction, sent)
        pending_acks.record(transaction, pending)
        sending.outcomes.append(await self._bridge.transactions.submit(transaction))
        exposure.sent[instruction] = sent
        sending.lines.add(
            _log.info,
            "instruction.sent",
            instruction=instruction,
            job=exposure.job,
            queue=queue,
            **pending.log_keys,
        )
        return True

    async def _publish(
        self, exposure: Exposure, instruction: Instruction, pending: PendingAck
    ) -> bool:
        session = self._bridge.session
        if self._bridge.connection is None:
            return False
        body = self._bridge.writer.instruction(
            instruction,
            exposure,
            ack_id=pending.ack_id,
            session_id=pending.session_id,
            forwarder=session.forwarder,
        ).body()
        self._pending_acks.expect(pending)
        try:
            await self._bridge.transactions.wait_until_safe()
            failpoint.hit(f"bridge.before_{instruction}")
            with structlog.contextvars.bound_contextvars(**pending.log_keys):
                await self._bridge.publish(pending.queue, body, message_id=pending.ack_id)
            failpoint.hit(f"bridge.after_{instruction}")
        except AmqpError as error:
            _log.warning(
                "instruction.waiting",
                instruction=instruction,
                queue=pending.queue,
                **pending.log_keys,
                error=str(error),
            )
            self._unsent.add(exposure.obsid)
            return False
        return True
