"""Archives missed images one at a time, after all live exposures.

With CATCH_UP: automatic these are all that a scan has listed, otherwise those that an operator has
named.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import structlog

from ccarchiver_core import keys
from ccarchiver_core.config.value_types import CatchUp
from ccarchiver_core.domain.exposure import EventKind
from ccarchiver_core.domain.worker_messages import ArchiveMissed
from ccarchiver_core.redis.replies import text, unless_wrong_type
from ccarchiver_core.status.live_exposures import exposures_in_progress
from ccarchiver_core.status.missed import KEPT_BY_DAQ_S, can_be_archived, is_kept
from ccarchiver_core.store.csc_state import ENABLED, read_csc_state
from ccarchiver_core.store.image_ledger import ImageLedger
from ccarchiver_core.store.scans import read_scan
from ccarchiver_core.store.session import require_active
from ccarchiver_core.store.transaction import Transaction
from ccarchiver_health.reconcile.header_check import find_header

if TYPE_CHECKING:
    from collections.abc import Callable

    from ccarchiver_core.domain.session import Session
    from ccarchiver_core.runtime.worker import WorkerContext

ACCEPTED_WITHIN_S = 10.0
"""Seconds in which the CSC accepts a missed image, before it is requested again."""

IDLE_INTERVAL = 1.0
"""Seconds between two searches for a missed image that can be archived."""

BUSY_INTERVAL = 0.1
"""Seconds between two checks whether the requested image is retrieved.

A Forwarder fetches an image within a second, so a longer interval would take most of the time.
"""

CHECKED = 1000
"""Missed images that are read to find the oldest one that a scan has listed."""

_log = structlog.get_logger(__name__)


class CatchUpTask:
    """Requests the archiving of missed images from the CSC.

    Parameters
    ----------
    context : `WorkerContext`
        Redis, transactions, settings.
    session : callable
        Returns the current session.
    is_scan_due : callable
        Returns whether a scan is due. It comes before the next image, because image after image
        would leave it no time.
    """

    def __init__(
        self,
        context: WorkerContext,
        session: Callable[[], Session],
        is_scan_due: Callable[[], bool] = lambda: False,
    ) -> None:
        self._context = context
        self._settings = context.settings
        self._session = session
        self._is_scan_due = is_scan_due
        self._ledger = ImageLedger(context.redis)
        self._requested_until = 0.0
        """Monotonic time until which the last request may still be accepted."""
        self._requested = ""

    @property
    def interval(self) -> float:
        """Seconds until the next `poll`."""
        return BUSY_INTERVAL if self._requested else IDLE_INTERVAL

    async def poll(self) -> None:
        """Request the next image, unless the Forwarder has something else to do."""
        session = self._session()
        if not await self._is_possible(session):
            self._requested = ""
            return
        files = self._settings.files_per_image
        in_progress = await exposures_in_progress(self._context.redis, files)
        if in_progress:
            if self._requested not in in_progress:
                self._requested = ""
            return
        if self._is_scan_due() or (await read_scan(self._context.redis)).is_outstanding:
            return
        obsid = await self._next()
        if obsid and obsid == self._requested and time.monotonic() < self._requested_until:
            return  # the CSC has not handled the request yet
        self._requested = obsid
        if obsid:
            await self._request(session, obsid)

    async def _is_possible(self, session: Session) -> bool:
        """Return whether missed images are to be archived, and the CSC accepts images."""
        if not session.is_paired or not await self._has_work():
            return False
        csc = await read_csc_state(self._context.redis)
        return csc is not None and csc.state == ENABLED

    async def _request(self, session: Session, obsid: str) -> None:
        """Request the archiving of an image from the CSC."""
        skipped = await self._ledger.read_skipped_events(obsid)
        url = "" if EventKind.HEADER in skipped else await find_header(self._settings, obsid)
        transaction = Transaction()
        require_active(transaction, session.id)
        message = ArchiveMissed(session_id=session.id, obsid=obsid, header_url=url)
        transaction.enqueue(keys.Worker.SAL, message)
        await self._context.transactions.apply(transaction)
        self._requested_until = time.monotonic() + ACCEPTED_WITHIN_S
        _log.info("catch_up.requested", image=obsid, header=url or "as announced, or none")

    async def _has_work(self) -> bool:
        """Return whether there can be an image to archive; it costs less than `_next`."""
        if self._settings.catch_up is CatchUp.AUTOMATIC:
            return True
        return await unless_wrong_type(self._context.redis.zcard(keys.CATCH_UP_REQUESTS), 0) > 0

    async def _next(self) -> str:
        """Return the missed image to archive next, empty if there is none.

        Those that an operator has requested come first, in the sequence of the requests.
        """
        now = time.time()
        requested = await self._ledger.read_summaries(await self._ledger.requested_images())
        obsid = next((image.obsid for image in requested if is_kept(image, now)), "")
        if obsid or self._settings.catch_up is not CatchUp.AUTOMATIC:
            return obsid
        reply = self._context.redis.zrangebyscore(
            keys.MISSED, now - KEPT_BY_DAQ_S, "+inf", start=0, num=CHECKED
        )
        names = [text(name) for name in await unless_wrong_type(reply, list[bytes]())]
        summaries = await self._ledger.read_summaries(names)
        return next((image.obsid for image in summaries if can_be_archived(image, now)), "")
