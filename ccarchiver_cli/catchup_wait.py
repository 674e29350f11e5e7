"""The wait for the archiving of missed images."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ccarchiver_cli.output import duration
from ccarchiver_cli.pairing import MARGIN_S
from ccarchiver_cli.retry import Result
from ccarchiver_core import keys
from ccarchiver_core.config.value_types import CatchUp
from ccarchiver_core.domain.image_record import ImageState
from ccarchiver_core.runtime.heartbeat import read_heartbeat
from ccarchiver_core.status.live_exposures import exposures_in_progress
from ccarchiver_core.store.csc_state import ENABLED, read_csc_state
from ccarchiver_core.store.image_ledger import ImageLedger
from ccarchiver_core.store.session import read_session

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from redis.asyncio import Redis

    from ccarchiver_core.config.settings import Settings
    from ccarchiver_core.domain.image_summary import ImageSummary

POLL_INTERVAL_S = 0.5
"""Seconds between two reads of the images; each takes about a second to be archived."""

IN_PROGRESS = frozenset({ImageState.MISSED, ImageState.ACCEPTED})
"""States in which the archiving of an image has not ended."""


@dataclass(frozen=True)
class WaitProgress:
    """How far the archiving of some images is."""

    ended: tuple[Result, ...]
    """The images whose archiving has ended, oldest first, with or without success."""
    waits_for: str
    """What is waited for."""


async def wait_until_archived(
    redis: Redis, settings: Settings, names: Sequence[str], show: Callable[[WaitProgress], None]
) -> list[Result]:
    """Wait until the archiving of images has ended, and return the result of each.

    The wait also ends if something prevents their archiving for longer than a Forwarder is replaced
    or a worker restarted. They are then archived later.

    Parameters
    ----------
    redis, settings
        The archiver's database and the site's settings.
    names : sequence of `str`
        Images that are archived as soon as no exposure is in progress.
    show : callable
        Called with the progress after each poll.
    """
    ledger = ImageLedger(redis)
    ends_at = time.monotonic()  # an obstacle at the start ends the wait at once
    while True:
        images = {image.obsid: image for image in await ledger.read_summaries(names)}
        results = [_result(obsid, images.get(obsid)) for obsid in names]
        open_names = [obsid for obsid in names if _is_in_progress(images.get(obsid))]
        if not open_names:
            show(WaitProgress(tuple(results), ""))
            return results
        obstacle = await _obstacle(redis, settings)
        now = time.monotonic()
        if not obstacle:
            ends_at = now + settings.reassign_grace + MARGIN_S
        elif now >= ends_at:
            later = dict.fromkeys(open_names, f"is not archived yet: {obstacle}")
            return [
                result.model_copy(update={"text": later.get(result.image, result.text)})
                for result in results
            ]
        ended = tuple(result for result in results if result.image not in set(open_names))
        show(WaitProgress(ended, obstacle or await _next(redis, settings, open_names)))
        await asyncio.sleep(POLL_INTERVAL_S)


def _is_in_progress(image: ImageSummary | None) -> bool:
    return image is not None and image.state in IN_PROGRESS


def _result(obsid: str, image: ImageSummary | None) -> Result:
    if image is None:
        text = "is no longer in the ledger"
    elif image.state is ImageState.COMPLETE:
        text = "complete"
    else:
        text = f"is {image.state}; ccarchiver image {obsid}"
    is_done = image is not None and image.state is ImageState.COMPLETE
    return Result(image=obsid, done=is_done, text=text)


async def _obstacle(redis: Redis, settings: Settings) -> str:
    """Return what prevents the archiving of missed images; empty if nothing does."""
    if settings.catch_up is CatchUp.OFF:
        return "CATCH_UP is off in the site file"
    if await read_heartbeat(redis, keys.Worker.HEALTH) is None:
        return "ccarchiver:health is down; supervisorctl start ccarchiver:health"
    csc = await read_csc_state(redis)
    if csc is None or csc.state != ENABLED:
        state = "in no state yet" if csc is None else csc.state
        return f"the CSC is {state}; it is archived when the CSC is ENABLED"
    if not (await read_session(redis)).is_paired:
        return "no Forwarder is paired; ccarchiver pair show"
    return ""


async def _next(redis: Redis, settings: Settings, open_names: Sequence[str]) -> str:
    """Return what the first of the open images waits for."""
    exposing = await exposures_in_progress(redis, settings.files_per_image)
    live = next((obsid for obsid in exposing if obsid not in set(open_names)), "")
    if live:
        found = await ImageLedger(redis).read_summaries([live])
        if any(image.is_caught_up for image in found):
            limit = duration(settings.stalled_after)
            return f"the catch-up of {live}; without progress it ends after {limit} (STALLED_AFTER)"
        return f"exposure {live} is in progress"
    return exposing[0] if exposing else open_names[0]
