"""The page of a night, which the server renders from the ledger on each request."""

from __future__ import annotations

import asyncio
import datetime as dt
import time
from typing import TYPE_CHECKING

from ccarchiver_core.status.images import observing_day
from ccarchiver_core.status.night_view.page import render, served_frame
from ccarchiver_core.status.night_view.view import read_nights, read_part

if TYPE_CHECKING:
    from collections.abc import Mapping

    from redis.asyncio import Redis

    from ccarchiver_core.config.settings import Settings

EARLIEST, LATEST = dt.date(2000, 1, 1), dt.date(2999, 12, 31)
"""Range of the dates in a request, within that of the calendar."""

MAX_PART = 10_000
"""Largest number of a part in a request: more than any night has."""


class RequestError(ValueError):
    """Raised for a request that names no night; the text is for the visitor."""


async def night_page(redis: Redis, settings: Settings, query: Mapping[str, str]) -> str:
    """Return the page of the night that a request names; without a day, of the newest night.

    Raises
    ------
    RequestError
        If the parameters are not valid.
    """
    wanted, part = _day(query.get("day", "")), _part(query.get("part", "1"))
    nights = await read_nights(redis)
    if wanted is None:
        wanted = nights[0].day if nights else observing_day(time.time())
    view = await read_part(redis, settings, wanted, part)
    return await asyncio.to_thread(render, view, served_frame(nights))


def _day(text: str) -> dt.date | None:
    if not text:
        return None
    try:
        day = dt.date.fromisoformat(text)
    except ValueError:
        day = None
    if day is None or not EARLIEST <= day <= LATEST:
        years = f"{EARLIEST.year} to {LATEST.year}"
        raise RequestError(f"the parameter day is not a date from {years}: night?day=2026-11-22")
    return day


def _part(text: str) -> int:
    if not (text.isascii() and text.isdecimal()) or not 1 <= int(text[:9]) <= MAX_PART:
        raise RequestError(f"the parameter part is not a number from 1 to {MAX_PART}")
    return int(text[:9])
