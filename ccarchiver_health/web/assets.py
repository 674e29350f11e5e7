"""Static files of the page. They are read once, and no other file is served."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ccarchiver_core.status.night_view.page import STATIC as NIGHT_FOLDER

FOLDER = Path(__file__).parent / "static"

FOLDERS = (FOLDER, NIGHT_FOLDER)
"""Folders of the files: the first page, and the page of a night."""

CONTENT_TYPES = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}

INDEX = "index.html"


@dataclass(frozen=True)
class Asset:
    """Content and content type of one file."""

    content_type: str
    body: bytes


def load() -> dict[str, Asset]:
    """Return every file of the page, by name.

    Raises
    ------
    FileNotFoundError
        If the page is missing, because the package was installed without its data.
    """
    found = {
        path.name: Asset(content_type, path.read_bytes())
        for folder in FOLDERS
        for path in sorted(folder.iterdir())
        if (content_type := CONTENT_TYPES.get(path.suffix)) is not None
    }
    if INDEX not in found:
        raise FileNotFoundError(
            f"{FOLDER / INDEX} is missing: install ccarchiver with its package data"
        )
    return found
