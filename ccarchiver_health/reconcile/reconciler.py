"""Requests scans of the camera's images, and records the images that were missed.

No exposure may wait for a scan, so a scan is requested only while none is in progress.
"""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING

import structlog
from redis.exceptions import RedisError

from ccarchiver_core import keys
from ccarchiver_core.base.clock import unix_time
from ccarchiver_core.config.value_types import CatchUp
from ccarchiver_core.domain.image_record import ImageState, MissedBy, MissedImage
from ccarchiver_core.domain.worker_messages import ScanForwarder
from ccarchiver_core.redis.retry import retry_until_available
from ccarchiver_core.runtime.heartbeat import read_heartbeat
from ccarchiver_core.store import dead_letters, scans
from ccarchiver_core.store.image_ledger import ImageLedger
from ccarchiver_core.store.scans import ScanState, read_scan
from ccarchiver_core.store.session import require_active
from ccarchiver_core.store.transaction import Outcome, Transaction
from ccarchiver_health.periodic_log import PeriodicLog
from ccarchiver_health.reconcile.answer import KEPT_SCANS, MAX_NAMES, read_answer
from ccarchiver_health.reconcile.exposure_times import ExposureTimes
from ccarchiver_health.reconcile.live_exposures import is_exposing
from ccarchiver_health.reconcile.scan_names import ScanNames, sort_names

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ccarchiver_core.domain.session import Session
    from ccarchiver_core.runtime.worker import WorkerContext
    from ccarchiver_core.store.scans import Scan
    from ccarchiver_health.reconcile.answer import Answer

POLL_INTERVAL = 1.0
"""Seconds between two checks whether a scan is due, or its answer is late."""

RETRY_AFTER = 10.0
"""Seconds after which a scan that the bridge could not send is requested again."""

ATTEMPTS = 5
"""Attempts to record an answer while events of its images arrive; the next scan has the rest."""

SAMPLE = 20
"""Names that a dead letter or a log line contains of many."""

