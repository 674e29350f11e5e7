"""Check of the offset between TAI and UTC on this host; SAL's times are TAI."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from ccarchiver_cli.doctor.finding import failure, ok, warning

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ccarchiver_cli.doctor.finding import Finding
    from ccarchiver_cli.doctor.site import Site

TOLERANCE = 1.1
"""Tolerated difference in seconds.

By design of SAL, the computed TAI differs from the kernel's by up to a second on the day before a
leap second.
"""

SYSTEM_TABLES = (Path("/usr/share/zoneinfo/leap-seconds.list"), Path("/etc/leap-seconds.list"))
"""Leap second tables of the system, in addition to astropy's."""

READINGS = 5
"""Number of readings of the clocks: more than a busy machine disturbs in sequence."""

NAME = "clock.tai"
RENEW = (
    "pip install --upgrade astropy-iers-data, in the virtual environment; "
    "then supervisorctl restart ccarchiver:*"
)


def tai(_site: Site) -> Iterator[Finding]:
    """Check the TAI offsets of SAL and of the kernel, and the validity of the leap second table."""
    # Imported here: astropy takes most of a second to import, which no other command should pay.
    from lsst.ts import utils  # noqa: PLC0415  slow to import, and maybe not installed

    now = time.time()
    try:
        table = utils.tai_from_utc_unix(now) - now
        used = _offset(utils.current_tai)
    except ValueError as error:  # the observatory's package rejects times after its table's end
        yield failure(NAME, f"SAL cannot compute the time: {error}", RENEW)
        return
    kernel = _offset(lambda: time.clock_gettime(time.CLOCK_TAI))
    days_left = (_table_end() - now) / utils.SECONDS_PER_DAY
    yield evaluate_tai(used=used, table=table, kernel=kernel, days_left=days_left)


def _offset(read_tai: Callable[[], float]) -> float:
    """Return TAI - UTC in seconds by the quickest of several readings.

    If the process is suspended between the two clocks, a reading is wrong by that time.
    """
    readings: list[tuple[float, float]] = []
    for _ in range(READINGS):
        before = time.time()
        tai = read_tai()
        took_s = time.time() - before
        readings.append((abs(took_s), tai - before))
    return min(readings)[1]


def _table_end() -> float:
    """Return the Unix time at which the newest leap second table of this host expires."""
    from astropy.utils import iers  # noqa: PLC0415  as above

    tables = [iers.LeapSeconds.from_iers_leap_seconds()]
    tables += [
        iers.LeapSeconds.from_leap_seconds_list(str(path))
        for path in SYSTEM_TABLES
        if path.exists()
    ]
    return max(float(table.expires.unix) for table in tables)


def evaluate_tai(*, used: float, table: float, kernel: float, days_left: float) -> Finding:
    """Compare the offsets TAI - UTC, in seconds.

    Parameters
    ----------
    used : `float`
        Offset that SAL uses.
    table : `float`
        Offset in the leap second table.
    kernel : `float`
        Offset of the kernel; 0 if it is not set.
    days_left : `float`
        Days until the table expires.
    """
    text = f"TAI - UTC is {used:.0f} s"
    if abs(used - table) > TOLERANCE:
        found = f"{text} in SAL, but {table:.0f} s in the leap second table"
        return failure(NAME, found, RENEW)
    if round(kernel) and abs(kernel - table) > TOLERANCE:
        return warning(
            NAME,
            f"{text} in the leap second table, but {kernel:.0f} s in the kernel: programs that use "
            "the kernel's value have a wrong time",
            "chrony: `leapsectz right/UTC` in chrony.conf; or: adjtimex --tai (as root)",
        )
    if days_left < 0:
        found = f"{text} in a leap second table that expired {-days_left:.0f} days ago"
        return warning(NAME, found, RENEW)
    if round(kernel):
        source = "in the kernel and in the table"
    else:
        source = "in the table; the kernel has no offset, so SAL computes it"
    return ok(NAME, f"{text} {source}; the table is valid for {days_left:.0f} more days")
