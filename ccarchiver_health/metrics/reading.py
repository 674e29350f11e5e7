"""Reading of all values of one exposition from Redis."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ccarchiver_core import keys
from ccarchiver_core.redis.errors import UNAVAILABLE_ERRORS, describe
from ccarchiver_core.runtime.lease import read_fencing_token
from ccarchiver_core.status import alarms, overview
from ccarchiver_core.store import stage_durations
from ccarchiver_core.store.image_ledger import ImageLedger

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from ccarchiver_core.config.settings import Settings
    from ccarchiver_core.domain.image_record import ImageState
    from ccarchiver_core.status.alarms import Alarm
    from ccarchiver_core.status.overview import Overview
    from ccarchiver_core.store.stage_durations import Histogram, Stage

READ_LIMIT_S = 8.0
"""Time limit of a reading, after which Redis counts as down. Prometheus ends a scrape at 10 s."""


@dataclass(frozen=True)
class Reading:
    """Values of all metrics. Only `view` has data while Redis is unavailable."""

    view: Overview
    took_s: float
    alarms: list[Alarm]
    durations: dict[Stage, Histogram] = field(default_factory=dict)
    starts: dict[keys.Worker, int] = field(default_factory=dict)
    """How often each worker has acquired its lease."""
    unfinished: Counter[ImageState] = field(default_factory=Counter)


async def read(redis: Redis, settings: Settings) -> Reading:
    """Return a new reading.

    If Redis is unavailable or slow, no error is raised: the reading contains the reason.
    """
    began = time.monotonic()
    try:
        async with asyncio.timeout(READ_LIMIT_S):
            view = await overview.collect(redis, settings)
            if view.redis.answers:
                return await _rest(redis, view, began)
    except UNAVAILABLE_ERRORS as error:  # includes the timeout
        reason = describe(error) if str(error) else f"did not answer within {READ_LIMIT_S:g} s"
        view = overview.without_redis(settings, reason)
    return Reading(view=view, took_s=time.monotonic() - began, alarms=alarms.alarms_of(view))


async def _rest(redis: Redis, view: Overview, began: float) -> Reading:
    durations = await stage_durations.read(redis)
    starts = {worker: await read_fencing_token(redis, worker) for worker in keys.Worker}
    ledger = ImageLedger(redis)
    unfinished = await ledger.read_summaries(await ledger.open_images())
    return Reading(
        view=view,
        took_s=time.monotonic() - began,
        alarms=alarms.alarms_of(view),
        durations=durations,
        starts=starts,
        unfinished=Counter(image.state for image in unfinished),
    )
