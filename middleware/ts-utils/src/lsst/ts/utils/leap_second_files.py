"""Tables of leap seconds, and the two kinds of files that contain them.

The files are read without astropy, which needs 38 MB of memory.
"""

from __future__ import annotations

import bisect
import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

__all__ = ["SECONDS_PER_DAY", "LeapSecondTable", "read_iers_file", "read_ntp_list"]

SECONDS_PER_DAY = 24 * 60 * 60
FIRST_YEAR = 1972
"""TAI - UTC is a whole number of seconds from this year on."""
NTP_EPOCH = datetime(1900, 1, 1, tzinfo=UTC).timestamp()
"""Begin of the time scale of NTP, in unix seconds."""
MONTH_LETTERS = 3
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
"""The months in three letters, as both kinds of files have them in any locale."""
_EXPIRY = re.compile(r"#.*File expires on[:\s]+(\d+)\s+(\w+)\s+(\d+)")


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


def read_iers_file(path: Path) -> LeapSecondTable:
    """Return the table of a file like the IERS' ``Leap_Second.dat``.

    Its lines have the modified Julian date, day, month, year, and TAI - UTC.

    Raises
    ------
    OSError, ValueError
        If the file cannot be read or has another form.
    """
    lines = path.read_text(encoding="ascii", errors="replace").splitlines()
    rows = [
        (datetime(int(year), int(month), int(day), tzinfo=UTC).timestamp(), float(offset))
        for _mjd, day, month, year, offset in (line.split() for line in _data(lines))
    ]
    return _table(rows, lines, path)


def read_ntp_list(path: Path) -> LeapSecondTable:
    """Return the table of a file like the IETF's ``leap-seconds.list``.

    Its lines have the time in the scale of NTP, and TAI - UTC.

    Raises
    ------
    OSError, ValueError
        If the file cannot be read or has another form.
    """
    lines = path.read_text(encoding="ascii", errors="replace").splitlines()
    rows = [
        (NTP_EPOCH + int(start), float(offset))
        for start, offset in (line.partition("#")[0].split() for line in _data(lines))
    ]
    return _table(rows, lines, path)


def _data(lines: Iterable[str]) -> Iterator[str]:
    """Yield the lines that are neither empty nor a comment."""
    return (line for line in lines if line.strip() and not line.lstrip().startswith("#"))


def _table(rows: list[tuple[float, float]], lines: Iterable[str], path: Path) -> LeapSecondTable:
    first = datetime(FIRST_YEAR, 1, 1, tzinfo=UTC).timestamp()
    kept = sorted((start, offset) for start, offset in rows if start >= first)
    if not kept:
        message = f"{path} has no leap second"
        raise ValueError(message)
    return LeapSecondTable(
        utc_starts=tuple(start for start, _ in kept),
        offsets=tuple(offset for _, offset in kept),
        expires=_expiry(lines, path),
    )


def _expiry(lines: Iterable[str], path: Path) -> float:
    for line in lines:
        found = _EXPIRY.match(line)
        if found:
            day, month, year = found.groups()
            number = MONTHS.index(month[:MONTH_LETTERS].lower()) + 1
            return datetime(int(year), number, int(day), tzinfo=UTC).timestamp()
    message = f"{path} does not contain the date on which it expires"
    raise ValueError(message)
