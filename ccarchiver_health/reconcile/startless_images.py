"""Accepted images whose startIntegration did not arrive, although the camera took them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import structlog

from ccarchiver_core import keys
from ccarchiver_core.config.value_types import CatchUp
from ccarchiver_core.domain.exposure import EventKind
from ccarchiver_core.domain.image_record import OPEN_STATES
from ccarchiver_core.domain.worker_messages import ArchiveMissed
from ccarchiver_core.store.image_ledger import ImageLedger
from ccarchiver_core.store.session import read_session
from ccarchiver_health.reconcile.header_check import find_header

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ccarchiver_core.domain.image_record import ImageState
    from ccarchiver_core.runtime.worker import WorkerContext
    from ccarchiver_core.store.transaction import Transaction

GRACE_S = 10.0
"""Age of an image from which on its startIntegration counts as lost.

Events of different senders arrive in any sequence, but within a second.
"""

AT_ONCE = 10
"""Images of one answer; the next scan has the rest. A Forwarder fetches so many in seconds."""

_log = structlog.get_logger(__name__)


class StartlessImages:
    """Requests the missing events of images that a scan has listed (CATCH_UP: automatic).

    A restarted camera has no history of its events, but the header service still has that of its
    own. Without startIntegration nothing is sent for such an image.

    Parameters
    ----------
    context : `WorkerContext`
        Redis, settings.
    """

    def __init__(self, context: WorkerContext) -> None:
        self._context = context
        self._ledger = ImageLedger(context.redis)
        self.has_more = False
        """Whether the last answer had more such images than were requested."""

    async def request_events(
        self, transaction: Transaction, states: Mapping[str, ImageState]
    ) -> None:
        """Add the requests to the CSC to a transaction.

        Parameters
        ----------
        transaction : `Transaction`
            Gets the requests.
        states : `~collections.abc.Mapping`
            States of the listed images that are in the ledger.
        """
        self.has_more = False
        if self._context.settings.catch_up is not CatchUp.AUTOMATIC:
            return
        unfinished = [obsid for obsid, state in states.items() if state in OPEN_STATES]
        latest = time.time() - GRACE_S
        startless = [
            image.obsid
            for image in await self._ledger.read_summaries(unfinished)
            if not image.has_start and image.at <= latest
        ]
        if not startless:
            return
        self.has_more = len(startless) > AT_ONCE
        session = await read_session(self._context.redis)
        for obsid in startless[:AT_ONCE]:
            url = await self._header(obsid)
            message = ArchiveMissed(session_id=session.id, obsid=obsid, header_url=url)
            transaction.enqueue(keys.Worker.SAL, message)
        _log.warning(
            "images.without_start",
            effect="their startIntegration was lost; they are archived without its data",
            count=len(startless),
            first=startless[0],
            last=startless[-1],
        )

    async def _header(self, obsid: str) -> str:
        """Return the address of an image's header, empty if it was announced or is not found."""
        record = await self._ledger.read(obsid)
        if record is not None and EventKind.HEADER in record.received_kinds:
            return ""
        return await find_header(self._context.settings, obsid)
