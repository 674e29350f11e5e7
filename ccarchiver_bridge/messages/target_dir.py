"""Validation of the target directory that a Controller assigns.

The Forwarder inserts it into a shell command without quoting. Anything but a plain absolute path
is therefore an attack or a defect.
"""

from __future__ import annotations

import re

from ccarchiver_core.base.errors import RejectedError

_PLAIN_PATH = re.compile(r"/[A-Za-z0-9/._-]*", re.ASCII)

MAX_LENGTH = 1024
"""Longest path accepted: a shell and a file system accept more, but no staging tree needs it."""


def check(target_dir: str) -> str:
    """Return the directory if it is safe.

    Raises
    ------
    RejectedError
        If it is not safe; the text states what a Controller may send.
    """
    if (
        _PLAIN_PATH.fullmatch(target_dir) is None
        or ".." in target_dir
        or len(target_dir) > MAX_LENGTH
    ):
        raise RejectedError(
            f"TARGET_DIR {target_dir[:100]!r} is rejected: it must be an absolute path of letters, "
            "digits and / . _ - without '..'"
        )
    return target_dir