SHOWN = 80
"""Characters of a name that is shown."""

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
        self._ledger = ImageLedger(context.redis)
        self._due_at = 0.0
        """Monotonic time at which the next scan is due."""
        self._deadline: tuple[int, ScanState, float] | None = None
        """Number, state and monotonic deadline of the outstanding scan."""
        self._pairing: tuple[str, int] | None = None
        self._csc_started = ""
        self._others = PeriodicLog(_log.warning, "scan.other_camera", "count")
        self._truncated = PeriodicLog(_log.error, "scan.truncated", "unread")

    def request(self) -> None:
        """Make a scan due now."""
        self._due_at = 0.0

    async def run(self) -> None:
        """Request scans when they are due, until cancelled.

        While Redis is unavailable they are postponed.
        """
        if self._settings.catch_up is CatchUp.OFF:
            return
        while True:
            await asyncio.sleep(POLL_INTERVAL)
            try:
                await self.poll()
            except (RedisError, OSError) as error:
                _log.warning("scan.postponed", error=str(error))

    async def poll(self) -> None:
        """Request a scan if one is due, and end one whose answer is late."""
        session = self._session()
        if not session.is_paired:
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
            return
        await self._request(session, scan)

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
        )
        transaction.command("DEL", keys.scan_names(number), keys.scan_names(number - KEPT_SCANS))
        transaction.enqueue(
            keys.Worker.BRIDGE,
            ScanForwarder(session_id=session.id, epoch=session.epoch, number=number),
        )
        if await self._context.transactions.apply(transaction) is Outcome.APPLIED:
            self._due_at = time.monotonic() + self._settings.scan_interval

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
            await self.collect()
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

    async def collect(self) -> None:
        """Record the images that an answer contains and the archiver has missed; safe to repeat.

        The transaction that records them also deletes the list, so each list is used once.
        """
        if self._settings.catch_up is CatchUp.OFF:
            return
        for _ in range(ATTEMPTS):
            scan = await retry_until_available(lambda: read_scan(self._context.redis))
            number = scan.number
            answer = await retry_until_available(
                lambda number=number: read_answer(self._context.redis, number)  # type: ignore[misc]  # mypy infers no type for the default of a lambda
            )
            if not answer.keys and scan.state is not ScanState.SENT:
                _log.info("scan.answer_ignored", number=scan.number, reason="repeated or too late")
                await self._context.transactions.apply(Transaction().count("scan_answers_ignored"))
                return
            names = sort_names(answer.names, self._settings.image_prefix)
            missed = await retry_until_available(lambda names=names: self._missed(names.images))  # type: ignore[misc]  # as above
            if await self._record(scan, answer, names, missed) is Outcome.APPLIED:
                self._report(scan, answer, names, missed)
                return
        _log.warning("scan.not_recorded", reason="events of its images arrive meanwhile")

    async def _missed(self, names: Sequence[str]) -> list[MissedImage]:
        """Return those of the names that are not in the ledger, or only as skipped."""
        states = await self._ledger.read_states(names)
        absent = [
            obsid for obsid in names if states.get(obsid, ImageState.SKIPPED) is ImageState.SKIPPED
        ]
        if not absent:
            return []
        now = time.time()
        known = await self._ledger.read_times(now - 2 * self._settings.scan_window)
        times = ExposureTimes(known, now)
        return [
            MissedImage(
                obsid=obsid,
                at=known[obsid] if obsid in known else times.estimate(obsid),
                missed_by=MissedBy.SCAN,
                was_skipped=obsid in states,
            )
            for obsid in absent
        ]

    async def _record(
        self, scan: Scan, answer: Answer, names: ScanNames, missed: Sequence[MissedImage]
    ) -> Outcome:
        transaction = Transaction().count("scans_answered")
        now = unix_time()
        scans.write(
            transaction,
            scan,
            state=ScanState.ANSWERED,
            finished_at=now,
            answered_at=now,
            names=len(answer.names),
            missed=len(missed),
            of_other_cameras=len(names.of_other_cameras),
            rejected=len(names.rejected),
            unread=answer.unread,
            rejected_digest=names.rejected_digest,
        )
        ImageLedger.record_missed(transaction, missed)
        if names.rejected and names.rejected_digest != scan.rejected_digest:
            self._dead_letter(transaction, names)
        for key in answer.keys:
            transaction.command("DEL", key)
        return await self._context.transactions.apply(transaction)

    def _dead_letter(self, transaction: Transaction, names: ScanNames) -> None:
        """Add one dead letter with a sample of the rejected names."""
        count = len(names.rejected)
        sample = [name[:SHOWN].decode("ascii", "backslashreplace") for name in names.rejected]
        reason = (
            f"{count} name{'s' if count > 1 else ''} of the answer to SCAN "
            "cannot be the name of an image; a sample is stored"
        )
        dead_letters.add(
            transaction,
            self._settings,
            origin=dead_letters.SCAN_ORIGIN,
            reason=reason,
            raw=json.dumps(sample[:SAMPLE]).encode(),
        )
        _log.error(
            "scan.names_rejected",
            effect="these names are not compared with the ledger",
            count=count,
            sample=sample[0],
        )

    def _report(
        self, scan: Scan, answer: Answer, names: ScanNames, missed: Sequence[MissedImage]
    ) -> None:
        if names.of_other_cameras:
            self._others.add(
                len(names.of_other_cameras),
                sample=names.of_other_cameras[0],
                setting="IMAGE_PREFIX",
            )
        if answer.unread:
            self._truncated.add(
                answer.unread,
                limit=MAX_NAMES,
                effect="these names are not compared with the ledger",
                reason=answer.defect or "more names than the limit",
            )
        if missed:
            _log.error(
                "images.missed",
                effect="these images are not archived",
                count=len(missed),
                first=missed[0].obsid,
                last=missed[-1].obsid,
                remedy="ccarchiver catchup",
            )
        _log.info(
            "scan.answered",
            number=scan.number,
            hostname=scan.hostname,
            names=len(answer.names),
            missed=len(missed),
        )
