"""Requests scans of the camera's images, and records the images that were missed.

No exposure may wait for a scan, so a scan is requested only while none is in progress.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import structlog
from redis.exceptions import RedisError

from ccarchiver_core import keys
from ccarchiver_core.base.beat import next_beat
from ccarchiver_core.base.clock import unix_time
from ccarchiver_core.base.errors import CcArchiverError
from ccarchiver_core.config.value_types import CatchUp
from ccarchiver_core.domain.worker_messages import ScanForwarder
from ccarchiver_core.runtime.heartbeat import read_heartbeat
from ccarchiver_core.status.live_exposures import is_exposing
from ccarchiver_core.store import scans
from ccarchiver_core.store.scans import ScanState, read_scan
from ccarchiver_core.store.session import require_active
from ccarchiver_core.store.transaction import Outcome, Transaction
from ccarchiver_health.reconcile.answer import KEPT_SCANS, read_answer
from ccarchiver_health.reconcile.answer_recorder import AnswerRecorder
from ccarchiver_health.reconcile.catch_up import CatchUpTask
from ccarchiver_health.reconcile.missing_numbers import MissingNumbers

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from ccarchiver_core.domain.session import Session
    from ccarchiver_core.runtime.worker import WorkerContext
    from ccarchiver_core.store.scans import Scan

POLL_INTERVAL = 1.0
"""Seconds between two checks whether a scan is due, or its answer is late."""

NUMBERS_INTERVAL = 5.0
"""Seconds between two searches for gaps in the numbers; each reads the names of a day."""

RETRY_AFTER = 10.0
"""Seconds after which a scan that the bridge could not send is requested again."""

POSTPONED_INTERVALS = 3
"""SCAN_INTERVALs after which a scan that exposures prevent is reported.

