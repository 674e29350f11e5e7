"""Summaries of many images, read in few round trips, and names found by what a person remembers of them."""

from __future__ import annotations

import datetime as dt
import re
from typing import TYPE_CHECKING, cast

from pydantic import BaseModel

from ccarchiver_core import keys
from ccarchiver_core.domain.exposure import EventKind
from ccarchiver_core.redis.client import text
from ccarchiver_core.store.ledger import AT_PREFIX, ImageState

if TYPE_CHECKING:
    from collections.abc import Iterable

    from redis.asyncio import Redis

BATCH = 1000
"""Records asked for in one round trip: some hundred kilobytes."""

SCAN_COUNT = 10_000
"""Names Redis looks at in one round trip: some milliseconds, in which nobody else is served."""

NOON = dt.timedelta(hours=12)
"""An observing day is the date in UTC twelve hours earlier: it changes at noon, when no site observes."""

_FIELDS = (
    *("obsid", "job", "at", "state", "finished", "failed", "failed_code", "retrieved", "ingested"),
    *(f"{AT_PREFIX}{kind}" for kind in EventKind),
)


class ImageSummary(BaseModel):
    """One image in one line; times are Unix seconds in UTC, None for what has not happened."""

    obsid: str
    job: int
    state: ImageState
    at: float
    """First heard of."""
    last_event_at: float | None
    """The last of its three events."""
    events: int
    """How many of its three events were heard."""
    finished: float | None
    retrieved: int
    """CCDs retrieved with success."""
    ingested: int
    failed: str
    failed_code: int

    @property
    def took_s(self) -> float | None:
        """Seconds from the last event to the end; None for one that is under way."""
        if self.finished is None or self.last_event_at is None:
            return None
        return max(0.0, self.finished - self.last_event_at)


def observing_day(at: float) -> dt.date:
    """Give the observing day of a Unix time (UTC, seconds)."""
    return (dt.datetime.fromtimestamp(at, tz=dt.UTC) - NOON).date()


def bounds_of(day: dt.date) -> tuple[float, float]:
    """Give the Unix times (UTC, seconds) at which an observing day begins and ends."""
    begin = dt.datetime.combine(day, dt.time(), tzinfo=dt.UTC) + NOON
    return begin.timestamp(), (begin + dt.timedelta(days=1)).timestamp()


async def names_between(redis: Redis, begin: float, end: float) -> list[str]:
    """List the images first heard of in [begin, end), Unix seconds in UTC, oldest first."""
    raw = await redis.zrangebyscore(keys.IMAGES, begin, f"({end}")
    return [text(name) for name in cast("list[bytes]", raw)]


async def newest_names(redis: Redis, count: int) -> list[str]:
    """List the images heard of last, newest first."""
    return [text(name) for name in cast("list[bytes]", await redis.zrevrange(keys.IMAGES, 0, count - 1))]


async def summaries(redis: Redis, names: Iterable[str]) -> list[ImageSummary]:
    """Read the summaries of images, in the order of their names; one that is gone meanwhile is left out."""
    todo = list(names)
    found: list[ImageSummary] = []
    for start in range(0, len(todo), BATCH):
        batch = todo[start : start + BATCH]
        async with redis.pipeline(transaction=False) as pipe:
            for name in batch:
                pipe.execute_command("HMGET", keys.image(name), *_FIELDS)
            rows = await pipe.execute()
        for row in rows:
            fields = {name: text(value) for name, value in zip(_FIELDS, row, strict=True) if value is not None}
            if "state" in fields:
                found.append(_summary(fields))
    return found


def _summary(fields: dict[str, str]) -> ImageSummary:
    heard = [float(fields[name]) for kind in EventKind if (name := f"{AT_PREFIX}{kind}") in fields]
    return ImageSummary.model_construct(  # ours, so checked where it was written; a night has thousands
        obsid=fields.get("obsid", ""),
        job=int(fields.get("job", "0")),
        state=ImageState(fields["state"]),
        at=float(fields.get("at", "0")),
        last_event_at=max(heard, default=None),
        events=len(heard),
        finished=float(fields["finished"]) if "finished" in fields else None,
        retrieved=int(fields.get("retrieved", "0")),
        ingested=int(fields.get("ingested", "0")),
        failed=fields.get("failed", ""),
        failed_code=int(fields.get("failed_code", "0")),
    )


async def find_names(redis: Redis, wanted: str, limit: int) -> list[str]:
    """Find images by their whole name, how it begins, or how it ends (the last number is enough); newest first.

    Parameters
    ----------
    limit : `int`
        How many at most.
    """
    if await redis.zscore(keys.IMAGES, wanted) is not None:
        return [wanted]
    number = wanted.lstrip("0")
    found = await _scan(redis, f"{_literal(wanted)}*")
    if number.isdecimal():
        numbered = await _scan(redis, f"*{_literal(number)}")
        found |= {name: at for name, at in numbered.items() if _has_number(name, number)}
    return sorted(found, key=lambda name: (found[name], name), reverse=True)[:limit]


async def _scan(redis: Redis, pattern: str) -> dict[str, float]:
    """Let Redis look through all names, a million a second, and send only those that match, each with its time."""
    found: dict[str, float] = {}
    async for name, at in redis.zscan_iter(keys.IMAGES, match=pattern, count=SCAN_COUNT):
        found[text(name)] = float(at)
    return found


def _literal(wanted: str) -> str:
    """Take from a text what Redis' patterns would read into it."""
    return re.sub(r"([][*?\\^-])", r"\\\1", wanted)


def _has_number(name: str, number: str) -> bool:
    return number.isdecimal() and name.rpartition("_")[2].lstrip("0") == number
