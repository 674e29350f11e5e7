"""Records the answer to a scan: the images that were missed, and the names that cannot be used."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import structlog

from ccarchiver_core.base.clock import unix_time
from ccarchiver_core.domain.image_record import ImageState, MissedBy, MissedImage
from ccarchiver_core.redis.retry import retry_until_available
from ccarchiver_core.store import dead_letters, scans
from ccarchiver_core.store.image_ledger import ImageLedger
from ccarchiver_core.store.scans import ScanState, read_scan
from ccarchiver_core.store.transaction import Outcome, Transaction
from ccarchiver_health.periodic_log import PeriodicLog
from ccarchiver_health.reconcile.answer import MAX_NAMES, read_answer
from ccarchiver_health.reconcile.exposure_times import ExposureTimes
from ccarchiver_health.reconcile.missed_log import log_missed
from ccarchiver_health.reconcile.scan_names import ScanNames, sort_names
from ccarchiver_health.reconcile.startless_images import StartlessImages

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ccarchiver_core.runtime.worker import WorkerContext
    from ccarchiver_core.store.scans import Scan
    from ccarchiver_health.reconcile.answer import Answer

ATTEMPTS = 5
"""Attempts to record an answer while events of its images arrive; the next scan has the rest."""

SAMPLE = 20
"""Names that a dead letter contains of many."""

SHOWN = 80
"""Characters of a name that is shown."""

_log = structlog.get_logger(__name__)


class AnswerRecorder:
    """Compares the names of an answer with the ledger, and records the result.

    Parameters
    ----------
    context : `WorkerContext`
        Redis, transactions, settings.
    """

    def __init__(self, context: WorkerContext) -> None:
        self._context = context
        self._settings = context.settings
        self._ledger = ImageLedger(context.redis)
        self._startless = StartlessImages(context)
        self._others = PeriodicLog(_log.warning, "scan.other_camera", "count")
        self._truncated = PeriodicLog(_log.error, "scan.truncated", "unread")

    @property
    def has_more(self) -> bool:
        """Whether another scan soon has more to do than the last one could."""
        return self._startless.has_more

    async def record(self) -> None:
        """Record the images that an answer contains and the archiver has missed; safe to repeat.

        The transaction that records them also deletes the list, so each list is used once.
        """
        for _ in range(ATTEMPTS):
            if await retry_until_available(self._try):
                return
        _log.warning("scan.not_recorded", reason="events of its images arrive meanwhile")

    async def _try(self) -> bool:
        """Read the lists and record their names; return False if the ledger has changed meanwhile.

        While Redis is unavailable, it raises an error of the connection and has no effect.
        """
        scan = await read_scan(self._context.redis)
        answer = await read_answer(self._context.redis, scan.number)
        if not answer.keys and scan.state is not ScanState.SENT:
            _log.info("scan.answer_ignored", number=scan.number, reason="repeated or too late")
            await self._context.transactions.apply(Transaction().count("scan_answers_ignored"))
            return True
        names = sort_names(answer.names, self._settings.image_prefix)
        states = await self._ledger.read_states(names.images)
        missed = await self._missed(names.images, states)
        transaction = self._transaction(scan, answer, names, missed)
        await self._startless.request_events(transaction, states)
        confirmed = await self._ledger.missed_by_numbers(names.images)
        ImageLedger.confirm_missed(transaction, confirmed)
        if await self._context.transactions.apply(transaction) is Outcome.PRECONDITION_FAILED:
            return False
        self._report(scan, answer, names, missed)
        return True

    async def _missed(
        self, names: Sequence[str], states: Mapping[str, ImageState]
    ) -> list[MissedImage]:
        """Return those of the names that are not in the ledger, or only as skipped."""
        absent = [
            obsid for obsid in names if states.get(obsid, ImageState.SKIPPED) == ImageState.SKIPPED
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

    def _transaction(
        self, scan: Scan, answer: Answer, names: ScanNames, missed: Sequence[MissedImage]
    ) -> Transaction:
        """Return the transaction that records an answer and deletes its lists."""
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
        return transaction

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
        _log.warning(
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
            log_missed(missed)
        _log.info(
            "scan.answered",
            number=scan.number,
            hostname=scan.hostname,
            names=len(answer.names),
            missed=len(missed),
        )
