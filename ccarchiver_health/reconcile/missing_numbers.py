"""Records the images whose numbers are missing between those of two others, without a scan."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import structlog

from ccarchiver_core import keys
from ccarchiver_core.domain.image_record import MissedBy, MissedImage
from ccarchiver_core.domain.number_gaps import number_gaps
from ccarchiver_core.redis.replies import unless_wrong_type
from ccarchiver_core.store.image_ledger import ImageLedger
from ccarchiver_core.store.transaction import Outcome, Transaction
from ccarchiver_health.periodic_log import PeriodicLog
from ccarchiver_health.reconcile.exposure_times import ExposureTimes
from ccarchiver_health.reconcile.missed_log import log_missed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ccarchiver_core.domain.number_gaps import NumberGap
    from ccarchiver_core.runtime.worker import WorkerContext

GRACE_S = 10.0
"""Age of the image behind a gap from which on the gap counts.

The events of a camera arrive in sequence, but those that wait for Redis are written in batches.
"""

MAX_RECORDED = 1000
"""Longest gap whose images are recorded, which is a whole night.

A longer one is more likely a camera that has changed its numbering. `ccarchiver night` reports it.
"""

_log = structlog.get_logger(__name__)


class MissingNumbers:
    """Finds gaps in the numbers of the images of the last SCAN_WINDOW.

    Parameters
    ----------
    context : `WorkerContext`
        Redis, transactions, settings.
    """

    def __init__(self, context: WorkerContext) -> None:
        self._context = context
        self._settings = context.settings
        self._ledger = ImageLedger(context.redis)
        self._too_long = PeriodicLog(_log.warning, "images.numbers_jumped", "count")
        self._reported: set[NumberGap] = set()
        """Gaps that are too long to be recorded, and have been logged."""

    async def record(self, grace_s: float | None = None) -> int:
        """Record the images of all gaps as missed, and return their number.

        Parameters
        ----------
        grace_s : `float`, optional
            Age of the image behind a gap from which on the gap counts, in seconds; by default
            `GRACE_S`.
        """
        count = await unless_wrong_type(self._context.redis.zcard(keys.IMAGES), 0)
        if count >= self._settings.max_ledger_images:
            return 0  # images between others may have been removed because of the limit
        now = time.time()
        known = await self._ledger.read_times(now - self._settings.scan_window)
        own = {name: at for name, at in known.items() if name.startswith(self._prefix)}
        latest = now - (GRACE_S if grace_s is None else grace_s)
        gaps = [gap for gap in number_gaps(own) if own[gap.next_name] <= latest]
        if gaps:
            gaps = await self._between_proven(gaps, own)
        self._report_long(gaps)
        missed = _missed_images(gaps, own, now)
        if not missed:
            return 0
        transaction = Transaction()
        ImageLedger.record_missed(transaction, missed)
        if await self._context.transactions.apply(transaction) is Outcome.PRECONDITION_FAILED:
            return 0  # an event of one of them has arrived: the next call has the rest
        log_missed(missed)
        return len(missed)

    async def _between_proven(
        self, gaps: list[NumberGap], own: Mapping[str, float]
    ) -> list[NumberGap]:
        """Return the gaps between images that the camera took for certain."""
        summaries = await self._ledger.read_summaries(own)
        proven = {image.obsid for image in summaries if image.is_proven}
        return [gap for gap in number_gaps(own, proven) if gap in set(gaps)]

    @property
    def _prefix(self) -> str:
        return self._settings.image_prefix

    def _report_long(self, gaps: list[NumberGap]) -> None:
        long = {gap for gap in gaps if gap.size > MAX_RECORDED}
        for gap in sorted(long - self._reported):
            self._too_long.add(
                gap.size,
                first=gap.sequence.name(gap.first),
                last=gap.sequence.name(gap.last),
                limit=MAX_RECORDED,
                effect="these images are not recorded as missed; ccarchiver night counts them",
            )
        self._reported = long


def _missed_images(
    gaps: list[NumberGap], known: Mapping[str, float], now: float
) -> list[MissedImage]:
    times = ExposureTimes(known, now)
    return [
        MissedImage(obsid, times.estimate(obsid), MissedBy.NUMBERS)
        for gap in gaps
        if gap.size <= MAX_RECORDED
        for obsid in gap.names
    ]
