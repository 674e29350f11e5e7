"""The report of one observing night: what was seen on SAL, what became of it, what is missing."""

from __future__ import annotations

import datetime as dt
import itertools
import re
from typing import TYPE_CHECKING

from pydantic import BaseModel

from ccarchiver_core.status.images import ImageSummary, bounds_of, names_between, summaries
from ccarchiver_core.store.ledger import ImageState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from redis.asyncio import Redis

SLOWEST = 5
"""Slowest images named: enough to see whether they have something in common."""

PERCENTS = (50, 90, 99)

NO_CODE = 0
"""In place of an error code for images that failed without one: abandoned by age."""

_NUMBERED = re.compile(r"(?P<prefix>.*?)(?P<number>\d+)", re.DOTALL)

LONGEST_GAP = 10_000
"""Numbers missing in a row above which names are not one sequence (a new day's, a simulator's)."""


class SlowImage(BaseModel):
    """An image and the seconds from its last event to its completion."""

    obsid: str
    took_s: float


class Gap(BaseModel):
    """Numbers missing in the images' names: nothing of these was heard on SAL."""

    first: str
    last: str
    count: int


class NightSummary(BaseModel):
    """Counts are of images unless a name says otherwise; lists of names are oldest first."""

    day: dt.date
    begin: float
    """Unix time, UTC, seconds."""
    end: float
    seen: int
    complete: int
    skipped: list[str]
    failed: dict[int, list[str]]
    """By error code, 0 for those that have none."""
    unfinished: list[str]
    """Accepted and not at their end, stalled ones included."""
    stalled: list[str]
    unannounced: list[str]
    """Only statuses of them came: nobody announced them here."""
    files_expected: int
    """Of the accepted images."""
    files_retrieved: int
    """SAL events of success put, a file counted once."""
    files_ingested: int
    percentiles_s: dict[int, float]
    """Seconds from an image's last event to its completion, by percent."""
    slowest: list[SlowImage]
    gaps: list[Gap]

    @property
    def is_complete(self) -> bool:
        """Whether every image of the night that was seen on SAL is complete, and no number is missing."""
        return self.seen == self.complete + len(self.unannounced) and not self.gaps


async def read_night(redis: Redis, day: dt.date, files_per_image: int) -> NightSummary:
    """Read the report of an observing day (see `ccarchiver_core.status.images.observing_day`)."""
    begin, end = bounds_of(day)
    return summarize(day, await summaries(redis, await names_between(redis, begin, end)), files_per_image)


def summarize(day: dt.date, images: Sequence[ImageSummary], files_per_image: int) -> NightSummary:
    """Make a night's report of its images, oldest first."""
    begin, end = bounds_of(day)
    failed: dict[int, list[str]] = {}
    for image in images:
        if image.state is ImageState.FAILED:
            failed.setdefault(image.failed_code, []).append(image.obsid)
    accepted = [image for image in images if image.state not in (ImageState.SKIPPED, ImageState.UNANNOUNCED)]
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
        seen=len(images),
        complete=len(_in(images, ImageState.COMPLETE)),
        skipped=_in(images, ImageState.SKIPPED),
        failed=dict(sorted(failed.items())),
        unfinished=_in(images, ImageState.ACCEPTED, ImageState.STALLED),
        stalled=_in(images, ImageState.STALLED),
        unannounced=_in(images, ImageState.UNANNOUNCED),
        files_expected=len(accepted) * files_per_image,
        files_retrieved=sum(image.retrieved for image in accepted),
        files_ingested=sum(image.ingested for image in accepted),
        percentiles_s={percent: _percentile(took, percent) for percent in PERCENTS} if took else {},
        slowest=took[: -SLOWEST - 1 : -1],
        gaps=find_gaps([image.obsid for image in images]),
    )


def _in(images: Sequence[ImageSummary], *states: ImageState) -> list[str]:
    return [image.obsid for image in images if image.state in states]


def _percentile(ordered: Sequence[SlowImage], percent: int) -> float:
    """Give the smallest value that so many percent of all do not exceed (nearest rank)."""
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)].took_s


def find_gaps(names: Sequence[str]) -> list[Gap]:
    """Find the numbers that are missing between names that differ in their last number only."""
    sequences: dict[tuple[str, int], set[int]] = {}
    for name in names:
        found = _NUMBERED.fullmatch(name)
        if found is not None:
            key = (found["prefix"], len(found["number"]))
            sequences.setdefault(key, set()).add(int(found["number"]))
    gaps: list[Gap] = []
    for (prefix, width), numbers in sequences.items():
        ordered = sorted(numbers)
        for before, after in itertools.pairwise(ordered):
            missing = after - before - 1
            if 0 < missing <= LONGEST_GAP:
                first, last = (f"{prefix}{number:0{width}d}" for number in (before + 1, after - 1))
                gaps.append(Gap(first=first, last=last, count=missing))
    return gaps
