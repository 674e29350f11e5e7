"""Dead letters: what could not be handled is kept with its reason, its origin and the raw bytes."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from ccarchiver_core import keys

if TYPE_CHECKING:
    from ccarchiver_core.settings import Settings
    from ccarchiver_core.step import Step

REASON_LENGTH = 500
"""Characters of a reason that are kept: enough to name the field, not enough to hold the message again."""


def add(step: Step, settings: Settings, *, origin: str, reason: str, raw: bytes, obsid: str = "") -> None:
    """Put a dead letter down within a step; the oldest one goes when there are too many.

    Parameters
    ----------
    step : `Step`
        The step that also settles the message.
    settings : `Settings`
        Has the bound.
    origin : `str`
        Queue or mailbox it came from.
    reason : `str`
        Why it could not be handled, for a person.
    raw : `bytes`
        The message as it came.
    obsid : `str`
        The image it belongs to, if that is known.
    """
    now = dt.datetime.now(tz=dt.UTC).isoformat(timespec="milliseconds")
    step.do(
        *("XADD", keys.DEAD_LETTERS, "MAXLEN", settings.max_dead_letters, "*"),
        *("at", now, "origin", origin, "reason", reason[:REASON_LENGTH], "obsid", obsid, "raw", raw),
    )
    step.count("dead_letters")
