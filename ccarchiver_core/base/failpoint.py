"""Named places between an effect and its record, where a fault campaign can end the process.

Unless one of the two variables is set, reaching a place costs a dictionary look-up and does nothing.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

FAILPOINT_VARIABLE = "CCARCHIVER_FAILPOINT"
"""``name`` or ``name:count``: the process kills itself when it reaches that place for the count-th time."""

FOLDER_VARIABLE = "CCARCHIVER_FAILPOINT_DIR"
"""A folder; while it has a file called like a place, the next process to reach that place removes it and dies.

So a campaign arms a place of a running worker, once, without the worker's next start meeting it again."""

_armed, _, _count = os.environ.get(FAILPOINT_VARIABLE, "").partition(":")
_left = {_armed: int(_count or 1)} if _armed else {}
_folder = Path(os.environ[FOLDER_VARIABLE]) if os.environ.get(FOLDER_VARIABLE) else None


def hit(name: str) -> None:
    """End this process with SIGKILL if this place is armed and its count is used up."""
    if _folder is not None and _claim(_folder / name):
        os.kill(os.getpid(), signal.SIGKILL)
    if name not in _left:
        return
    _left[name] -= 1
    if _left[name] <= 0:
        os.kill(os.getpid(), signal.SIGKILL)


def _claim(path: Path) -> bool:
    """Remove the file that arms a place; of several that try, only one succeeds."""
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    return True
