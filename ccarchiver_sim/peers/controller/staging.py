"""The staging trees: the day's directory for Forwarders, and hard links for the consumers."""

from __future__ import annotations

import datetime as dt
import os
from pathlib import Path
from typing import Final

DAY_ENDS_AFTER_UTC: Final = dt.timedelta(hours=12)
"""The observing day changes at noon UTC, which is daytime at the observatory."""

SHARED_DIRECTORY_MODE: Final = 0o2775
"""Forwarders log in as another user of the same group and must be able to write; files inherit the
group."""


class LinkError(Exception):
    """A file could not be linked; the text names the reason."""


def observing_day(now: dt.datetime) -> str:
    """Return the observing day in the format `2026-11-22`."""
    return (now.astimezone(dt.UTC) - DAY_ENDS_AFTER_UTC).date().isoformat()


def make_day_directory(root: Path, now: dt.datetime) -> str:
    """Create the observing day's directory below `root`; return its path with a final slash."""
    directory = root / observing_day(now)
    directory.mkdir(parents=True, exist_ok=True)
    # Set the mode separately: the umask changes mkdir's mode.
    directory.chmod(SHARED_DIRECTORY_MODE)
    return f"{directory}/"


class Staging:
    """Hard links of files from the Forwarders' tree in the other trees.

    Parameters
    ----------
    source : `Path`
        Root of the tree to which Forwarders copy.
    oods, dbb : `Path`
        Roots of the trees for the OODS and the data backbone.
    """

    def __init__(self, source: Path, oods: Path, dbb: Path) -> None:
        self._source = source
        self._oods = oods
        self._dbb = dbb

    def link(self, filename: str) -> Path:
        """Link an arrived file into both trees and remove its original name; safe to repeat.

        Returns
        -------
        path : `Path`
            Path of the file in the tree for the OODS.

        Raises
        ------
        LinkError
            If the file is outside the Forwarders' tree, if it neither exists nor is linked, or if a
            link cannot be made.
        """
        # normpath removes the Forwarders' double slashes and prevents paths out of the tree.
        path = Path(os.path.normpath(filename))
        try:
            below = path.relative_to(self._source)
        except ValueError as error:
            raise LinkError(f"{filename} is not below {self._source}") from error
        of_oods, of_dbb = self._oods / below, self._dbb / below
        # A file whose original name is gone has had both links. The data backbone removes its own
        # as soon as it has stored the file, so that one says nothing.
        if not path.exists() and of_oods.exists():
            return of_oods
        try:
            for link in (of_oods, of_dbb):
                _hard_link(path, link)
            path.unlink()
        except OSError as error:
            raise LinkError(f"cannot link {path}: {error.strerror or error}") from error
        return of_oods


def _hard_link(path: Path, link: Path) -> None:
    """Link a file to another name, which it replaces atomically.

    A repeated transfer creates a new file.
    """
    link.parent.mkdir(parents=True, exist_ok=True)
    if link.exists() and link.samefile(path):
        return
    fresh = link.with_name(f".{link.name}.{os.getpid()}")
    fresh.unlink(missing_ok=True)
    fresh.hardlink_to(path)
    fresh.replace(link)
