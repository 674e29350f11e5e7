"""Named places between an effect and its record, where a fault campaign can end the process.

Unless ``CCARCHIVER_KILLPOINT`` is set, reaching one costs a dictionary look-up and does nothing.
"""

from __future__ import annotations

import os
import signal

VARIABLE = "CCARCHIVER_KILLPOINT"
"""``name`` or ``name:count``: the process kills itself when it reaches that place for the count-th time."""

_armed, _, _count = os.environ.get(VARIABLE, "").partition(":")
_left = {_armed: int(_count or 1)} if _armed else {}


def reach(name: str) -> None:
    """End this process with SIGKILL if this place is armed and its count is used up."""
    if name not in _left:
        return
    _left[name] -= 1
    if _left[name] <= 0:
        os.kill(os.getpid(), signal.SIGKILL)
