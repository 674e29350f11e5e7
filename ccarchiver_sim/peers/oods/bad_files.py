"""The folder of the files that cannot be ingested."""

from __future__ import annotations

import logging
import os
import shutil
from pathlib import Path

log = logging.getLogger(__name__)


class BadFiles:
    """A folder with the same subfolders as the staging tree of the OODS.

    Parameters
    ----------
    root : `Path`
        The folder; created with the first file.
    staging : `Path`
        Root of the staging tree. Files outside of it are not moved: a wrong message must not move
        any other file of the machine.
    """

    def __init__(self, root: Path, staging: Path) -> None:
        self._root = root
        self._staging = staging

    def take(self, path: Path) -> Path | None:
        """Move a file into the folder and return its new path, or None if it was not moved."""
        plain = Path(os.path.normpath(path))
        if not plain.is_relative_to(self._staging) or not plain.exists():
            return None
        target = self._root / plain.relative_to(self._staging)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(plain, target)
        except OSError as error:
            log.error("cannot move %s to %s: %s", plain, target, error.strerror or error)  # noqa: TRY400 - complete
            return None
        return target
