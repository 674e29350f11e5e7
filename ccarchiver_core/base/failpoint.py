"""Failpoints: places between an effect and its record, where a fault campaign kills a process.

Unless one of the two variables is set, a failpoint costs a dictionary lookup and does nothing.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

FAILPOINT_VARIABLE = "CCARCHIVER_FAILPOINT"
"""Variable with ``name`` or ``name:count``.

The process kills itself when it hits that failpoint for the count-th time.
"""

FOLDER_VARIABLE = "CCARCHIVER_FAILPOINT_DIR"
"""Variable with a directory in which a file arms the failpoint of the same name.

The next process that hits the failpoint removes the file and kills itself. Thus a campaign can arm
a failpoint of a running worker, and the restarted worker passes it.
"""

_armed, _, _count = os.environ.get(FAILPOINT_VARIABLE, "").partition(":")
_left = {_armed: int(_count or 1)} if _armed else {}
_folder = Path(os.environ[FOLDER_VARIABLE]) if os.environ.get(FOLDER_VARIABLE) else None


def hit(name: str) -> None:
    """Kill this process with SIGKILL if the failpoint is armed and its count is reached."""
    if _folder is not None and _claim(_folder / name):
        os.kill(os.getpid(), signal.SIGKILL)
    if name not in _left:
        return
    _left[name] -= 1
    if _left[name] <= 0:
        os.kill(os.getpid(), signal.SIGKILL)


def _claim(path: Path) -> bool:
    """Remove the file that arms a failpoint; return True in the one process that succeeds."""
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    return True
