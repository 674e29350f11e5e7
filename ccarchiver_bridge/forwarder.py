"""The Forwarder as RabbitMQ shows it: asking one to associate, seeing whether it consumes, emptying its queue."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import structlog

from ccarchiver_bridge import owed as owed_answers
from ccarchiver_bridge.amqp.errors import LinkError, UnroutableError
from ccarchiver_bridge.owed import MAX_SENDS, Owed
from ccarchiver_core import keys, killpoint
from ccarchiver_core.error_codes import ErrorCode
from ccarchiver_core.exposure import ack_number
from ccarchiver_core.mail import ForwarderReply, ForwarderSuspect, Reply, Suspicion
from ccarchiver_core.redis_client import patiently, read_set
from ccarchiver_core.step import Step

if TYPE_CHECKING:
    from ccarchiver_bridge.amqp.link import Link
    from ccarchiver_bridge.hub import Hub
    from ccarchiver_bridge.messages.incoming import AssociatedAck
    from ccarchiver_bridge.owed import OwedAnswers
    from ccarchiver_core.mail import AskForwarder

ASSOCIATED_DIGIT = 0
"""Last digit of ASSOCIATED's ACK_ID number."""

LOOK_INTERVAL = 0.5
"""Seconds between two looks at the Forwarder's queue."""

LOOKS_WITHOUT_CONSUMER = 3
"""Looks in a row without a consumer after which a Forwarder is suspect: one look may fall into its reconnect."""

RECONNECT_GRACE = 12.0
"""Seconds after our own reconnect in which a Forwarder without a consumer may be reconnecting as well."""

_log = structlog.get_logger(__name__)


