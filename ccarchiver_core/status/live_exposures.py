"""Exposures in progress, during which the Forwarder must not do anything else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ccarchiver_core import keys
from ccarchiver_core.domain.image_record import ImageState
from ccarchiver_core.redis.replies import text, unless_wrong_type
from ccarchiver_core.store.image_ledger import ImageLedger

if TYPE_CHECKING:
    from redis.asyncio import Redis

CHECKED = 200
"""Open images that are checked, the newest ones.

The older ones of so many wait for the OODS or are stalled.
"""


async def exposures_in_progress(redis: Redis, files_per_image: int) -> list[str]:
    """Return the images for which the Forwarder has to do something, now or soon, newest first.

    It has from startIntegration until all files are retrieved. A stalled image does not count, nor
    one of which only other events arrived, otherwise one image could prevent all scans.
    """
    reply = redis.zrevrange(keys.UNFINISHED, 0, CHECKED - 1)
    names = [text(name) for name in await unless_wrong_type(reply, list[bytes]())]
    return [
        image.obsid
        for image in await ImageLedger(redis).read_summaries(names)
        if image.state is ImageState.ACCEPTED
        and image.has_start
        and image.retrieved < files_per_image
    ]


async def is_exposing(redis: Redis, files_per_image: int) -> bool:
    """Return whether the Forwarder has to do something for an exposure, now or soon."""
    return bool(await exposures_in_progress(redis, files_per_image))
