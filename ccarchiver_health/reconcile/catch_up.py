"""Archives missed images (CATCH_UP: automatic), one at a time, after all live exposures."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import structlog

from ccarchiver_core import keys
from ccarchiver_core.config.value_types import CatchUp
from ccarchiver_core.domain.exposure import EventKind
from ccarchiver_core.domain.worker_messages import ArchiveMissed
from ccarchiver_core.redis.replies import text, unless_wrong_type
from ccarchiver_core.status.live_exposures import is_exposing
from ccarchiver_core.status.missed import KEPT_BY_DAQ_S, can_be_archived
from ccarchiver_core.store.csc_state import ENABLED, read_csc_state
from ccarchiver_core.store.image_ledger import ImageLedger
from ccarchiver_core.store.session import require_active
from ccarchiver_core.store.transaction import Transaction
from ccarchiver_health.reconcile.header_check import find_header

if TYPE_CHECKING:
    from collections.abc import Callable

    from ccarchiver_core.domain.session import Session
    from ccarchiver_core.runtime.worker import WorkerContext

ACCEPTED_WITHIN_S = 10.0
"""Seconds in which the CSC accepts a missed image, before it is requested again."""

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
    """

    def __init__(self, context: WorkerContext, session: Callable[[], Session]) -> None:
        self._context = context
        self._settings = context.settings
        self._session = session
        self._ledger = ImageLedger(context.redis)
        self._requested_until = 0.0
        """Monotonic time until which the last request may still be accepted."""
        self._requested = ""

    async def poll(self) -> None:
        """Request the next image, unless the Forwarder has something else to do."""
        session = self._session()
        if self._settings.catch_up is not CatchUp.AUTOMATIC or not session.is_paired:
            return
        csc = await read_csc_state(self._context.redis)
        if csc is None or csc.state != ENABLED:
            return
        if await is_exposing(self._context.redis, self._settings.files_per_image):
            return
        obsid = await self._next()
        if not obsid:
            return
        if obsid == self._requested and time.monotonic() < self._requested_until:
            return  # the CSC has not handled the request yet
        skipped = await self._ledger.read_skipped_events(obsid)
        url = "" if EventKind.HEADER in skipped else await find_header(self._settings, obsid)
        transaction = Transaction()
        require_active(transaction, session.id)
        message = ArchiveMissed(session_id=session.id, obsid=obsid, header_url=url)
        transaction.enqueue(keys.Worker.SAL, message)
        await self._context.transactions.apply(transaction)
        self._requested, self._requested_until = obsid, time.monotonic() + ACCEPTED_WITHIN_S
        _log.info("catch_up.requested", image=obsid, header=url or "as announced, or none")

    async def _next(self) -> str:
        """Return the oldest missed image that can be archived, empty if there is none."""
        now = time.time()
        reply = self._context.redis.zrangebyscore(
            keys.MISSED, now - KEPT_BY_DAQ_S, "+inf", start=0, num=CHECKED
        )
        names = [text(name) for name in await unless_wrong_type(reply, list[bytes]())]
        summaries = await self._ledger.read_summaries(names)
        return next((image.obsid for image in summaries if can_be_archived(image, now)), "")
