"""Where the files of the data backbone are, and how far each of them has come."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

STORE_NAME: Final = "backbone"
"""Folder of the store beside DBB_STAGING, which has only files to take."""

TAKEN_NAME: Final = ".taken"
"""Folder in DBB_STAGING of the files that were taken and are not stored yet. It is on the same file
system as the tree, so that taking a file is one atomic renaming."""

REJECTED_NAME: Final = ".rejected"
"""Folder in DBB_STAGING of the files that are not stored."""


def store_of(staging: Path) -> Path:
    """Return the root of the store that belongs to a staging tree."""
    return staging.parent / STORE_NAME


def overlaps(staging: Path, store: Path) -> bool:
    """Return whether a store and a staging tree are equal, or one of them is within the other."""
    ours, theirs = staging.resolve(), store.resolve()
    return ours.is_relative_to(theirs) or theirs.is_relative_to(ours)


def waiting(staging: Path) -> list[Path]:
    """Return the files that wait in a staging tree, in the sequence of their names."""
    return _files_below(staging)


def taken(staging: Path) -> list[Path]:
    """Return the files of a staging tree that were taken and are not stored yet."""
    return _files_below(staging / TAKEN_NAME)


def stored(store: Path) -> list[Path]:
    """Return the files in a store."""
    return _files_below(store)


def _files_below(root: Path) -> list[Path]:
    # The Controller and the store give a file a hidden name until it is complete.
    return sorted(
        path
        for path in root.rglob("*.fits")
        if not any(part.startswith(".") for part in path.relative_to(root).parts)
    )
