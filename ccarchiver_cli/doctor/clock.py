"""The clock of this host against TAI, in which SAL has its times."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from ccarchiver_cli.doctor.finding import failure, ok, warning

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ccarchiver_cli.doctor.finding import Finding
    from ccarchiver_cli.doctor.site import Site

TOLERANCE = 1.1
"""Seconds: on the day before a leap second the computed TAI is up to a second off the kernel's, by design of SAL."""

SYSTEM_TABLES = (Path("/usr/share/zoneinfo/leap-seconds.list"), Path("/etc/leap-seconds.list"))
"""Where systems keep a table, beside astropy's own."""

NAME = "clock.tai"
RENEW = "pip install --upgrade astropy-iers-data, in the virtual environment; then supervisorctl restart ccarchiver:*"


def tai(_site: Site) -> Iterator[Finding]:
    """Look what SAL takes for TAI, what the kernel does, and how long the leap second table holds."""
    # Not at the top: astropy takes most of a second to import, and every other command would wait for it.
    from lsst.ts import utils  # noqa: PLC0415  slow to import, and maybe not there

    now = time.time()
    try:
        used = utils.current_tai() - now
        table = utils.tai_from_utc_unix(now) - now
    except ValueError as error:  # the observatory's own package refuses times after its table's end
        yield failure(NAME, f"SAL cannot tell the time: {error}", RENEW)
        return
    kernel = time.clock_gettime(time.CLOCK_TAI) - time.time()
    days_left = (_table_end() - now) / utils.SECONDS_PER_DAY
    yield evaluate_tai(used=used, table=table, kernel=kernel, days_left=days_left)


def _table_end() -> float:
    """Unix time up to which the newest leap second table of this host is complete."""
    from astropy.utils import iers  # noqa: PLC0415  as above

    tables = [iers.LeapSeconds.from_iers_leap_seconds()]
    tables += [iers.LeapSeconds.from_leap_seconds_list(str(path)) for path in SYSTEM_TABLES if path.exists()]
    return max(float(table.expires.unix) for table in tables)


def evaluate_tai(*, used: float, table: float, kernel: float, days_left: float) -> Finding:
    """Judge three ways to TAI - UTC, in seconds: what SAL uses, the table's, the kernel's; and the table's validity."""
    text = f"TAI - UTC is {used:.0f} s"
    if abs(used - table) > TOLERANCE:
        return failure(NAME, f"SAL takes {text}, the leap second table says {table:.0f} s", RENEW)
    if round(kernel) and abs(kernel - table) > TOLERANCE:
        return warning(
            NAME,
            f"{text} by the leap second table, but {kernel:.0f} s by the kernel: programs that trust it are off",
            "chrony: `leapsectz right/UTC` in chrony.conf; or: adjtimex --tai (as root)",
        )
    if days_left < 0:
        return warning(NAME, f"{text} by a leap second table that ended {-days_left:.0f} days ago", RENEW)
    source = "by kernel and table" if round(kernel) else "by the table; the kernel has not been told, SAL computes it"
    return ok(NAME, f"{text} {source}; the table holds {days_left:.0f} more days")
