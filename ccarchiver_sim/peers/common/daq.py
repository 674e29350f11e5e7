"""The images in the camera's data acquisition: a folder with one file for each image.

The simulated camera adds each image that it takes. Forwarders list the images for a SCAN.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, unquote

if TYPE_CHECKING:
    from pathlib import Path

LISTED_NAME: Final = re.compile(r"[A-Za-z0-9_]+")
"""Pattern of the names that a deployed Forwarder lists; it leaves out all others."""

SECONDS_A_MINUTE: Final = 60


class DaqCatalogue:
    """Catalogue of the images that the camera took.

    Several processes may use it at once.

    Parameters
    ----------
    folder : `Path`
        Folder of the catalogue. `add` creates it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def add(self, image: str, taken_at: float | None = None) -> None:
        """Add an image; an image of the same name is replaced.

        Parameters
        ----------
        image : `str`
            Name of the image.
        taken_at : `float` or `None`
            Unix time of its readout in seconds; now if it is None.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        file = self._folder / quote(image, safe="")
        file.touch()
        if taken_at is not None:
            os.utime(file, (taken_at, taken_at))

    def images(self, minutes: int, now: float) -> list[str] | None:
        """Return the images that are younger than some minutes, oldest first.

        Parameters
        ----------
        minutes : `int`
            Greatest age of an image in minutes.
        now : `float`
            Unix time in seconds.

        Returns
        -------
        images : `list` [`str`] or `None`
            None if the folder is empty or cannot be read.
        """
        try:
            entries = [
                (entry.stat().st_mtime, unquote(entry.name)) for entry in self._folder.iterdir()
            ]
        except OSError:
            return None
        if not entries:
            return None
        oldest = now - minutes * SECONDS_A_MINUTE
        return [
            name
            for taken, name in sorted(entries)
            if taken > oldest and LISTED_NAME.fullmatch(name)
        ]
