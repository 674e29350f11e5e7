"""What a check has to tell."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Level(enum.StrEnum):
    """How bad it is."""

    OK = "ok"
    WARNING = "warning"
    """Images are not in danger now, or nobody could look."""
    FAILURE = "failure"
    """Images are in danger, or the archiver cannot work."""


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's report."""

    check: str
    """Name, with a dot where one check finds several things: ``redis.memory``."""
    level: Level
    found: str
    remedy: str = ""
    """What to type or to mend; empty if there is nothing to do."""


class NotCheckedError(Exception):
    """A check cannot look, because something else is down that has a line of its own; the text says what."""


def ok(check: str, found: str) -> Finding:
    """Make a finding that all is well."""
    return Finding(check, Level.OK, found)


def warning(check: str, found: str, do: str = "") -> Finding:
    """Make a finding that somebody should look at by day."""
    return Finding(check, Level.WARNING, found, do)


def failure(check: str, found: str, do: str = "") -> Finding:
    """Make a finding that somebody should be woken for."""
    return Finding(check, Level.FAILURE, found, do)
