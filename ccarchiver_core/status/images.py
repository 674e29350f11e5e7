"""Names of images: of an observing day, the newest ones, or those that match a part of a name."""

from __future__ import annotations

import datetime as dt
import re
from typing import TYPE_CHECKING

from redis.exceptions import ResponseError

from ccarchiver_core import keys
from ccarchiver_core.redis.replies import is_wrong_type, text, unless_wrong_type

if TYPE_CHECKING:
    from redis.asyncio import Redis

SCAN_COUNT = 10_000
"""Names that Redis checks in one round trip.

This takes some milliseconds, during which Redis serves no other client.
"""

NOON = dt.timedelta(hours=12)
"""Offset of the observing day, which is the date in UTC twelve hours earlier.

It changes at noon UTC, when no site observes.
"""


def observing_day(at: float) -> dt.date:
    """Return the observing day of a Unix time (UTC, seconds)."""
    return (dt.datetime.fromtimestamp(at, tz=dt.UTC) - NOON).date()


def bounds_of(day: dt.date) -> tuple[float, float]:
    """Return the Unix times (UTC, seconds) at which an observing day begins and ends."""
    begin = dt.datetime.combine(day, dt.time(), tzinfo=dt.UTC) + NOON
    return begin.timestamp(), (begin + dt.timedelta(days=1)).timestamp()


async def names_between(redis: Redis, begin: float, end: float) -> list[str]:
    """Return the images first seen in [begin, end), oldest first. Times are Unix seconds in UTC."""
    reply = redis.zrangebyscore(keys.IMAGES, begin, f"({end}")
    return [text(name) for name in await unless_wrong_type(reply, list[bytes]())]


async def newest_names(redis: Redis, count: int) -> list[str]:
    """Return the newest images, newest first."""
    reply = redis.zrevrange(keys.IMAGES, 0, count - 1)
    return [text(name) for name in await unless_wrong_type(reply, list[bytes]())]


async def find_names(redis: Redis, wanted: str, limit: int) -> list[str]:
    """Return the images that match a name, its beginning or its number, newest first.

    Parameters
    ----------
    redis : `redis.asyncio.Redis`
        The archiver's database.
    wanted : `str`
        A whole name, the beginning of one, or the last number of one.
    limit : `int`
        Maximum number of images.
    """
    try:
        if await redis.zscore(keys.IMAGES, wanted) is not None:
            return [wanted]
    except ResponseError as error:
        if is_wrong_type(error):
            return []
        raise
    number = wanted.lstrip("0")
    found = await _scan(redis, f"{_literal(wanted)}*")
    if number.isdecimal():
        numbered = await _scan(redis, f"*{_literal(number)}")
        found |= {name: at for name, at in numbered.items() if _has_number(name, number)}
    return sorted(found, key=lambda name: (found[name], name), reverse=True)[:limit]


async def _scan(redis: Redis, pattern: str) -> dict[str, float]:
    """Return the names that match a pattern, each with its time.

    Redis checks all names, a million a second, and sends only those that match.
    """
    found: dict[str, float] = {}
    async for name, at in redis.zscan_iter(keys.IMAGES, match=pattern, count=SCAN_COUNT):
        found[text(name)] = float(at)
    return found


def _literal(wanted: str) -> str:
    """Escape the characters that have a meaning in a Redis pattern."""
    return re.sub(r"([][*?\\^-])", r"\\\1", wanted)


def _has_number(name: str, number: str) -> bool:
    return number.isdecimal() and name.rpartition("_")[2].lstrip("0") == number
