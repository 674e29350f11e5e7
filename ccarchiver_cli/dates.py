"""Observing days as the operator types them."""

from __future__ import annotations

import datetime as dt
import time

import typer

from ccarchiver_core.status.images import observing_day

NIGHT_HELP = (
    "Observing day: 2026-11-22, 20261122, today or yesterday; it begins at 12:00 UTC of that date."
)

EARLIEST, LATEST = dt.date(2000, 1, 1), dt.date(2999, 12, 31)
"""Range of valid dates: all images are inside it.

The ends of the calendar are excluded, because the end of an observing day is the next day.
"""


def read_day(text: str) -> dt.date:
    """Return the observing day that a text names.

    Raises
    ------
    typer.BadParameter
        If the text is not a valid date.
    """
    today = observing_day(time.time())
    if text == "today":
        return today
    if text == "yesterday":
        return today - dt.timedelta(days=1)
    try:
        day = dt.date.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is not a date; write it as {today.isoformat()}"
        ) from None
    if not EARLIEST <= day <= LATEST:
        years = f"{EARLIEST.year} to {LATEST.year}"
        raise typer.BadParameter(
            f"{text!r} is not a date from {years}; write it as {today.isoformat()}"
        )
    return day
