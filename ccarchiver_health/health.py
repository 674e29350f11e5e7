"""Tasks of the health worker: mailbox, pairing, association key and monitoring."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

from ccarchiver_core import keys
from ccarchiver_core.base.beat import next_beat
from ccarchiver_core.base.error_codes import ErrorCode
from ccarchiver_core.base.tasks import cancel_and_wait
from ccarchiver_core.domain.session import ForwarderLoss, Pairing, Session
from ccarchiver_core.domain.worker_messages import (
    AssociationResult,
    ProcessExited,
    PurgeQueues,
    ReplaceForwarder,
    ReplaceReason,
    RequestScan,
    ScanAnswered,
    SessionChanged,
    SessionStopped,
)
from ccarchiver_core.redis.errors import UNAVAILABLE_ERRORS
from ccarchiver_core.redis.retry import retry_until_available
from ccarchiver_core.runtime.watchdog import Watchdog
from ccarchiver_core.store.session import read_session, require_active
from ccarchiver_core.store.transaction import Transaction
from ccarchiver_health import process_exits
from ccarchiver_health.association_key import write_association
from ccarchiver_health.forwarder_list import ForwarderList
from ccarchiver_health.forwarder_search import ForwarderSearch
from ccarchiver_health.housekeeping import Housekeeping
from ccarchiver_health.orphaned_session import OrphanedSession
from ccarchiver_health.presence import PresenceMonitor
from ccarchiver_health.reconcile.reconciler import Reconciler
from ccarchiver_health.web.page_runner import run_page

if TYPE_CHECKING:
    from ccarchiver_core.domain.session import PairedForwarder
    from ccarchiver_core.messaging.mailbox import Entry
    from ccarchiver_core.runtime.worker import WorkerContext

_log = structlog.get_logger(__name__)


class Health:
    """Tasks of the health process.

    Parameters
    ----------
    context : `WorkerContext`
        Redis client, lease, mailbox and settings.
    """

    def __init__(self, context: WorkerContext) -> None:
        self._context = context
        self._settings = context.settings
        self._session = Session()
        self._forwarder_list = ForwarderList(context)
        self._search: ForwarderSearch | None = None
        self._searching: asyncio.Task[None] | None = None
        self._reconciler = Reconciler(context, lambda: self._session)

    async def run(self) -> None:
        """Run all tasks until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                await self._reread_session(group)
                group.create_task(self._read_mailbox(group))
                group.create_task(self._keep_associated())
                group.create_task(self._watch_presence())
                group.create_task(self._forwarder_list.run())
                watchdog = Watchdog(self._context, keys.Worker.SAL, keys.Worker.BRIDGE)
                group.create_task(watchdog.run())
                group.create_task(OrphanedSession(self._context, watchdog).run())
                group.create_task(self._reconciler.run())
                group.create_task(Housekeeping(self._context).run())
        finally:
            await self._stop_search()

    async def _read_mailbox(self, group: asyncio.TaskGroup) -> None:
        while True:
            for entry in await self._context.mailbox.read():
                await self._context.mailbox.handle(entry, lambda it: self._handle(it, group))

    async def _handle(self, entry: Entry, group: asyncio.TaskGroup) -> None:
        transaction = Transaction().ack(keys.Worker.HEALTH, entry.id)
        match entry.message:
            case SessionChanged(session_id=session_id):
                await self._reread_session(group)
                if not self._session.is_active or self._session.id != session_id:
                    transaction.enqueue(
                        keys.Worker.SAL,
                        SessionStopped(session_id=session_id, worker=keys.Worker.HEALTH),
                    )
            case AssociationResult() as reply:
                if self._search is not None:
                    self._search.answer(reply)
            case ReplaceForwarder() as suspect:
                if suspect.session_id == self._session.id and suspect.epoch == self._session.epoch:
                    # A Forwarder without a consumer may restart and be paired again. One that was
                    # released, or that does not answer, must not be.
                    exclude = suspect.reason is not ReplaceReason.NO_CONSUMER
                    await self._lose(ErrorCode(suspect.code), suspect.report, exclude=exclude)
                    await self._reread_session(group)
            case RequestScan():
                self._reconciler.request()
            case ScanAnswered():
                await self._reconciler.on_answer()
            case ProcessExited(process=program):
                process_exits.record(transaction, program)
            case other:
                _log.warning("message.unexpected", kind=other.kind)
        await self._context.transactions.apply(transaction)

    async def _reread_session(self, group: asyncio.TaskGroup) -> None:
        session = await retry_until_available(lambda: read_session(self._context.redis))
        before, self._session = self._session, session
        searching = session.is_active and session.pairing is Pairing.SEARCHING
        if not searching or session.id != before.id:
            await self._stop_search()
        if searching and (
            self._searching is None or (self._searching.done() and session != before)
        ):
            self._search = ForwarderSearch(self._context, session, self._forwarder_list)
            self._searching = group.create_task(self._search.run())
        self._publish_state()

    def _publish_state(self) -> None:
        session = self._session
        if not session.is_active:
            state = "idle: no session"
        elif session.forwarder is not None:
            state = f"paired with {session.forwarder.hostname}"
        else:
            state = "searching for a Forwarder"
        self._context.heartbeat.state = state

    async def _stop_search(self) -> None:
        task, self._searching, self._search = self._searching, None, None
        if task is not None and not task.done():
            await cancel_and_wait(task)

    async def _keep_associated(self) -> None:
        """Write the association key periodically.

        The preconditions fail if another session or pairing has begun.
        """
        while True:
            session = self._session
            if session.is_paired and session.forwarder is not None:
                transaction = Transaction()
                require_active(transaction, session.id)
                transaction.require(keys.SESSION, "epoch", session.epoch)
                write_association(transaction, self._context, session.forwarder)
                await self._context.transactions.apply(transaction)
            await next_beat(self._settings.beacon.seconds_to_update)

    async def _watch_presence(self) -> None:
        monitor = PresenceMonitor(self._context.redis)
        epoch = -1
        while True:
            await monitor.pause()
            session = self._session
            if not session.is_paired or session.forwarder is None:
                continue
            if session.epoch != epoch:
                monitor.reset()
                epoch = session.epoch
            report = await self._loss_reason(monitor, session.forwarder)
            if report:
                await self._lose(ErrorCode.FORWARDER_GONE, report, exclude=False)
                monitor.reset()

    async def _loss_reason(self, monitor: PresenceMonitor, forwarder: PairedForwarder) -> str:
        """Return why the paired Forwarder counts as lost, empty if it is alive.

        A Forwarder registers in the list when it starts. If the paired Forwarder registers, it has
        been restarted. The new process has no data of the images in flight, although its queue has
        a consumer and its presence key exists.
        """
        key = forwarder.presence_key
        if await monitor.missing_for(key) >= self._settings.presence_grace:
            return f"Forwarder {forwarder.hostname} is gone: its key {key} is no longer in Redis"
        try:
            is_relisted = await self._forwarder_list.contains(forwarder.consume_queue)
        except UNAVAILABLE_ERRORS:
            return ""
        if not is_relisted:
            return ""
        return f"Forwarder {forwarder.hostname} has been restarted: it has registered again"

    async def _lose(self, code: ErrorCode, report: str, *, exclude: bool) -> None:
        """End the pairing, and start the search for another Forwarder.

        The transaction begins a new epoch and instructs the bridge to purge the Forwarder's queue.
        """
        session = self._session
        if not session.is_paired or session.forwarder is None:
            return
        queue = session.forwarder.consume_queue
        _log.warning(
            "forwarder.lost",
            hostname=session.forwarder.hostname,
            queue=queue,
            session=session.id,
            epoch=session.epoch,
            report=report,
        )
        loss = ForwarderLoss(code=code, report=report, queue=queue, exclude_from_search=exclude)
        changed = SessionChanged(session_id=session.id)
        transaction = Transaction()
        require_active(transaction, session.id)
        transaction.require(keys.SESSION, "epoch", session.epoch)
        transaction.set_fields(
            keys.SESSION,
            {
                "epoch": session.epoch + 1,
                "pairing": Pairing.SEARCHING,
                "loss": loss.model_dump_json(),
            },
        )
        transaction.command("HDEL", keys.SESSION, "forwarder")
        transaction.command("DEL", self._settings.association_key)
        transaction.command("SADD", keys.QUEUES_TO_PURGE, queue)
        transaction.enqueue(keys.Worker.BRIDGE, changed)
        transaction.enqueue(keys.Worker.BRIDGE, PurgeQueues(session_id=session.id))
        transaction.enqueue(keys.Worker.HEALTH, changed)
        transaction.count("forwarders_lost")
        await self._context.transactions.apply(transaction)
        self._session = session.model_copy(update={"pairing": Pairing.SEARCHING, "forwarder": None})


async def work(context: WorkerContext) -> None:
    """Run the health worker and the status page until cancelled."""
    async with asyncio.TaskGroup() as group:
        group.create_task(Health(context).run())
        group.create_task(run_page(context.settings))
