"""One night as data: its exposures, the CSC's states, and what is missing.

A night is read in parts, so that one request never reads more than `PART` image records.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import time
from typing import TYPE_CHECKING, NamedTuple

from pydantic import BaseModel

from ccarchiver_core import keys
from ccarchiver_core.domain.image_record import ImageState
from ccarchiver_core.domain.message_names import message_names
from ccarchiver_core.domain.number_gaps import number_gaps
from ccarchiver_core.redis.replies import text, unless_wrong_type
from ccarchiver_core.status.images import bounds_of, observing_day
from ccarchiver_core.status.night import Gap, NightSummary, summarize
from ccarchiver_core.status.night_view.advice import Missing, missing_of
from ccarchiver_core.status.night_view.steps import Step, stage_durations, steps_of
from ccarchiver_core.status.unscanned import read_unscanned
from ccarchiver_core.store import state_history
from ccarchiver_core.store.image_ledger import ImageLedger
from ccarchiver_core.store.stage_durations import Stage
from ccarchiver_core.store.state_history import StateInterval

if TYPE_CHECKING:
    from collections.abc import Sequence

    from redis.asyncio import Redis

    from ccarchiver_core.config.settings import Settings
    from ccarchiver_core.domain.exposure import Instruction
    from ccarchiver_core.domain.image_summary import ImageSummary
    from ccarchiver_core.domain.image_times import TimedSummary
    from ccarchiver_core.domain.refused_exposure import NamedRefusal
    from ccarchiver_core.store.state_history import StateChange

PART = 1000
"""Images of one part: a long night. Its records are about one megabyte."""

MAX_NIGHTS = 100
"""Nights that are listed, the newest ones: more than LEDGER_RETENTION_DAYS usually keeps."""

FULL_DAY = dt.timedelta(days=1)


class NightEntry(BaseModel):
    """One night in the list of nights."""

    day: dt.date
    exposures: int
    """Number of images in the ledger."""


class NightExposure(BaseModel):
    """One exposure of a night. Times are Unix times, UTC, seconds."""

    obsid: str
    state: ImageState
    at: float
    events: int
    retrieved: int
    ingested: int
    took_s: float | None
    """Seconds from its last event to its end; None while it is in progress."""
    failed: str
    failed_code: int
    stages: dict[Stage, float]
    """Seconds that each stage took."""
    steps: list[Step]
    """Its steps, oldest first; empty in a part, whose page links to the timelines instead."""


class TimedGap(Gap):
    """Missing numbers, and the times of the images before and after them."""

    begin: float
    end: float


class NightView(BaseModel):
    """One night, or one part of it."""

    day: dt.date
    archiver: str
    at: float
    """Time of the reading: Unix time, UTC, seconds."""
    part: int
    """Number of the part, from 1."""
    parts: int
    first_number: int
    """Position of the part's first exposure in the night, from 1."""
    total: int
    """Number of images of the whole night."""
    files_per_image: int
    summary: NightSummary
    """The summary of the part; of the whole night if it has only one."""
    exposures: list[NightExposure]
    states: list[StateInterval]
    """The CSC's states, oldest first. Before the first one the state is not known."""
    gaps: list[TimedGap]
    missing: list[Missing]


async def read_nights(redis: Redis) -> list[NightEntry]:
    """Return the newest nights with images in the ledger, newest first."""
    # A time in the future, of a wrong clock or a person, must not hide the real nights.
    latest = time.time() + FULL_DAY.total_seconds()
    first = redis.zrangebyscore(keys.IMAGES, 0, latest, start=0, num=1, withscores=True)
    ends = await unless_wrong_type(first, list[tuple[bytes, float]]())
    last = redis.zrevrangebyscore(keys.IMAGES, latest, 0, start=0, num=1, withscores=True)
    ends += await unless_wrong_type(last, list[tuple[bytes, float]]())
    if not ends:
        return []
    oldest, day = observing_day(ends[0][1]), observing_day(ends[-1][1])
    days: list[dt.date] = []
    while day >= oldest and len(days) < MAX_NIGHTS:
        days.append(day)
        day -= FULL_DAY
    async with redis.pipeline(transaction=False) as pipe:
        for one in days:
            begin, end = bounds_of(one)
            pipe.execute_command("ZCOUNT", keys.IMAGES, begin, f"({end}")
        counts = await pipe.execute()
    return [
        NightEntry(day=one, exposures=count)
        for one, count in zip(days, counts, strict=True)
        if count
    ]


