"""What one exposition is made of, read from Redis at one time."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ccarchiver_core import keys
from ccarchiver_core.redis.client import UNAVAILABLE_ERRORS
from ccarchiver_core.status import alarms, overview
from ccarchiver_core.status.images import summaries
from ccarchiver_core.store import ledger, stage_durations

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from ccarchiver_core.config.settings import Settings
    from ccarchiver_core.status.alarms import Alarm
    from ccarchiver_core.status.overview import Overview
    from ccarchiver_core.store.ledger import ImageState
    from ccarchiver_core.store.stage_durations import Histogram, Stage

READ_LIMIT_S = 8.0
"""A reading that takes longer counts as Redis being away: Prometheus gives up a scrape after 10 s."""


@dataclass(frozen=True)
class Reading:
    """Everything the metrics are made of; only `view` says something when Redis is away."""

    view: Overview
    took_s: float
    alarms: list[Alarm]
    durations: dict[Stage, Histogram] = field(default_factory=dict)
    starts: dict[keys.Worker, int] = field(default_factory=dict)
    """How often each worker has taken its lease."""
    unfinished: Counter[ImageState] = field(default_factory=Counter)


async def read(redis: Redis, settings: Settings) -> Reading:
    """Read it; never raises because Redis is away or slow, the reading says it then. Safe to repeat."""
    began = time.monotonic()
    try:
        async with asyncio.timeout(READ_LIMIT_S):
            view = await overview.collect(redis, settings)
            if view.redis.answers:
                return await _rest(redis, view, began)
    except UNAVAILABLE_ERRORS as error:  # the time-out is one of them
        why = " ".join(str(error).split()) or f"no answer within {READ_LIMIT_S:g} s"
        view = overview.without_redis(settings, why)
    return Reading(view=view, took_s=time.monotonic() - began, alarms=alarms.alarms_of(view))


async def _rest(redis: Redis, view: Overview, began: float) -> Reading:
    durations = await stage_durations.read(redis)
    starts = {worker: int(await redis.get(worker.fencing_token) or 0) for worker in keys.Worker}
    unfinished = await summaries(redis, await ledger.unfinished(redis))
    return Reading(
        view=view,
        took_s=time.monotonic() - began,
        alarms=alarms.alarms_of(view),
        durations=durations,
        starts=starts,
        unfinished=Counter(image.state for image in unfinished),
    )
