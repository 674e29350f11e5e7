"""Observing days as they are typed."""

from __future__ import annotations

import datetime as dt
import time

import typer

from ccarchiver_core.status.images import observing_day

NIGHT_HELP = "Observing day: 2026-11-22, 20261122, today or yesterday; it begins at 12:00 UTC of that date."

EARLIEST, LATEST = dt.date(2000, 1, 1), dt.date(2999, 12, 31)
"""No image is outside; the ends of the calendar have no day beyond them to end at."""


def read_day(text: str) -> dt.date:
    """Read an observing day; ends the command as wrong use if it is none."""
    today = observing_day(time.time())
    if text == "today":
        return today
    if text == "yesterday":
        return today - dt.timedelta(days=1)
    try:
        day = dt.date.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no date; write it like {today.isoformat()}") from None
    if not EARLIEST <= day <= LATEST:
        raise typer.BadParameter(f"{text!r} is no night of an archiver; write it like {today.isoformat()}")
    return day
