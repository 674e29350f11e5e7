"""How long ago something was, by a clock that nobody sets.

The wall clock (`time.time`) is for people: it may be set by an hour in the middle of a night. Within one boot of the
machine the kernel counts on whatever happens to the wall clock; only across boots, and between machines, the wall clock
is all there is.
"""

from __future__ import annotations

import functools
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
"""The kernel's name for this boot of this machine."""

MIN_JUMP_S = 2.0
"""Seconds of difference that make a step: drift is milliseconds, and costs no key in Redis its life."""

WALL, BOOT, UPTIME = "at", "boot", "uptime"
"""How the fields of an instant end, after a prefix of the record they stand in."""


@dataclass(frozen=True)
class Instant:
    """A moment: Unix time (UTC), which boot of which machine, seconds since that boot (time asleep included)."""

    wall: float
    boot: str
    uptime: float

    def fields(self, prefix: str = "") -> dict[str, str | float]:
        """Give the fields of a Redis hash that hold it."""
        return {prefix + WALL: self.wall, prefix + BOOT: self.boot, prefix + UPTIME: self.uptime}


def now() -> Instant:
    """Give this moment."""
    return Instant(time.time(), boot_id(), time.clock_gettime(time.CLOCK_BOOTTIME))


def at(wall: float) -> Instant:
    """Give a moment of this boot's recent past, by the wall clock; a moment that has not come yet is now."""
    present = now()
    age_s = max(0.0, present.wall - wall)
    return Instant(present.wall - age_s, present.boot, present.uptime - age_s)


def seconds_since(fields: Mapping[str, str], prefix: str = "") -> float:
    """Seconds from a moment that `Instant.fields` wrote until now.

    A clock that was set does not count within one boot. Of another boot the wall clock is believed; if it was set back
    meanwhile the value may be negative. Without a moment in the record it was in 1970.
    """
    present = now()
    if present.boot and fields.get(prefix + BOOT) == present.boot and prefix + UPTIME in fields:
        return present.uptime - float(fields[prefix + UPTIME])
    return present.wall - float(fields.get(prefix + WALL, "0"))


class ClockJumpDetector:
    """Notices that the wall clock of this machine was set, or that the machine slept: keys in Redis end by both."""

    def __init__(self) -> None:
        self._offset = time.time() - time.monotonic()

    def poll(self) -> float:
        """Seconds by which the clock was set since the last look; 0 for what a clock drifts or is slewed."""
        offset = time.time() - time.monotonic()
        step_s, self._offset = offset - self._offset, offset
        return step_s if abs(step_s) > MIN_JUMP_S else 0.0


@functools.cache
def boot_id() -> str:
    """Name this boot of this machine; empty where the kernel does not tell, then only the wall clock is left."""
    try:
        return BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return ""


def unix_time() -> float:
    """Give the time for a record: Unix seconds, UTC, to a millisecond."""
    return round(time.time(), 3)
