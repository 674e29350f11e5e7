"""The bridge's tasks: its mailbox, its connection, its deadlines."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import structlog

from ccarchiver_bridge import unreadable_acks
from ccarchiver_bridge.ack_handler import AckHandler
from ccarchiver_bridge.amqp.connection import AmqpConnection, Delivery
from ccarchiver_bridge.amqp.errors import AmqpError, BlockedError
from ccarchiver_bridge.amqp.rejections import BLOCKED_REMEDY
from ccarchiver_bridge.association import Association
from ccarchiver_bridge.consumer import Consumer
from ccarchiver_bridge.context import BridgeContext
from ccarchiver_bridge.controller import ControllerMonitor
from ccarchiver_bridge.dispatcher import Dispatcher
from ccarchiver_bridge.forwarder_monitor import ForwarderMonitor
from ccarchiver_bridge.forwarder_scan import ForwarderScan
from ccarchiver_bridge.message_router import MessageRouter
from ccarchiver_bridge.pending_acks import PendingAcks
from ccarchiver_bridge.queue_purge import purge_lost_queues
from ccarchiver_core import keys
from ccarchiver_core.amqp.parameters import require_files
from ccarchiver_core.base.backoff import Backoff
from ccarchiver_core.base.error_codes import ErrorCode
from ccarchiver_core.base.errors import ConfigError
from ccarchiver_core.base.tasks import cancel_and_wait
from ccarchiver_core.config.credentials import load_credentials
from ccarchiver_core.domain.session import Pairing
from ccarchiver_core.domain.worker_messages import (
    AssociateForwarder,
    ExposureEventMessage,
    PurgeQueues,
    Requeue,
    ScanForwarder,
    SessionChanged,
    SessionStopped,
)
from ccarchiver_core.runtime.heartbeat import BrokerLinkStats
from ccarchiver_core.runtime.watchdog import Watchdog
from ccarchiver_core.store.transaction import Transaction

if TYPE_CHECKING:
    from ccarchiver_core.messaging.mailbox import Entry
    from ccarchiver_core.runtime.worker import WorkerContext

RETRY_INTERVAL_S = 0.2
"""Seconds between two checks for overdue acknowledgements; short compared with ACK_TIMEOUT."""

RETRY_UNSENT_MAX_S = 5.0
"""Maximum of seconds between two attempts to send what RabbitMQ rejected."""

BLOCK_POLL_S = 0.2
"""Seconds between two checks of the limits while RabbitMQ accepts no messages."""

_log = structlog.get_logger(__name__)


class Bridge:
    """All tasks of the bridge process.

    Parameters
    ----------
    context : `WorkerContext`
        Redis, lease, mailbox.
    """

    def __init__(self, context: WorkerContext) -> None:
        self._context = context
        self._bridge = BridgeContext(context)
        self._pending_acks = PendingAcks(context.settings.ack_timeout)
        self._dispatcher = Dispatcher(self._bridge, self._pending_acks)
        self._controller = ControllerMonitor(self._bridge)
        self._monitor = ForwarderMonitor(self._bridge)
        self._association = Association(self._bridge, self._pending_acks, self._monitor)
        self._ack_handler = AckHandler(
            self._bridge, self._pending_acks, self._dispatcher, self._controller, self._association
        )
        self._scan = ForwarderScan(self._bridge, self._pending_acks)
        self._router = MessageRouter(self._bridge, self._ack_handler, self._controller, self._scan)
        self._session_active = asyncio.Event()
        self._session_inactive = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._replay = asyncio.Event()
        self._connected_session = ""
        context.heartbeat.read_broker_link = self._broker_link_stats
        self._bridge.problems.on_change = self._publish_state

    async def run(self) -> None:
        """Run the tasks until cancelled."""
        await self._pending_acks.load(self._bridge.redis)
        await unreadable_acks.replay(self._bridge)
        await self._scan.load()
        await self._dispatcher.begin()
        self._publish_state()
        await self._reread_session()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._read_mailbox())
            group.create_task(self._keep_connected())
            group.create_task(self._retry_overdue_acks())
            group.create_task(self._replay_on_request())
            group.create_task(self._retry_unsent())
            group.create_task(self._controller.run())
            group.create_task(self._monitor.run())
            group.create_task(Watchdog(self._context, keys.Worker.HEALTH).run())

    async def _read_mailbox(self) -> None:
        while True:
            entries = await self._context.mailbox.read()
            index = 0
            while index < len(entries):
                end = index
                while end < len(entries) and isinstance(entries[end].message, ExposureEventMessage):
                    end += 1
                if end > index:
                    await self._handle_exposures(entries[index:end])
                    index = end
                    continue
                await self._context.mailbox.handle(entries[index], self._handle)
                index += 1

    async def _handle_exposures(self, entries: list[Entry]) -> None:
        """Handle consecutive exposure events: images concurrently, each image's events in order."""
        async with asyncio.TaskGroup() as group:
            for entry in entries:
                if isinstance(entry.message, ExposureEventMessage):
                    group.create_task(
                        self._handle_exposure(
                            entry.message, is_first_delivery=entry.is_first_delivery
                        )
                    )
        transaction = Transaction()
        for entry in entries:
            transaction.ack(keys.Worker.BRIDGE, entry.id)
        await self._bridge.transactions.apply(transaction)

    async def _handle_exposure(
        self, message: ExposureEventMessage, *, is_first_delivery: bool
    ) -> None:
        await self._dispatcher.handle_event(message, is_first_delivery=is_first_delivery)
        self._context.mailbox.progress += 1

    async def _handle(self, entry: Entry) -> None:
        transaction = Transaction().ack(keys.Worker.BRIDGE, entry.id)
        match entry.message:
            case SessionChanged(session_id=session_id):
                await self._reread_session()
                if not self._bridge.session.is_active or self._bridge.session.id != session_id:
                    await self._wait_until_idle()
                    transaction.enqueue(
                        keys.Worker.SAL,
                        SessionStopped(session_id=session_id, worker=keys.Worker.BRIDGE),
                    )
                else:
                    self._replay.set()
            case AssociateForwarder() as message:
                await self._reread_session()
                await self._association.request(message)
            case PurgeQueues():
                await self._reread_session()
                await self._dispatcher.drain()
                await purge_lost_queues(self._bridge)
            case ScanForwarder() as message:
                await self._scan.request(message)
            case Requeue(queue=queue, raw=raw):
                delivery = Delivery(queue, raw, tag=0)
                await self._router.handle_batch(
                    [delivery],
                    done=lambda handled: _log.info("message.requeued", queue=handled.queue),
                )
            case other:
                _log.warning("message.unexpected", kind=other.kind)
        await self._bridge.transactions.apply(transaction)

    async def _reread_session(self) -> None:
        before = self._bridge.session
        session = await self._bridge.refresh_session()
        if session == before:
            return
        self._bridge.forget_rejections()
        transaction = Transaction()
        self._pending_acks.drop_outdated(session, transaction)
        if transaction.commands:
            await self._bridge.transactions.apply(transaction)
        if session.id != before.id:
            self._controller.reset()
        if session.is_active:
            self._session_inactive.clear()
            self._session_active.set()
        else:
            self._session_active.clear()
            self._session_inactive.set()
        if session.is_paired and (session.id, session.epoch) != (
            before.id,
            before.epoch if before.is_paired else -1,
        ):
            self._replay.set()
        self._publish_state()

    async def _wait_until_idle(self) -> None:
        if not self._bridge.session.is_active:
            await self._idle.wait()

    def _publish_state(self) -> None:
        session = self._bridge.session
        if not session.is_active:
            state = "idle: no session"
        elif self._bridge.connection is None:
            state = f"waiting for RabbitMQ at {self._bridge.settings.broker_text}"
        else:
            state = "connected, paired" if session.is_paired else "connected, not paired"
        heartbeat = self._context.heartbeat
        heartbeat.state = state
        if session.is_active and self._bridge.connection is None:
            heartbeat.degraded_reason = state
        else:
            heartbeat.degraded_reason = self._bridge.problems.text

    def _broker_link_stats(self) -> BrokerLinkStats:
        connection = self._bridge.connection
        if connection is None:
            waiting = f"waiting for RabbitMQ at {self._bridge.settings.broker_text}"
            return BrokerLinkStats(problem=waiting if self._bridge.session.is_active else "")
        return connection.stats._replace(problem=connection.block_text)

    async def _keep_connected(self) -> None:
        """Keep a connection while a session is active, and none otherwise."""
        while True:
            await self._session_active.wait()
            self._idle.clear()
            try:
                await self._connect_and_serve()
            finally:
                self._bridge.connection = None
                self._idle.set()
            self._publish_state()

    async def _connect_and_serve(self) -> None:
        """Connect, serve and reconnect until the session is no longer active."""
        backoff, down_since = Backoff(), time.monotonic()
        while self._session_active.is_set():
            connection: AmqpConnection | None = None
            try:
                # Read each time: after the password is corrected, the bridge needs no restart.
                connection = await AmqpConnection.open(self._bridge.settings, load_credentials())
                await self._declare_queues(connection)
            except (AmqpError, ConfigError) as error:
                if connection is not None:
                    await connection.close()
                await self._fault_if_down_too_long(time.monotonic() - down_since, error)
                await backoff.wait(_log, "rabbitmq.unavailable", error=str(error))
                continue
            try:
                await self._serve(connection)
            except AmqpError as error:
                _log.warning("rabbitmq.lost", error=str(error))
                await backoff.wait(_log, "rabbitmq.unavailable", error=str(error))
            else:
                backoff = Backoff()
            finally:
                self._bridge.connection = None
                self._bridge.problems.clear_all()
                await connection.close()
                self._publish_state()
            down_since = time.monotonic()

    async def _fault_if_down_too_long(self, down_s: float, error: Exception) -> None:
        session, settings = self._bridge.session, self._bridge.settings
        # A bridge that restarts during an outage has not connected either, but its session is not
        # new. A search after the loss of a Forwarder reveals this: the first search has no loss.
        is_first_search = session.pairing is Pairing.SEARCHING and session.loss is None
        is_blocked = isinstance(error, BlockedError)
        starting = is_first_search and (is_blocked or self._connected_session != session.id)
        limit = settings.connect_timeout if starting else settings.broker_outage_limit
        if down_s >= limit:
            remedy = getattr(error, "remedy", "")
            await self._bridge.fault(
                ErrorCode.NO_RABBITMQ,
                f"no messages to RabbitMQ for {down_s:.0f} s: {error}"
                + (f"; {remedy}" if remedy else ""),
            )

    async def _declare_queues(self, connection: AmqpConnection) -> None:
        """Declare the queues that the archiver consumes and those that it publishes to."""
        settings, session = self._bridge.settings, self._bridge.session
        names = [
            *Consumer.queue_names(self._bridge),
            settings.archive_ctrl_consume_queue,
            settings.queue_to_oods,
        ]
        if session.forwarder is not None:
            names.append(session.forwarder.consume_queue)
        for name in dict.fromkeys(names):
            await connection.declare(name)

    async def _serve(self, connection: AmqpConnection) -> None:
        """Serve one connection until it is closed or the session ends."""
        session = self._bridge.session
        self._bridge.connection = connection
        self._connected_session = session.id
        self._pending_acks.restart_deadlines()
        self._controller.reset()
        self._publish_state()
        _log.info("rabbitmq.connected", broker=connection.broker, session=session.id)
        await self._bridge.transactions.apply(Transaction().count("rabbitmq_connections"))
        consuming = asyncio.create_task(Consumer(self._bridge, self._router, connection).run())
        session_ended = asyncio.create_task(self._session_inactive.wait())
        block_monitor = asyncio.create_task(self._monitor_block(connection))
        try:
            self._monitor.on_connected()
            await purge_lost_queues(self._bridge)
            await self._association.retry()
            self._replay.set()
            waiting: set[asyncio.Future[Any]] = {
                consuming,
                session_ended,
                block_monitor,
                connection.closed,
            }
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._bridge.connection = None
            session_ended.cancel()
            await cancel_and_wait(block_monitor)
            await cancel_and_wait(consuming)
        if connection.closed.done() and self._session_active.is_set():
            raise AmqpError(connection.closed.result())

    async def _monitor_block(self, connection: AmqpConnection) -> None:
        """Report that RabbitMQ accepts no messages, and continue when it accepts them again."""
        while True:
            await connection.block_changed.wait()
            connection.block_changed.clear()
            if not connection.blocked_reason:
                continue
            began = time.monotonic()
            error = BlockedError(connection.block_text, BLOCKED_REMEDY)
            _log.error(
                "rabbitmq.blocked",
                broker=connection.broker,
                reason=connection.blocked_reason,
                effect="no instruction is sent; accepted images wait",
                remedy=BLOCKED_REMEDY,
            )
            self._bridge.problems.set("rabbitmq", f"{error}; {BLOCKED_REMEDY}")
            while connection.blocked_reason and not connection.closed.done():
                await self._fault_if_down_too_long(time.monotonic() - began, error)
                await asyncio.wait({connection.closed}, timeout=BLOCK_POLL_S)
            if connection.closed.done():
                return
            blocked_s = round(time.monotonic() - began, 1)
            _log.info("rabbitmq.unblocked", broker=connection.broker, blocked_s=blocked_s)
            self._bridge.problems.clear("rabbitmq")
            # The peers could not publish either, so they are not late.
            self._pending_acks.restart_deadlines()
            self._controller.reset()
            self._monitor.on_connected()
            await self._association.retry()
            self._replay.set()

    async def _retry_unsent(self) -> None:
        """Try again to send what RabbitMQ rejected while the connection stayed open."""
        backoff = Backoff(RETRY_UNSENT_MAX_S)
        while True:
            await self._bridge.retry_requested.wait()
            self._bridge.retry_requested.clear()
            await backoff.wait(_log, "instructions.unsent", reason=self._bridge.problems.text)
            await self._association.retry()
            await self._dispatcher.retry_unsent()
            if not self._bridge.retry_requested.is_set():
                backoff = Backoff(RETRY_UNSENT_MAX_S)

    async def _replay_on_request(self) -> None:
        while True:
            await self._replay.wait()
            self._replay.clear()
            if self._bridge.session.is_active:
                await self._dispatcher.advance_all()

    async def _retry_overdue_acks(self) -> None:
        while True:
            await self._pending_acks.wait_until_expected()
            await asyncio.sleep(RETRY_INTERVAL_S)
            await self._ack_handler.retry_overdue()


async def work(context: WorkerContext) -> None:
    """Run the bridge until cancelled.

    Raises
    ------
    ConfigError
        If the credentials file, or one for encryption, is missing, malformed or readable by others.
    """
    # An invalid file is an error now, not at the first start command.
    load_credentials()
    require_files(context.settings)
    await Bridge(context).run()
