"""Findings of the checks."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Level(enum.StrEnum):
    """Severity of a finding."""

    OK = "ok"
    WARNING = "warning"
    """Images are not in danger now, or the check could not run."""
    FAILURE = "failure"
    """Images are in danger, or the archiver cannot work."""


@dataclass(frozen=True)
class Finding:
    """One result of a check."""

    check: str
    """Name of the check, with a dot in a group of checks: ``redis.memory``."""
    level: Level
    found: str
    remedy: str = ""
    """What to type or to correct; empty if there is nothing to do."""


class NotCheckedError(Exception):
    """Raised if a check cannot run because a service is down that has a check of its own.

    The text names the service.
    """


def ok(check: str, found: str) -> Finding:
    """Return a finding that all is well."""
    return Finding(check, Level.OK, found)


def warning(check: str, found: str, remedy: str = "") -> Finding:
    """Return a finding to investigate during the day."""
    return Finding(check, Level.WARNING, found, remedy)


def failure(check: str, found: str, remedy: str = "") -> Finding:
    """Return a finding that needs an operator now, also at night."""
    return Finding(check, Level.FAILURE, found, remedy)
