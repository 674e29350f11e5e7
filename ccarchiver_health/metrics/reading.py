"""What one exposition is made of, read from Redis at one time."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ccarchiver_core import keys, ledger, measures
from ccarchiver_core.redis_client import AWAY_ERRORS
from ccarchiver_core.view import alarms, overview
from ccarchiver_core.view.images import summaries

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from ccarchiver_core.ledger import ImageState
    from ccarchiver_core.measures import Histogram, Measure
    from ccarchiver_core.settings import Settings
    from ccarchiver_core.view.alarms import Alarm
    from ccarchiver_core.view.overview import Overview

READ_LIMIT_S = 8.0
"""A reading that takes longer counts as Redis being away: Prometheus gives up a scrape after 10 s."""


@dataclass(frozen=True)
class Reading:
    """Everything the metrics are made of; only `view` says something when Redis is away."""

    view: Overview
    took_s: float
    alarms: list[Alarm]
    durations: dict[Measure, Histogram] = field(default_factory=dict)
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
    except AWAY_ERRORS as error:  # the time-out is one of them
        why = " ".join(str(error).split()) or f"no answer within {READ_LIMIT_S:g} s"
        view = overview.without_redis(settings, why)
    return Reading(view=view, took_s=time.monotonic() - began, alarms=alarms.alarms_of(view))


async def _rest(redis: Redis, view: Overview, began: float) -> Reading:
    durations = await measures.read(redis)
    starts = {worker: int(await redis.get(worker.lease_epoch) or 0) for worker in keys.Worker}
    unfinished = await summaries(redis, await ledger.unfinished(redis))
    return Reading(
        view=view,
        took_s=time.monotonic() - began,
        alarms=alarms.alarms_of(view),
        durations=durations,
        starts=starts,
        unfinished=Counter(image.state for image in unfinished),
    )
