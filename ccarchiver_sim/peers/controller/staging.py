"""The staging trees: the day's directory for Forwarders, and hard links for those who use the files."""

from __future__ import annotations

import datetime as dt
import os
from pathlib import Path
from typing import Final

DAY_ENDS_AFTER_UTC: Final = dt.timedelta(hours=12)
"""The observing day changes at noon UTC, when it is day at the observatory."""

SHARED_DIRECTORY_MODE: Final = 0o2775
"""Forwarders log in as another user of the same group and must be able to write; files inherit the group."""


class LinkError(Exception):
    """A file could not be linked; its text says why."""


def observing_day(now: dt.datetime) -> str:
    """Name of the observing day, as in `2026-11-22`."""
    return (now.astimezone(dt.UTC) - DAY_ENDS_AFTER_UTC).date().isoformat()


def make_day_directory(root: Path, now: dt.datetime) -> str:
    """Make the observing day's directory below `root`, if needed; its path with a slash at the end."""
    directory = root / observing_day(now)
    directory.mkdir(parents=True, exist_ok=True)
    # Once more: mkdir's mode is subject to the umask.
    directory.chmod(SHARED_DIRECTORY_MODE)
    return f"{directory}/"


class Staging:
    """Links files from the Forwarders' tree into the others.

    Parameters
    ----------
    source : `Path`
        Root of the tree Forwarders copy to.
    oods, dbb : `Path`
        Roots of the trees for the OODS and the data backbone.
    """

    def __init__(self, source: Path, oods: Path, dbb: Path) -> None:
        self._source = source
        self._oods = oods
        self._dbb = dbb

    def link(self, filename: str) -> Path:
        """Link an arrived file into both trees and remove the Forwarder's name of it; safe to repeat.

        Returns
        -------
        path : `Path`
            The file in the tree for the OODS.

        Raises
        ------
        LinkError
            If the file is outside the Forwarders' tree, or is neither there nor linked, or a link cannot be made.
        """
        # normpath: Forwarders write two slashes, and a path must not climb out of the tree.
        path = Path(os.path.normpath(filename))
        try:
            below = path.relative_to(self._source)
        except ValueError as error:
            raise LinkError(f"{filename} is not below {self._source}") from error
        links = [self._oods / below, self._dbb / below]
        if not path.exists() and all(link.exists() for link in links):
            return links[0]
        try:
            for link in links:
                _hard_link(path, link)
            path.unlink()
        except OSError as error:
            raise LinkError(f"cannot link {path}: {error.strerror or error}") from error
        return links[0]


def _hard_link(path: Path, link: Path) -> None:
    """Link a file to another name, replacing what has that name in one step: a repeated transfer brings a new file."""
    link.parent.mkdir(parents=True, exist_ok=True)
    if link.exists() and link.samefile(path):
        return
    fresh = link.with_name(f".{link.name}.{os.getpid()}")
    fresh.unlink(missing_ok=True)
    fresh.hardlink_to(path)
    fresh.replace(link)
