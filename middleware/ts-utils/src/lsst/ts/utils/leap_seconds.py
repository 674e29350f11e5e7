"""The table of leap seconds, also after its expiry date.

The genuine package raises an exception for any time after the table's expiry date less one day. A
leap second is announced half a year ahead and the next one is not announced, while an exception
here would end the reading of every SAL topic. So this table is used after its date too, with its
last offset and one warning in the log.
"""

from __future__ import annotations

import logging
import threading
import time
from pathlib import Path

import astropy_iers_data
from lsst.ts.utils.leap_second_files import (
    SECONDS_PER_DAY,
    LeapSecondTable,
    read_iers_file,
    read_ntp_list,
)

__all__ = ["SECONDS_PER_DAY", "LeapSecondTable", "current_table", "load_table"]

SYSTEM_LIST = Path("/usr/share/zoneinfo/leap-seconds.list")
"""The table of the system's package tzdata."""
RELOAD_INTERVAL = 24 * 60 * 60.0
"""Seconds between two checks for a newer table after the expiry: one day, because the system's file
changes at most twice a year."""

_log = logging.getLogger("lsst.ts.utils.tai")


def load_table() -> LeapSecondTable:
    """Return the newest table on this host: that of astropy-iers-data or the system's.

    No table is downloaded, because a host at a telescope must not wait for the network.
    """
    tables = [read_iers_file(Path(astropy_iers_data.IERS_LEAP_SECOND_FILE))]
    try:
        tables.append(read_ntp_list(SYSTEM_LIST))
    except (OSError, ValueError) as e:
        _log.debug("No leap second table in %s: %r", SYSTEM_LIST, e)
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
