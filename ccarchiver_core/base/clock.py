"""Time differences that do not depend on the wall clock.

The wall clock (`time.time`) is for people: a person may set it by an hour during a night. Within
one boot of a machine, the time since that boot is not affected by this. Across boots and between
machines, only the wall clock is available.
"""

from __future__ import annotations

import datetime as dt
import functools
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
"""File with the kernel's id of this boot of this machine."""

MIN_JUMP_S = 2.0
"""Seconds of difference that count as a clock jump.

Drift is milliseconds, which does not expire a key in Redis.
"""

WALL, BOOT, UPTIME = "at", "boot", "uptime"
"""Names of the fields of an instant in a Redis hash, after an optional prefix."""


@dataclass(frozen=True)
class Instant:
    """A moment: Unix time (UTC), id of the boot, and seconds since that boot.

    The seconds include the time for which the machine was suspended.
    """

    wall: float
    boot: str
    uptime: float

    def fields(self, prefix: str = "") -> dict[str, str | float]:
        """Return the fields of a Redis hash that hold this moment."""
        return {prefix + WALL: self.wall, prefix + BOOT: self.boot, prefix + UPTIME: self.uptime}

    def age_s(self) -> float:
        """Return the seconds since this moment.

        Within one boot a change of the wall clock does not count. Across boots the wall clock is
        used, so the value is negative if the clock was set back meanwhile.
        """
        present = now()
        if present.boot and present.boot == self.boot:
            return present.uptime - self.uptime
        return present.wall - self.wall

    @classmethod
    def from_fields(cls, fields: Mapping[str, str], prefix: str = "") -> Instant | None:
        """Return the moment that `fields` wrote into a Redis hash; None without a readable one."""
        wall, uptime = _number(fields, prefix + WALL), _number(fields, prefix + UPTIME)
        if wall is None:
            return None
        boot = fields.get(prefix + BOOT, "") if uptime is not None else ""
        return cls(wall, boot, uptime or 0.0)


def now() -> Instant:
    """Return the present moment."""
    return Instant(time.time(), boot_id(), time.clock_gettime(time.CLOCK_BOOTTIME))


def at(wall: float) -> Instant:
    """Return the moment at a recent Unix time, which must be within this boot.

    A time in the future counts as the present.
    """
    present = now()
    age_s = max(0.0, present.wall - wall)
    return Instant(present.wall - age_s, present.boot, present.uptime - age_s)


def seconds_since(fields: Mapping[str, str], prefix: str = "") -> float:
    """Return the seconds since a moment that `Instant.fields` wrote.

    Within one boot, a change of the wall clock does not count. Across boots, the wall clock is
    used, so the value is negative if the clock was set back meanwhile. A record without a moment
    counts as one of 1970.
    """
    present = now()
    uptime = _number(fields, prefix + UPTIME)
    if present.boot and fields.get(prefix + BOOT) == present.boot and uptime is not None:
        return present.uptime - uptime
    return present.wall - (_number(fields, prefix + WALL) or 0.0)


def _number(fields: Mapping[str, str], name: str) -> float | None:
    """Return a field as a number; None if it is missing, or a person has made it unreadable."""
    try:
        value = float(fields[name])
    except (KeyError, ValueError):
        return None
    return value if math.isfinite(value) else None


class ClockJumpDetector:
    """Detects that the wall clock was set or the machine suspended; both expire keys in Redis."""

    def __init__(self) -> None:
        self._offset = time.time() - time.monotonic()

    def poll(self) -> float:
        """Return the clock jump since the last poll, in seconds; 0 for drift or slewing."""
        offset = time.time() - time.monotonic()
        jump_s, self._offset = offset - self._offset, offset
        return jump_s if abs(jump_s) > MIN_JUMP_S else 0.0


@functools.cache
def boot_id() -> str:
    """Return the id of this boot of this machine.

    It is empty if the kernel has none; then only the wall clock is used.
    """
    try:
        return BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return ""


def unix_time() -> float:
    """Return the present Unix time (UTC) for a record, rounded to a millisecond."""
    return round(time.time(), 3)


def utc_text(at: float) -> str:
    """Return a Unix time as text, for an operator."""
    return f"{dt.datetime.fromtimestamp(at, tz=dt.UTC):%Y-%m-%d %H:%M:%S} UTC"
