"""International Atomic Time (TAI) and UTC, both in seconds since 1970."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from lsst.ts.utils.leap_seconds import SECONDS_PER_DAY, current_table

if TYPE_CHECKING:
    from collections.abc import Callable

    from astropy.time import Time

__all__ = [
    "MJD_MINUS_UNIX_SECONDS",
    "SECONDS_PER_DAY",
    "astropy_time_from_tai_unix",
    "current_tai",
    "tai_from_utc",
    "tai_from_utc_unix",
    "utc_from_tai_unix",
]

MJD_OF_UNIX_EPOCH = 40587
"""Modified Julian Date of 1970-01-01."""
MJD_MINUS_UNIX_SECONDS = float(MJD_OF_UNIX_EPOCH * SECONDS_PER_DAY)
"""Modified Julian Date in seconds, minus unix seconds."""
MAX_CLOCK_DIFFERENCE = 1.1
"""Largest difference in seconds between the system's TAI clock and the computed time at which the
system's clock is used. On the day before a leap second the computed time is off by up to a
second."""

_log = logging.getLogger("lsst.ts.utils.tai")


def tai_from_utc_unix(utc_unix: float) -> float:
    """Return TAI for UTC, both in unix seconds; a leap second is spread over the day before it.

    Raises
    ------
    ValueError
        If the time is before 1972. A time after the expiry of the leap second table is no error:
        the last offset is used.
    """
    return utc_unix + current_table().smeared_offset(utc_unix)


def tai_from_utc(utc: float | str | Time, format: str | None = "unix") -> float:  # noqa: A002
    """Return TAI in unix seconds for a UTC in any format of astropy.

    Parameters
    ----------
    utc
        The time.
    format
        astropy's name of the format, None for astropy's guess; ignored for an astropy time. The
        name hides a builtin because the genuine package has the same name.
    """
    if isinstance(utc, float) and format == "unix":
        return tai_from_utc_unix(utc)
    from astropy.time import Time  # noqa: PLC0415 (it needs 38 MB, and a CSC does without)

    moment = utc if isinstance(utc, Time) else Time(utc, scale="utc", format=format)
    return tai_from_utc_unix(float(moment.unix))


def utc_from_tai_unix(tai_unix: float) -> float:
    """Return UTC for TAI, both in unix seconds; they differ by whole seconds (no spreading)."""
    return tai_unix - current_table().offset_at_tai(tai_unix)


def astropy_time_from_tai_unix(tai_unix: float) -> Time:
    """Return astropy's time for TAI in unix seconds."""
    from astropy.time import Time  # noqa: PLC0415 (see above)

    return Time((MJD_MINUS_UNIX_SECONDS + tai_unix) / SECONDS_PER_DAY, scale="tai", format="mjd")


def _tai_from_clock() -> float:
    """Return TAI from the system's own TAI clock."""
    return time.clock_gettime(time.CLOCK_TAI)


def _tai_from_table() -> float:
    """Return TAI from UTC and the leap second table."""
    return tai_from_utc_unix(time.time())


def choose_tai_clock() -> Callable[[], float]:
    """Return the system's TAI clock, or the computed one if the kernel has no TAI offset."""
    try:
        difference = _tai_from_clock() - _tai_from_table()
    except (AttributeError, OSError) as e:
        _log.info("This system has no TAI clock (%r); TAI is computed from UTC", e)
        return _tai_from_table
    if abs(difference) > MAX_CLOCK_DIFFERENCE:
        _log.info("The system's TAI clock is off by %.1f s; TAI is computed from UTC", difference)
        return _tai_from_table
    return _tai_from_clock


current_tai: Callable[[], float] = choose_tai_clock()
"""Return the current TAI in unix seconds."""