With the default this is half an hour, longer than the usual series of exposures without a pause.
"""

_log = structlog.get_logger(__name__)


class Reconciler:
    """Compares the ledger with the images that the camera took.

    Parameters
    ----------
    context : `WorkerContext`
        Redis, transactions, settings.
    session : callable
        Returns the current session.
    """

    def __init__(self, context: WorkerContext, session: Callable[[], Session]) -> None:
        self._context = context
        self._settings = context.settings
        self._session = session
        self._answers = AnswerRecorder(context)
        self._due_at = 0.0
        """Monotonic time at which the next scan is due."""
        self._deadline: tuple[int, ScanState, float] | None = None
        """Number, state and monotonic deadline of the outstanding scan."""
        self._postponed_at: float | None = None
        """Monotonic time at which an exposure first prevented the scan that is due."""
        self._pairing: tuple[str, int] | None = None
        self._csc_started = ""
        self._numbers = MissingNumbers(context)
        self._catch_up = CatchUpTask(context, session, lambda: time.monotonic() >= self._due_at)
        self._numbers_checked_at = 0.0

    def request(self) -> None:
        """Make a scan due now."""
        self._due_at = 0.0

    async def on_answer(self) -> None:
        """Record an answer to a scan; safe to repeat."""
        if self._settings.catch_up is not CatchUp.OFF:
            await self._answers.record()
            if self._answers.has_more:
                self._due_at = min(self._due_at, time.monotonic() + RETRY_AFTER)

    async def run(self) -> None:
        """Request scans when they are due, and missed images, until cancelled.

        While Redis is unavailable they are postponed.
        """
        if self._settings.catch_up is CatchUp.OFF:
            return
        async with asyncio.TaskGroup() as group:
            group.create_task(self._repeat(self._search, lambda: POLL_INTERVAL))
            group.create_task(self._repeat(self._catch_up.poll, lambda: self._catch_up.interval))

    async def _search(self) -> None:
        """Search for missed images by their numbers and, if it is due, by a scan."""
        await self._check_numbers()
        await self.poll()

    @staticmethod
    async def _repeat(work: Callable[[], Awaitable[None]], interval: Callable[[], float]) -> None:
        """Repeat a piece of work after each interval, also after an error."""
        while True:
            await next_beat(interval())
            try:
                await work()
            except (RedisError, OSError) as error:
                _log.warning("scan.postponed", error=str(error))
            except CcArchiverError:
                raise
            except Exception:  # noqa: BLE001  logged with its traceback; pairing must go on
                _log.exception("scan.failed", effect="missed exposures may stay unknown")
                await asyncio.sleep(RETRY_AFTER)

    async def _check_numbers(self) -> None:
        """Record the images of gaps in the numbers; then a scan is due, which can confirm them."""
        now = time.monotonic()
        if now - self._numbers_checked_at < NUMBERS_INTERVAL:
            return
        self._numbers_checked_at = now
        if await self._numbers.record():
            self.request()

    async def poll(self) -> None:
        """Request a scan if one is due, and end one whose answer is late."""
        session = self._session()
        if not session.is_paired:
            self._postponed_at = None
            return
        await self._notice_begin(session)
        scan = await read_scan(self._context.redis)
        if scan.is_outstanding:
            await self._check_deadline(scan)
            return
        self._deadline = None
        if scan.state is ScanState.NOT_SENT and time.monotonic() < self._due_at:
            self._due_at = min(self._due_at, time.monotonic() + RETRY_AFTER)
        if time.monotonic() < self._due_at:
            return
        if await is_exposing(self._context.redis, self._settings.files_per_image):
            await self._postpone(scan)
            return
        await self._request(session, scan)

    async def _postpone(self, scan: Scan) -> None:
        """Record that exposures prevent the scan that is due, once they have done so for long."""
        now = time.monotonic()
        if self._postponed_at is None:
            self._postponed_at = now
        postponed_s = now - self._postponed_at
        limit_s = POSTPONED_INTERVALS * self._settings.scan_interval
        if scan.postponed_since or postponed_s < limit_s:
            return
        transaction = Transaction()
        scans.write(transaction, scan, postponed_since=unix_time() - postponed_s)
        if await self._context.transactions.apply(transaction) is Outcome.APPLIED:
            _log.warning(
                "scan.impossible",
                effect="only missing numbers show missed exposures",
                reason="exposures follow each other without a pause",
                seconds=round(postponed_s),
            )

    async def _notice_begin(self, session: Session) -> None:
        """Make a scan due after each pairing, and after each start of the CSC."""
        pairing = (session.id, session.epoch)
        heartbeat = await read_heartbeat(self._context.redis, keys.Worker.SAL)
        started = self._csc_started if heartbeat is None else heartbeat.started
        if pairing != self._pairing or started != self._csc_started:
            self._pairing, self._csc_started = pairing, started
            self.request()

    async def _request(self, session: Session, last: Scan) -> None:
        """Request a scan from the bridge, and delete what late answers to earlier ones have left.

        A list that a late answer may still need is kept.
        """
        if session.forwarder is None:
            return
        number = last.number + 1
        transaction = Transaction()
        require_active(transaction, session.id)
        transaction.require(keys.SESSION, "epoch", session.epoch)
        scans.write(
            transaction,
            last,
            number=number,
            state=ScanState.REQUESTED,
            hostname=session.forwarder.hostname,
            queue=session.forwarder.consume_queue,
            requested_at=unix_time(),
            sent_at=0,
            finished_at=0,
            postponed_since=0,
        )
        transaction.command("DEL", keys.scan_names(number), keys.scan_names(number - KEPT_SCANS))
        transaction.enqueue(
            keys.Worker.BRIDGE,
            ScanForwarder(session_id=session.id, epoch=session.epoch, number=number),
        )
        if await self._context.transactions.apply(transaction) is Outcome.APPLIED:
            self._due_at = time.monotonic() + self._settings.scan_interval
            self._postponed_at = None

    async def _check_deadline(self, scan: Scan) -> None:
        """End a scan without an answer, after SCAN_TIMEOUT in each of its two states."""
        now = time.monotonic()
        if self._deadline is None or self._deadline[:2] != (scan.number, scan.state):
            self._deadline = (scan.number, scan.state, now + self._settings.scan_timeout)
        if now < self._deadline[2]:
            return
        answer = await read_answer(self._context.redis, scan.number)
        if answer.keys:
            # Only SCAN_ACK is missing. RabbitMQ may have lost it with its queue.
            await self._answers.record()
            return
        transaction = Transaction().count("scans_unanswered")
        scans.write(
            transaction, scan, state=ScanState.UNANSWERED, finished_at=unix_time(), unread=0
        )
        if await self._context.transactions.apply(transaction) is Outcome.APPLIED:
            _log.info(
                "scan.unanswered",
                number=scan.number,
                hostname=scan.hostname,
                reason="no SCAN_ACK within SCAN_TIMEOUT; a Forwarder without images sends none",
            )
