"""Names of images: which ones are valid, and the number and the observing day in a name.

A camera names its images ``CC_O_20261122_000017``: camera, source of the instruction, observing
day, and a number that counts within the day.
"""

from __future__ import annotations

import datetime as dt
import re
from typing import NamedTuple

MAX_NAME = 64
"""Longest image name; SAL has room for 32 in a camera event, for more in a header event."""

SHOWN = 80
"""Characters of a rejected name that are shown."""

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", re.ASCII)

_NUMBERED = re.compile(r"(?P<prefix>.*?)(?P<digits>\d+)", re.DOTALL)

_DAY = re.compile(r"_(\d{8})_\d+\Z", re.ASCII)


class NameSequence(NamedTuple):
    """What the names of one sequence of images have in common."""

    prefix: str
    width: int
    """Number of digits of the number."""

    def name(self, number: int) -> str:
        """Return the name with a number."""
        return f"{self.prefix}{number:0{self.width}d}"


def name_problem(name: str) -> str:
    """Return why a text cannot be the name of an image; empty if it can.

    The Forwarder builds file names and a shell command from the name.
    """
    if _NAME.fullmatch(name) is not None and ".." not in name and len(name) <= MAX_NAME:
        return ""
    return (
        f"the image name {name[:SHOWN]!r} is rejected: "
        f"it must have only letters, digits and _ . -, at most {MAX_NAME}, without '..'"
    )


def numbered(name: str) -> tuple[NameSequence, int] | None:
    """Return the sequence and the number of an image; None if its name ends with no number."""
    found = _NUMBERED.fullmatch(name)
    if found is None:
        return None
    digits = found["digits"]
    return NameSequence(found["prefix"], len(digits)), int(digits)


def day_of(name: str) -> dt.date | None:
    """Return the observing day in a name; None if it has none."""
    found = _DAY.search(name)
    if found is None:
        return None
    try:
        return dt.datetime.strptime(found[1], "%Y%m%d").replace(tzinfo=dt.UTC).date()
    except ValueError:
        return None
