"""Log lines about something that can happen very often: one at once, then one for each period."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

PERIOD_S = 600.0
"""Minimum of seconds between two lines about the same event."""

MINUTE_S = 60.0


class PeriodicLog:
    """Logs one event with its number and its rate.

    Parameters
    ----------
    log : callable
        Method of a logger, for example ``_log.error``.
    event : `str`
        Name of the event.
    number_name : `str`
        Key of the number in a line.
    """

    def __init__(self, log: Callable[..., object], event: str, number_name: str) -> None:
        self._log = log
        self._event = event
        self._number_name = number_name
        self._number = 0
        self._facts: dict[str, str | int] = {}
        self._is_pending = False
        self._logged_at: float | None = None

    def add(self, number: int, **facts: str | int) -> None:
        """Add a number of occurrences, and log them if a line is due.

        A line has the facts of the last call.
        """
        self._number += number
        self._facts = facts
        self._is_pending = True
        self.flush()

    def flush(self) -> None:
        """Log what was added since the last line, if a line is due; call it periodically."""
        now = time.monotonic()
        if not self._is_pending:
            return
        line: dict[str, str | int | float] = {self._number_name: self._number, **self._facts}
        if self._logged_at is not None:
            passed_s = now - self._logged_at
            if passed_s < PERIOD_S:
                return
            line["per_minute"] = round(self._number * MINUTE_S / passed_s, 1)
        self._log(self._event, **line)
        self._logged_at = now
        self._number, self._is_pending = 0, False