async def read_part(redis: Redis, settings: Settings, day: dt.date, part: int = 1) -> NightView:
    """Return one part of a night, the oldest exposures first.

    Parameters
    ----------
    redis, settings
        The archiver's database and settings.
    day : `datetime.date`
        The night.
    part : `int`
        Number of the part, from 1. The last part is returned if there are fewer.
    """
    begin, end = bounds_of(day)
    total = await unless_wrong_type(redis.zcount(keys.IMAGES, begin, f"({end}"), 0)
    parts = max(1, -(-total // PART))
    part = min(max(1, part), parts)
    first = (part - 1) * PART
    before = 1 if first else 0  # the last image of the part before: numbers may be missing after it
    reply = redis.zrangebyscore(
        keys.IMAGES, begin, f"({end}", start=first - before, num=PART + before
    )
    names = [text(name) for name in await unless_wrong_type(reply, list[bytes]())]
    images = await ImageLedger(redis).read_timed_summaries(names)
    preceding = [one for one in images[:before] if one.summary.obsid in names[:before]]
    place = _Place(has_steps=False, part=part, parts=parts, first_number=first + 1, total=total)
    return await _build(redis, settings, day, images[len(preceding) :], preceding, place)


async def read_all(redis: Redis, settings: Settings, day: dt.date) -> NightView:
    """Return a whole night, however many exposures it has."""
    begin, end = bounds_of(day)
    reply = redis.zrangebyscore(keys.IMAGES, begin, f"({end}")
    names = [text(name) for name in await unless_wrong_type(reply, list[bytes]())]
    images = await ImageLedger(redis).read_timed_summaries(names)
    return await _build(
        redis,
        settings,
        day,
        images,
        [],
        _Place(has_steps=True, part=1, parts=1, first_number=1, total=len(names)),
    )


class _Place(NamedTuple):
    """Which part of a night was read."""

    has_steps: bool
    part: int
    parts: int
    first_number: int
    total: int


async def _build(
    redis: Redis,
    settings: Settings,
    day: dt.date,
    images: Sequence[TimedSummary],
    preceding: Sequence[TimedSummary],
    place: _Place,
) -> NightView:
    begin, end = bounds_of(day)
    # Refused exposures have no place among the images: the first part has them.
    refused = await ImageLedger(redis).read_refused(begin, end) if place.part == 1 else []
    changes = await state_history.read(redis, begin, end)
    unscanned = await read_unscanned(redis, settings, begin, end)
    # A thread: for a thousand images this takes a tenth of a second, in a worker's process.
    return await asyncio.to_thread(
        _view, settings, day, (images, preceding), refused, changes, place, unscanned
    )


def _view(
    settings: Settings,
    day: dt.date,
    found: tuple[Sequence[TimedSummary], Sequence[TimedSummary]],
    refused: Sequence[NamedRefusal],
    changes: Sequence[StateChange],
    place: _Place,
    unscanned: Sequence[str],
) -> NightView:
    (images, preceding), now = found, time.time()
    begin, end = bounds_of(day)
    summaries = [image.summary for image in images]
    files = settings.files_per_image
    gaps = _gaps([one.summary for one in (*preceding, *images)])
    summary = summarize(day, summaries, files, refused)
    names = message_names(settings) if place.has_steps else None
    return NightView(
        day=day,
        archiver=settings.archiver_name,
        at=now,
        part=place.part,
        parts=place.parts,
        first_number=place.first_number,
        total=place.total,
        files_per_image=files,
        summary=summary.model_copy(update={"gaps": gaps}),
        exposures=[_exposure(image, names, files) for image in images],
        states=state_history.intervals(changes, begin, min(end, now)),
        gaps=gaps,
        missing=missing_of(day, summaries, refused, gaps, files, now, unscanned),
    )


def _exposure(
    image: TimedSummary, names: dict[Instruction, str] | None, files_per_image: int
) -> NightExposure:
    summary = image.summary
    return NightExposure(
        obsid=summary.obsid,
        state=summary.state,
        at=summary.at,
        events=summary.events,
        retrieved=summary.retrieved,
        ingested=summary.ingested,
        took_s=summary.took_s,
        failed=summary.failed,
        failed_code=summary.failed_code,
        stages=stage_durations(image, files_per_image),
        steps=[] if names is None else steps_of(image, names),
    )


def _gaps(images: Sequence[ImageSummary]) -> list[TimedGap]:
    """Return the numbers that are missing between those of the images."""
    known = {image.obsid: image.at for image in images}
    proven = {image.obsid for image in images if image.is_proven}
    return [
        TimedGap(
            first=gap.sequence.name(gap.first),
            last=gap.sequence.name(gap.last),
            count=gap.size,
            begin=known.get(gap.sequence.name(gap.first - 1), 0.0),
            end=known.get(gap.next_name, 0.0),
        )
        for gap in number_gaps(known, proven)
    ]
