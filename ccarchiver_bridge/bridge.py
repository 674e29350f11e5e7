"""The bridge's work: its mailbox, its connection, its deadlines."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import structlog

from ccarchiver_bridge.amqp.errors import LinkError
from ccarchiver_bridge.amqp.link import Delivery, Link
from ccarchiver_bridge.answers import Answers
from ccarchiver_bridge.controller import ControllerWatch
from ccarchiver_bridge.dispatcher import Dispatcher
from ccarchiver_bridge.forwarder import ForwarderWatch
from ccarchiver_bridge.hub import Hub
from ccarchiver_bridge.inbox import Inbox
from ccarchiver_bridge.owed import OwedAnswers
from ccarchiver_bridge.reception import Reception
from ccarchiver_core import keys
from ccarchiver_core.backoff import Backoff
from ccarchiver_core.credentials import load_credentials
from ccarchiver_core.error_codes import ErrorCode
from ccarchiver_core.errors import ConfigError
from ccarchiver_core.mail import AskForwarder, ExposureMail, PurgeQueues, Requeue, SessionChanged, SessionDown
from ccarchiver_core.rabbit_access import require_files
from ccarchiver_core.session import Pairing
from ccarchiver_core.step import Step
from ccarchiver_core.tasks import cancel_and_wait
from ccarchiver_core.vitals import LinkSigns
from ccarchiver_core.worker_watch import WorkerWatch

if TYPE_CHECKING:
    from ccarchiver_core.mailbox import Entry
    from ccarchiver_core.worker import WorkerContext

CHASE_INTERVAL = 0.2
"""Seconds between two looks for overdue answers; small beside any ACK_TIMEOUT."""

_log = structlog.get_logger(__name__)


class Bridge:
    """Everything the bridge process does.

    Parameters
    ----------
    context : `WorkerContext`
        Redis, lease, mailbox.
    """

    def __init__(self, context: WorkerContext) -> None:
        self._context = context
        self._hub = Hub(context)
        self._owed = OwedAnswers(context.settings.ack_timeout)
        self._dispatcher = Dispatcher(self._hub, self._owed)
        self._controller = ControllerWatch(self._hub)
        self._forwarder = ForwarderWatch(self._hub, self._owed)
        self._answers = Answers(self._hub, self._owed, self._dispatcher, self._controller, self._forwarder)
        self._reception = Reception(self._hub, self._answers, self._controller)
        self._wanted = asyncio.Event()
        self._unwanted = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._replay = asyncio.Event()
        self._connected_session = ""
        context.heart.read_link = self._read_link

    async def run(self) -> None:
        """Work until cancelled."""
        await self._owed.load(self._hub.redis)
        await self._dispatcher.begin()
        self._show_state()
        await self._reread_session()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._read_mail())
            group.create_task(self._keep_connected())
            group.create_task(self._chase())
            group.create_task(self._replay_when_told())
            group.create_task(self._controller.watch())
            group.create_task(self._forwarder.watch())
            group.create_task(WorkerWatch(self._context, keys.Worker.HEALTH).run())

    async def _read_mail(self) -> None:
        while True:
            entries = await self._context.mailbox.read()
            at = 0
            while at < len(entries):
                end = at
                while end < len(entries) and isinstance(entries[end].mail, ExposureMail):
                    end += 1
                if end > at:
                    await self._take_exposures(entries[at:end])
                    at = end
                    continue
                await self._context.mailbox.handle(entries[at], self._take)
                at += 1

    async def _take_exposures(self, entries: list[Entry]) -> None:
        """Send what a run of events makes possible: images side by side, each image's own events in order."""
        async with asyncio.TaskGroup() as group:
            for entry in entries:
                if isinstance(entry.mail, ExposureMail):
                    group.create_task(self._take_exposure(entry.mail, is_fresh=entry.is_fresh))
        step = Step()
        for entry in entries:
            step.settle(keys.Worker.BRIDGE, entry.id)
        await self._hub.runner.apply(step)

    async def _take_exposure(self, mail: ExposureMail, *, is_fresh: bool) -> None:
        await self._dispatcher.note(mail, is_fresh=is_fresh)
        self._context.mailbox.progress += 1

    async def _take(self, entry: Entry) -> None:
        step = Step().settle(keys.Worker.BRIDGE, entry.id)
        match entry.mail:
            case SessionChanged(session_id=session_id):
                await self._reread_session()
                if not self._hub.session.wanted or self._hub.session.id != session_id:
                    await self._wait_until_idle()
                    step.post(keys.Worker.SAL, SessionDown(session_id=session_id, worker=keys.Worker.BRIDGE))
                else:
                    self._replay.set()
            case AskForwarder() as mail:
                await self._reread_session()
                await self._forwarder.ask(mail)
            case PurgeQueues():
                await self._reread_session()
                await self._dispatcher.settled()
                await self._forwarder.purge_lost()
            case Requeue(queue=queue, raw=raw):
                delivery = Delivery(queue, raw, tag=0)
                await self._reception.take([delivery], done=lambda it: _log.info("message.requeued", queue=it.queue))
            case other:
                _log.warning("mail.not_for_me", kind=other.kind)
        await self._hub.runner.apply(step)

    async def _reread_session(self) -> None:
        before = self._hub.session
        session = await self._hub.refresh_session()
        if session == before:
            return
        step = Step()
        self._owed.drop_outdated(session, step)
        if step.operations:
            await self._hub.runner.apply(step)
        if session.id != before.id:
            self._controller.reset()
        if session.wanted:
            self._unwanted.clear()
            self._wanted.set()
        else:
            self._wanted.clear()
            self._unwanted.set()
        if session.paired and (session.id, session.epoch) != (before.id, before.epoch if before.paired else -1):
            self._replay.set()
        self._show_state()

    async def _wait_until_idle(self) -> None:
        if not self._hub.session.wanted:
            await self._idle.wait()

    def _show_state(self) -> None:
        session = self._hub.session
        if not session.wanted:
            state = "idle: no session"
        elif self._hub.link is None:
            state = f"waiting for RabbitMQ at {self._hub.settings.broker_text}"
        else:
            state = "connected, paired" if session.paired else "connected, not paired"
        heart = self._context.heart
        heart.state = state
        heart.trouble = state if session.wanted and self._hub.link is None else ""

    def _read_link(self) -> LinkSigns:
        return LinkSigns() if self._hub.link is None else self._hub.link.signs

    async def _keep_connected(self) -> None:
        """Have a connection while a session is wanted, and none otherwise."""
        while True:
            await self._wanted.wait()
            self._idle.clear()
            try:
                await self._connect_and_serve()
            finally:
                self._hub.link = None
                self._idle.set()
            self._show_state()

    async def _connect_and_serve(self) -> None:
        """Connect, serve, and connect again, until the session is no longer wanted."""
        backoff, away_since = Backoff(), time.monotonic()
        while self._wanted.is_set():
            try:
                # read each time: whoever mends the password should not have to restart the bridge as well
                link = await Link.open(self._hub.settings, load_credentials())
            except (LinkError, ConfigError) as error:
                await self._fault_if_away_too_long(time.monotonic() - away_since, str(error))
                await backoff.wait(_log, "rabbitmq.away", error=str(error))
                continue
            try:
                await self._serve(link)
            except LinkError as error:
                _log.warning("rabbitmq.lost", error=str(error))
                await backoff.wait(_log, "rabbitmq.away", error=str(error))
            else:
                backoff = Backoff()
            finally:
                self._hub.link = None
                await link.close()
                self._show_state()
            away_since = time.monotonic()

    async def _fault_if_away_too_long(self, away_s: float, error: str) -> None:
        session, settings = self._hub.session, self._hub.settings
        # A bridge that restarts during an outage has not connected either, but its session began long ago. The search
        # that follows a lost Forwarder shows it: the first search has no loss.
        is_first_search = session.pairing is Pairing.SEARCHING and session.loss is None
        starting = is_first_search and self._connected_session != session.id
        limit = settings.connect_timeout if starting else settings.broker_away_limit
        if away_s >= limit:
            await self._hub.fault(
                ErrorCode.NO_RABBITMQ,
                f"no connection to RabbitMQ for {away_s:.0f} s: {error}; is it running, and are address, vhost, user "
                "and password right?",
            )

    async def _serve(self, link: Link) -> None:
        """Serve one connection until it is closed or the session ends."""
        settings, session = self._hub.settings, self._hub.session
        names = [*Inbox.queue_names(self._hub), settings.archive_ctrl_consume_queue, settings.queue_to_oods]
        if session.forwarder is not None:
            names.append(session.forwarder.consume_queue)
        for name in dict.fromkeys(names):
            await link.declare(name)
        self._hub.link = link
        self._connected_session = session.id
        self._owed.restart_deadlines()
        self._controller.reset()
        self._show_state()
        _log.info("rabbitmq.connected", broker=link.broker, session=session.id)
        await self._hub.runner.apply(Step().count("rabbitmq_connections"))
        inbox = asyncio.create_task(Inbox(self._hub, self._reception, link).run())
        unwanted = asyncio.create_task(self._unwanted.wait())
        try:
            await self._forwarder.link_opened()
            self._replay.set()
            # futures of different results; their type is invariant, and asyncio.wait does not look at results
            waiting: set[asyncio.Future[object]] = {inbox, unwanted, link.closed}  # type: ignore[arg-type]
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._hub.link = None
            unwanted.cancel()
            await cancel_and_wait(inbox)
        if link.closed.done() and self._wanted.is_set():
            raise LinkError(link.closed.result())

    async def _replay_when_told(self) -> None:
        while True:
            await self._replay.wait()
            self._replay.clear()
            if self._hub.session.wanted:
                await self._dispatcher.advance_all()

    async def _chase(self) -> None:
        while True:
            await asyncio.sleep(CHASE_INTERVAL)
            await self._answers.chase()


async def work(context: WorkerContext) -> None:
    """Run the bridge until cancelled.

    Raises
    ------
    ConfigError
        If the credentials file, or one for encryption, is missing, malformed or readable by others.
    """
    # a wrong file shows at once, not at the first start command
    load_credentials()
    require_files(context.settings)
    await Bridge(context).run()
