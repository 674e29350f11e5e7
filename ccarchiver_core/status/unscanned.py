"""Skipped images that the camera may have, because no scan has been answered since."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ccarchiver_core.config.value_types import CatchUp
from ccarchiver_core.domain.image_record import ImageState
from ccarchiver_core.status.images import names_between
from ccarchiver_core.store.image_ledger import ImageLedger
from ccarchiver_core.store.scans import read_scan

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from ccarchiver_core.config.settings import Settings
    from ccarchiver_core.domain.image_summary import ImageSummary


async def read_unscanned(redis: Redis, settings: Settings, begin: float, end: float) -> list[str]:
    """Return the skipped images of [begin, end) that the next scan may list, oldest first.

    An image that was skipped before the last answered scan is not among them: the camera does not
    have it. Nor is one older than SCAN_WINDOW, because a scan does not list it.

    Parameters
    ----------
    redis, settings
        The archiver's database and the site's settings.
    begin, end : `float`
        Unix times, UTC, seconds.
    """
    if settings.catch_up is CatchUp.OFF:
        return []  # no scan takes place
    ledger = ImageLedger(redis)
    oldest = time.time() - settings.scan_window
    states = await ledger.read_states(await names_between(redis, max(begin, oldest), end))
    skipped = [obsid for obsid, state in states.items() if state is ImageState.SKIPPED]
    scan = await read_scan(redis)
    scanned_at = scan.sent_at if scan.is_answered else 0.0
    return [
        image.obsid
        for image in await ledger.read_summaries(skipped)
        if image.state is ImageState.SKIPPED and _newest_time(image) >= scanned_at
    ]


def _newest_time(image: ImageSummary) -> float:
    """Return the time of the last event of an image: until then the camera was not ready."""
    return max(image.at, image.last_event_at or 0.0)
