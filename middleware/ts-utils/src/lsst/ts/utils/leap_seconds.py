"""The table of leap seconds, also after its expiry date.

The genuine package raises an exception for any time after the table's expiry date less one day. A
leap second is announced half a year ahead and the next one is not announced, while an exception
here would end the reading of every SAL topic. So this table is used after its date too, with its
last offset and one warning in the log.
"""

from __future__ import annotations

import bisect
import logging
import math
import threading
import time
from dataclasses import dataclass
from typing import Any

from astropy.time import Time
from astropy.utils import iers

__all__ = ["SECONDS_PER_DAY", "LeapSecondTable", "current_table", "load_table"]

SECONDS_PER_DAY = 24 * 60 * 60
FIRST_YEAR = 1972
"""TAI - UTC is a whole number of seconds from this year on."""
RELOAD_INTERVAL = 24 * 60 * 60.0
"""Seconds between two checks for a newer table after the expiry: one day, because the system's file
changes at most twice a year."""

_log = logging.getLogger("lsst.ts.utils.tai")


@dataclass(frozen=True)
class LeapSecondTable:
    """TAI - UTC in seconds, for each date from which it applies.

    Attributes
    ----------
    utc_starts
        UTC in unix seconds at which each offset begins, ascending.
    offsets
        TAI - UTC in seconds from each of these dates on.
    expires
        UTC in unix seconds up to which the table is known to be complete.
    """

    utc_starts: tuple[float, ...]
    offsets: tuple[float, ...]
    expires: float

    def __post_init__(self) -> None:
        """Prepare the starts in TAI."""
        starts = tuple(
            start + offset for start, offset in zip(self.utc_starts, self.offsets, strict=True)
        )
        object.__setattr__(self, "tai_starts", starts)

    def smeared_offset(self, utc_unix: float) -> float:
        """Return TAI - UTC, spread over the whole day before a leap second.

        Raises
        ------
        ValueError
            If the time is before 1972.
        """
        i = bisect.bisect_right(self.utc_starts, utc_unix)
        if i == 0:
            raise ValueError(self._too_early(utc_unix))
        offset = self.offsets[i - 1]
        if i < len(self.utc_starts) and utc_unix > self.utc_starts[i] - SECONDS_PER_DAY:
            days = utc_unix / SECONDS_PER_DAY
            offset += (self.offsets[i] - offset) * (days - math.floor(days))
        return offset

    def offset_at_tai(self, tai_unix: float) -> float:
        """Return TAI - UTC, a whole number of seconds, at a time in TAI.

        Raises
        ------
        ValueError
            If the time is before 1972.
        """
        starts: tuple[float, ...] = self.tai_starts  # type: ignore[attr-defined] # set above
        i = bisect.bisect_right(starts, tai_unix)
        if i == 0:
            raise ValueError(self._too_early(tai_unix))
        return self.offsets[i - 1]

    def _too_early(self, seconds: float) -> str:
        return (
            f"{seconds} is before {FIRST_YEAR}, when leap seconds began ({self.utc_starts[0]} unix "
            "seconds)"
        )


def _from_astropy(rows: Any) -> LeapSecondTable:  # noqa: ANN401 (astropy's tables are untyped)
    kept = [row for row in rows if row["year"] >= FIRST_YEAR]
    return LeapSecondTable(
        utc_starts=tuple(
            float(Time(f"{row['year']}-{row['month']:02}-01", scale="utc").unix) for row in kept
        ),
        offsets=tuple(float(row["tai_utc"]) for row in kept),
        expires=float(rows.expires.unix),
    )


def load_table() -> LeapSecondTable:
    """Return the newest table on this host: astropy's, the system's or a configured file.

    No table is downloaded, because a host at a telescope must not wait for the network.
    """
    tables = [_from_astropy(iers.LeapSeconds.from_iers_leap_seconds())]
    for name in (iers.conf.system_leap_second_file, "/usr/share/zoneinfo/leap-seconds.list"):
        try:
            tables.append(_from_astropy(iers.LeapSeconds.from_leap_seconds_list(name)))
        except (OSError, ValueError, IndexError) as e:
            _log.debug("No leap second table in %r: %r", name, e)
    return max(tables, key=lambda table: table.expires)


class _Keeper:
    """The current table, which is replaced by a newer one after it has expired."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._table: LeapSecondTable | None = None
        self._next_look = 0.0
        self._warned = False

    def get(self) -> LeapSecondTable:
        table = self._table
        if table is not None and (
            time.time() < table.expires or time.monotonic() < self._next_look
        ):
            return table
        with self._lock:
            self._table = load_table()
            self._next_look = time.monotonic() + RELOAD_INTERVAL
            if time.time() >= self._table.expires and not self._warned:
                self._warned = True
                _log.warning(
                    "The leap second table expired on %s; continuing with TAI - UTC = %g s. "
                    "Update the package astropy-iers-data (or tzdata), "
                    "or times may be off by a second.",
                    time.strftime("%Y-%m-%d", time.gmtime(self._table.expires)),
                    self._table.offsets[-1],
                )
            return self._table


_keeper = _Keeper()


def current_table() -> LeapSecondTable:
    """Return the current table."""
    return _keeper.get()
