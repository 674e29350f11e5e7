"""The missed images, and the scan that finds them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel

from ccarchiver_core.config.value_types import (
    CatchUp,
)
from ccarchiver_core.domain.image_record import ImageState, MissedBy
from ccarchiver_core.domain.image_summary import ImageSummary
from ccarchiver_core.status.unscanned import read_unscanned
from ccarchiver_core.store.image_ledger import ImageLedger
from ccarchiver_core.store.scans import Scan, read_scan

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from ccarchiver_core.config.settings import Settings


KEPT_BY_DAQ_S = 48 * 3600.0
"""Time for which the camera's data acquisition keeps an image; afterwards it cannot be fetched."""


def is_kept(image: ImageSummary, now: float) -> bool:
    """Return whether the camera may still have a missed image at a Unix time (UTC, seconds)."""
    return image.state is ImageState.MISSED and image.at >= now - KEPT_BY_DAQ_S


def can_be_archived(image: ImageSummary, now: float) -> bool:
    """Return whether a missed image can be archived without an operator's request.

    A scan must have listed it: a number that is only missing may be no exposure at all.
    """
    return is_kept(image, now) and image.missed_by == MissedBy.SCAN


class MissedImages(BaseModel):
    """The missed images of a period, and the last scan."""

    catch_up: CatchUp
    """Whether they are archived."""
    scan: Scan
    images: list[ImageSummary]
    """Oldest first."""
    unscanned: list[str]
    """Skipped images that the next scan may list, oldest first."""


async def read_missed(redis: Redis, settings: Settings, begin: float, end: float) -> MissedImages:
    """Return the missed images of [begin, end). Times are Unix times, UTC, seconds."""
    ledger = ImageLedger(redis)
    images = await ledger.read_summaries(await ledger.missed_images())
    return MissedImages(
        catch_up=settings.catch_up,
        scan=await read_scan(redis),
        images=[
            image
            for image in images
            if image.state is ImageState.MISSED and begin <= image.at < end
        ],
        unscanned=await read_unscanned(redis, settings, begin, end),
    )