class ForwarderWatch:
    """Pairing and watching by way of RabbitMQ; health decides what it means.

    Parameters
    ----------
    hub, owed
        Session and link; where the answers are expected.
    """

    def __init__(self, hub: Hub, owed: OwedAnswers) -> None:
        self._hub = hub
        self._owed = owed
        self._asked: AskForwarder | None = None
        self._connected_at = time.monotonic()
        self._seen_epoch = -1
        self._suspected_epoch = -1

    async def link_opened(self) -> None:
        """Do what had to wait for the connection."""
        self._connected_at = time.monotonic()
        self._seen_epoch = -1
        await self.purge_lost()
        if self._asked is not None and self._owed.find(self._ack_id(self._asked)) is None:
            await self._ask()

    async def ask(self, mail: AskForwarder) -> None:
        """Send ASSOCIATED to a Forwarder that health has chosen; waits for the link if there is none. Repeatable."""
        session = self._hub.session
        if mail.session_id != session.id or not session.wanted or mail.epoch != session.epoch:
            return
        self._asked = mail
        if self._hub.link is not None and self._owed.find(self._ack_id(mail)) is None:
            await self._ask()

    async def ask_again(self, late: Owed) -> None:
        """Send ASSOCIATED once more with the same ACK_ID."""
        await self._publish(late.model_copy(update={"sends": late.sends + 1}))

    async def associated(self, owed: Owed, ack: AssociatedAck) -> None:
        """Tell health that the Forwarder took the pairing."""
        await self._reply(owed, Reply.ASSOCIATED, presence_key=ack.ASSOCIATION_KEY)

    async def silent(self, owed: Owed) -> None:
        """Tell health that the Forwarder did not answer."""
        detail = f"ASSOCIATED was sent {MAX_SENDS} times to queue {owed.queue} and not answered"
        await self._reply(owed, Reply.SILENT, detail=detail)

    async def purge_lost(self) -> None:
        """Empty lost Forwarders' queues, so that nobody who serves one next gets old orders. Safe to repeat.

        What cannot be done without a connection is done when there is one.
        """
        link, forwarder = self._hub.link, self._hub.session.forwarder
        names = await patiently(lambda: read_set(self._hub.redis, keys.TO_PURGE))
        for queue in names:
            if link is None:
                return
            if forwarder is None or forwarder.consume_queue != queue:
                try:
                    await self._purge(link, queue)
                except LinkError as error:
                    _log.warning("queue.not_purged", queue=queue, error=str(error))
                    return
            await self._hub.runner.apply(Step().do("SREM", keys.TO_PURGE, queue))

    @staticmethod
    async def _purge(link: Link, queue: str) -> None:
        if await link.inspect(queue) is None:
            return
        count = await link.purge(queue)
        if count:
            _log.info("queue.purged", queue=queue, messages=count)

    async def watch(self) -> None:
        """Look for the paired Forwarder's consumer until cancelled."""
        missing = 0
        while True:
            await asyncio.sleep(LOOK_INTERVAL)
            session, link = self._hub.session, self._hub.link
            if link is None or not session.paired or session.forwarder is None:
                missing = 0
                continue
            try:
                state = await link.inspect(session.forwarder.consume_queue)
            except LinkError:
                missing = 0
                continue
            if state is not None and state.consumers > 0:
                self._seen_epoch = session.epoch
                missing = 0
                continue
            may_be_reconnecting = time.monotonic() - self._connected_at < RECONNECT_GRACE
            if self._seen_epoch != session.epoch and may_be_reconnecting:
                continue
            missing += 1
            if missing >= LOOKS_WITHOUT_CONSUMER and self._suspected_epoch != session.epoch:
                self._suspected_epoch = session.epoch
                await self._suspect(session.forwarder.hostname, session.forwarder.consume_queue)

    async def _suspect(self, hostname: str, queue: str) -> None:
        session = self._hub.session
        report = f"Forwarder {hostname}: its queue {queue} has had no consumer for {LOOKS_WITHOUT_CONSUMER} looks"
        _log.warning("forwarder.no_consumer", hostname=hostname, queue=queue, session=session.id, epoch=session.epoch)
        suspect = ForwarderSuspect(
            session_id=session.id,
            epoch=session.epoch,
            suspicion=Suspicion.NO_CONSUMER,
            code=ErrorCode.FORWARDER_GONE,
            report=report,
        )
        await self._hub.suspect(suspect)

    @staticmethod
    def _ack_id(mail: AskForwarder) -> str:
        return f"{mail.session_id}_{ack_number(0, mail.epoch, ASSOCIATED_DIGIT)}"

    async def _ask(self) -> None:
        mail, link = self._asked, self._hub.link
        if mail is None or link is None:
            return
        queue = mail.forwarder.consume_queue
        owed = Owed(ack_id=self._ack_id(mail), session_id=mail.session_id, epoch=mail.epoch, queue=queue)
        try:
            state = await link.declare(queue)
        except LinkError as error:
            if self._hub.link is link and not link.closed.done():
                await self._reply(owed, Reply.REFUSED, detail=f"queue {queue} cannot be declared: {error}")
            return
        if state.consumers == 0:
            await self._purge(link, queue)
            await self._reply(owed, Reply.NO_CONSUMER, detail=f"nobody consumes queue {queue}")
            return
        self._seen_epoch = mail.epoch  # its death is seen from now on, also before the first look at its queue
        await self._publish(owed)

    async def _publish(self, owed: Owed) -> None:
        link = self._hub.link
        if link is None:
            return
        self._owed.expect(owed)
        try:
            killpoint.reach("bridge.before_associated")
            await link.publish(owed.queue, self._hub.writer.associated(owed.ack_id).body(), message_id=owed.ack_id)
            killpoint.reach("bridge.after_associated")
        except (LinkError, UnroutableError) as error:
            self._owed.forget(owed.ack_id)
            _log.warning("associated.waits", queue=owed.queue, **owed.log_keys, error=str(error))
            return
        step = Step()
        owed_answers.record(step, owed)
        await self._hub.runner.apply(step)
        _log.info("associated.sent", queue=owed.queue, **owed.log_keys)

    async def _reply(self, owed: Owed, reply: Reply, *, presence_key: str = "", detail: str = "") -> None:
        step = Step()
        owed_answers.settle(step, owed.ack_id)
        step.post(
            keys.Worker.HEALTH,
            ForwarderReply(
                session_id=owed.session_id, epoch=owed.epoch, reply=reply, presence_key=presence_key, detail=detail
            ),
        )
        await self._hub.runner.apply(step)
        self._owed.forget(owed.ack_id)
        if self._asked is not None and self._ack_id(self._asked) == owed.ack_id:
            self._asked = None
