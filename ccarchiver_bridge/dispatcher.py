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

from ccarchiver_bridge import owed as owed_answers
from ccarchiver_bridge.amqp.errors import LinkError, UnroutableError
from ccarchiver_bridge.owed import Owed
from ccarchiver_core import keys, killpoint, ledger, measures
from ccarchiver_core.errors import CcArchiverError
from ccarchiver_core.exposure import Exposure, Order, Sent, ack_number
from ccarchiver_core.log_later import LogLater
from ccarchiver_core.redis_client import patiently
from ccarchiver_core.step import Step, unix_time

if TYPE_CHECKING:
    from ccarchiver_bridge.hub import Hub
    from ccarchiver_bridge.owed import OwedAnswers
    from ccarchiver_core.mail import ExposureMail
    from ccarchiver_core.step import Outcome

CACHE = 3000
"""Images kept in memory while something is to be sent for them or answered; a burst of 2,000 fits."""

_log = structlog.get_logger(__name__)


@dataclass
class _Sending:
    """What is under way of an image's orders that went out."""

    outcomes: list[asyncio.Future[Outcome]] = field(default_factory=list)
    lines: LogLater = field(default_factory=LogLater)


class Dispatcher:
    """Sends the orders of images.

    Parameters
    ----------
    hub : `Hub`
        Session and link.
    answers : `OwedAnswers`
        Where the answers are expected.
    """

    def __init__(self, hub: Hub, answers: OwedAnswers) -> None:
        self._hub = hub
        self._answers = answers
        self._cache: collections.OrderedDict[str, Exposure] = collections.OrderedDict()
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._busy: set[asyncio.Future[None]] = set()
        self._highest_job = 0

    async def begin(self) -> None:
        """Learn which jobs an earlier process may have had; call it once, first."""
        job = await patiently(lambda: self._hub.redis.hget(keys.COUNTERS, "job"))
        self._highest_job = int(job or 0)

    def lock(self, obsid: str) -> asyncio.Lock:
        """Give the lock that keeps one image's steps in order."""
        found = self._locks.get(obsid)
        if found is None:
            found = self._locks[obsid] = asyncio.Lock()
        return found

    async def note(self, mail: ExposureMail, *, is_fresh: bool) -> None:
        """Take in an event of an image, and send what it makes possible.

        Parameters
        ----------
        mail : `ExposureMail`
            The event.
        is_fresh : `bool`
            Whether this letter was never read before, so that nothing can have been done about it.
        """
        async with self.lock(mail.obsid):
            exposure = self._cache.get(mail.obsid)
            if exposure is None and is_fresh and mail.is_first and mail.job > self._highest_job:
                # Job numbers rise: neither this process nor an earlier one has had it. There is nothing to be read.
                exposure = self._remember(Exposure(obsid=mail.obsid, job=mail.job))
            if exposure is not None:
                exposure.note(mail.event, mail.at)
        await self.advance_safely(mail.obsid)

    async def advance_safely(self, obsid: str) -> None:
        """Do what `advance` does, but keep a defect that one image shows from stopping the others."""
        try:
            await self.advance(obsid)
        except CcArchiverError:
            raise
        except Exception:  # noqa: BLE001  logged with its traceback
            _log.exception("image.defect", image=obsid, effect="it stays unfinished and will be reported as stalled")

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
                order = exposure.next_order(self._hub.session.id, self._hub.session.epoch)
                if order is None or not await self._send(exposure, order, sending):
                    break
        # Their records are on their way, in order. The image's next order need not wait until they are on disk.
        for outcome in sending.outcomes:
            await outcome
        sending.lines.tell()

    async def advance_all(self) -> None:
        """Send what every unfinished image needs, oldest job first: after a restart, a reconnect, a new pairing."""
        names = await patiently(lambda: ledger.unfinished(self._hub.redis))
        if names:
            _log.info("images.resumed", count=len(names))
        for obsid in names:
            async with self.lock(obsid):
                self._cache.pop(obsid, None)
            await self.advance_safely(obsid)

    async def settled(self) -> None:
        """Wait until no message that was begun before this call is under way; not from within `advance`."""
        if self._busy:
            await asyncio.wait(set(self._busy))

    async def load(self, obsid: str) -> Exposure | None:
        """Get an image from memory or the ledger; call it under the image's lock."""
        found = self._cache.get(obsid)
        if found is None:
            await self._hub.runner.settled()  # what has just been sent is to be in what is read
            found = await patiently(
                lambda: ledger.read_exposure(self._hub.redis, obsid, self._hub.settings.files_per_image)
            )
            if found is None:
                return None
            self._remember(found)
        self._cache.move_to_end(obsid)
        return found

    def forget_if_done(self, obsid: str) -> None:
        """Keep an image no longer in memory for which all is sent and answered."""
        exposure = self._cache.get(obsid)
        if exposure and len(exposure.sent) == len(Order) and all(sent.acked for sent in exposure.sent.values()):
            del self._cache[obsid]

    def _remember(self, exposure: Exposure) -> Exposure:
        self._highest_job = max(self._highest_job, exposure.job)
        self._cache[exposure.obsid] = exposure
        while len(self._cache) > CACHE:
            self._cache.popitem(last=False)
        return exposure

    async def resend(self, late: Owed) -> None:
        """Send an unanswered order again with the same ACK_ID."""
        if late.order is None:
            return
        async with self.lock(late.obsid):
            exposure = await self.load(late.obsid)
            if exposure is None or self._answers.find(late.ack_id) is None:
                self._answers.forget(late.ack_id)
                return
            again = late.model_copy(update={"sends": late.sends + 1})
            if await self._publish(exposure, late.order, again):
                step = Step().count("resends")
                owed_answers.record(step, again)
                sent = exposure.sent.get(late.order)
                if sent is not None and sent.ack_id == late.ack_id:
                    exposure.sent[late.order] = sent.model_copy(update={"again_at": unix_time()})
                    ledger.record_sent(step, late.obsid, late.order, exposure.sent[late.order])
                await self._hub.runner.apply(step)

    async def _send(self, exposure: Exposure, order: Order, sending: _Sending) -> bool:
        """Send one order and give its record to Redis; False if it cannot go out now."""
        session = self._hub.session
        if not session.wanted:
            return False
        if order is Order.NEW_ITEM:
            queue, epoch = self._hub.settings.archive_ctrl_consume_queue, 0
        elif session.paired and session.forwarder is not None:
            queue, epoch = session.forwarder.consume_queue, session.epoch
        else:
            return False
        ack_id = f"{session.id}_{ack_number(exposure.job, epoch, order.digit)}"
        owed = Owed(ack_id=ack_id, session_id=session.id, epoch=epoch, queue=queue, order=order, obsid=exposure.obsid)
        if not await self._publish(exposure, order, owed):
            self._answers.forget(ack_id)
            return False
        sent = Sent(ack_id=ack_id, session_id=session.id, epoch=epoch, at=unix_time())
        step = Step().count("orders_confirmed")
        before = exposure.sent.get(order)
        if before is not None:
            step.count("orders_replayed")
            ledger.record_past(step, exposure.obsid, order, before)
        elif since := exposure.possible_since(order):
            measures.observe(step, measures.SENDING[order], sent.at - since)
        ledger.record_sent(step, exposure.obsid, order, sent)
        owed_answers.record(step, owed)
        sending.outcomes.append(await self._hub.runner.give(step))
        exposure.sent[order] = sent
        sending.lines.note(_log.info, "order.sent", order=order, job=exposure.job, queue=queue, **owed.log_keys)
        return True

    async def _publish(self, exposure: Exposure, order: Order, owed: Owed) -> bool:
        link, session = self._hub.link, self._hub.session
        if link is None:
            return False
        body = self._hub.writer.order(
            order, exposure, ack_id=owed.ack_id, session_id=owed.session_id, forwarder=session.forwarder
        ).body()
        self._answers.expect(owed)
        try:
            await self._hub.runner.ready()
            killpoint.reach(f"bridge.before_{order}")
            try:
                await link.publish(owed.queue, body, message_id=owed.ack_id)
            except UnroutableError as error:
                _log.warning(
                    "queue.missing", queue=owed.queue, **owed.log_keys, error=str(error), mend="declaring it again"
                )
                await link.declare(owed.queue)
                await link.publish(owed.queue, body, message_id=owed.ack_id)
            killpoint.reach(f"bridge.after_{order}")
        except (LinkError, UnroutableError) as error:
            _log.warning("order.waits", order=order, queue=owed.queue, **owed.log_keys, error=str(error))
            return False
        return True
