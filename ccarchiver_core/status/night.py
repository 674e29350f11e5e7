"""The summary of one observing night: images seen on SAL, their results, and what is missing."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from pydantic import BaseModel

from ccarchiver_core.domain.image_record import UNACCEPTED_STATES, UNSEEN_STATES, ImageState
from ccarchiver_core.domain.number_gaps import number_gaps
from ccarchiver_core.status.images import bounds_of, names_between
from ccarchiver_core.store.image_ledger import ImageLedger

if TYPE_CHECKING:
    from collections.abc import Container, Sequence

    from redis.asyncio import Redis

    from ccarchiver_core.domain.image_summary import ImageSummary
    from ccarchiver_core.domain.refused_exposure import NamedRefusal

SLOWEST = 5
"""Slowest images that are named: enough to see whether they have something in common."""

PERCENTS = (50, 90, 99)

NO_CODE = 0
"""Stands for the error code of an image that failed without one, because of its age."""


class SlowImage(BaseModel):
    """An image, and the seconds from its last event to its completion."""

    obsid: str
    took_s: float


class Gap(BaseModel):
    """Consecutive numbers missing in the images' names: SAL sent no event of these images."""

    first: str
    last: str
    count: int


class NightSummary(BaseModel):
    """The summary of one night. Counts are numbers of images; lists of names are oldest first."""

    day: dt.date
    begin: float
    """Unix time, UTC, seconds."""
    end: float
    seen: int
    """Images of which an event or a file status arrived."""
    accepted: int
    complete: int
    caught_up: int
    """Missed exposures that were accepted later."""
    missed: list[str]
    """Exposures that the camera took and the archiver did not accept; some of them were skipped."""
    dismissed: list[str]
    """Missed exposures that an operator has dismissed; they do not count as missing."""
    skipped: list[str]
    failed: dict[int, list[str]]
    """Names by error code; 0 for images that failed without one."""
    unfinished: list[str]
    """Accepted images that are not finished, including stalled ones."""
    stalled: list[str]
    unreadable: list[str]
    """Images whose record has a state that this version cannot read."""
    unannounced: list[str]
    """Images of which only file statuses were received."""
    refused: list[str]
    """Names of exposures that were refused because the name was used before, oldest first.

    These exposures are not among the images seen.
    """
    files_expected: int
    """Files of the accepted images."""
    files_retrieved: int
    """Files for which SAL got an event of success; each file is counted once."""
    files_ingested: int
    percentiles_s: dict[int, float]
    """Seconds from an image's last event to its completion, by percent."""
    slowest: list[SlowImage]
    gaps: list[Gap]

    @property
    def is_complete(self) -> bool:
        """Whether every exposure that is known is complete, and no number is missing."""
        missing = (self.gaps, self.refused, self.skipped, self.missed)
        return not any((*missing, self.failed, self.unfinished, self.unreadable))


async def read_night(redis: Redis, day: dt.date, files_per_image: int) -> NightSummary:
    """Return the summary of an observing day, see `ccarchiver_core.status.images.observing_day`."""
    begin, end = bounds_of(day)
    ledger = ImageLedger(redis)
    images = await ledger.read_summaries(await names_between(redis, begin, end))
    return summarize(day, images, files_per_image, await ledger.read_refused(begin, end))


def summarize(
    day: dt.date,
    images: Sequence[ImageSummary],
    files_per_image: int,
    refused: Sequence[NamedRefusal] = (),
) -> NightSummary:
    """Return the summary of a night from its images and refused exposures, oldest first."""
    begin, end = bounds_of(day)
    failed: dict[int, list[str]] = {}
    for image in images:
        if image.state is ImageState.FAILED:
            failed.setdefault(image.failed_code, []).append(image.obsid)
    accepted = [image for image in images if image.state not in UNACCEPTED_STATES]
    took = sorted(
        (
            SlowImage(obsid=image.obsid, took_s=image.took_s)
            for image in images
            if image.state is ImageState.COMPLETE and image.took_s is not None
        ),
        key=lambda slow: slow.took_s,
    )
    return NightSummary(
        day=day,
        begin=begin,
        end=end,
        seen=sum(image.state not in UNSEEN_STATES or image.events > 0 for image in images),
        accepted=len(accepted),
        caught_up=sum(image.is_caught_up for image in images),
        missed=_in(images, ImageState.MISSED),
        dismissed=_in(images, ImageState.DISMISSED),
        complete=len(_in(images, ImageState.COMPLETE)),
        skipped=[
            *_in(images, ImageState.SKIPPED),
            *(refusal.obsid for refusal in refused if refusal.exposure.is_skipped),
        ],
        failed=dict(sorted(failed.items())),
        unfinished=_in(images, ImageState.ACCEPTED, ImageState.STALLED),
        stalled=_in(images, ImageState.STALLED),
        unreadable=_in(images, ImageState.UNREADABLE),
        unannounced=_in(images, ImageState.UNANNOUNCED),
        refused=[refusal.obsid for refusal in refused if not refusal.exposure.is_skipped],
        files_expected=len(accepted) * files_per_image,
        files_retrieved=sum(image.retrieved for image in accepted),
        files_ingested=sum(image.ingested for image in accepted),
        percentiles_s=(
            {percent: _percentile(took, percent) for percent in PERCENTS} if took else {}
        ),
        slowest=took[: -SLOWEST - 1 : -1],
        gaps=find_gaps(
            [image.obsid for image in images], {image.obsid for image in images if image.is_proven}
        ),
    )


def _in(images: Sequence[ImageSummary], *states: ImageState) -> list[str]:
    return [image.obsid for image in images if image.state in states]


def _percentile(ordered: Sequence[SlowImage], percent: int) -> float:
    """Return a percentile: the smallest value that `percent` % of all do not exceed."""
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)].took_s


def find_gaps(names: Sequence[str], proven: Container[str] | None = None) -> list[Gap]:
    """Return the numbers that are missing between names that differ only in their last number.

    Parameters
    ----------
    names, proven
        See `ccarchiver_core.domain.number_gaps.number_gaps`.
    """
    return [
        Gap(first=gap.sequence.name(gap.first), last=gap.sequence.name(gap.last), count=gap.size)
        for gap in number_gaps(names, proven)
    ]
