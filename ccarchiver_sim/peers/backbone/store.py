"""The permanent storage of the data backbone: a folder to which files are copied and compared."""

from __future__ import annotations

import errno
import hashlib
import logging
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, Final

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CHUNK_BYTES: Final = 1 << 20
"""Bytes that are read at once: a raw file of 36 MB does not need as much memory."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class StoredFile:
    """Size and SHA-256 of a stored file."""

    size: int
    sha256: str


class Store:
    """A folder with the same subfolders as the staging tree.

    Parameters
    ----------
    root : `Path`
        The folder; created with the first file.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def put(self, path: Path, below: Path) -> StoredFile:
        """Copy a file into the store, compare the copy, and give it its name; safe to repeat.

        A file of the same name is replaced: the archiver has an image transferred again if its
        first transfer failed.

        Parameters
        ----------
        path : `Path`
            The file.
        below : `Path`
            Its path in the store.

        Raises
        ------
        OSError
            If it cannot be read or stored; then the store is unchanged.
        """
        target = self._root / below
        target.parent.mkdir(parents=True, exist_ok=True)
        # Always the same name: what a killed process has left is overwritten.
        copy = target.with_name(f".{target.name}.part")
        try:
            stored = _copy(path, copy)
            _require_equal(copy, stored)
            if target.exists() and _read(target) != stored:
                log.warning("%s has other content than before, and replaces it", below)
            copy.replace(target)
        except OSError:
            copy.unlink(missing_ok=True)
            raise
        return stored


def _copy(source: Path, target: Path) -> StoredFile:
    digest, size = hashlib.sha256(), 0
    with source.open("rb") as file, target.open("wb") as copy:
        for chunk in _chunks(file):
            copy.write(chunk)
            digest.update(chunk)
            size += len(chunk)
        copy.flush()
        # On disk before the link is removed.
        os.fsync(copy.fileno())
    return StoredFile(size, digest.hexdigest())


def _require_equal(copy: Path, wanted: StoredFile) -> None:
    """Raise OSError if a copy does not have the content of the file."""
    if _read(copy) != wanted:
        raise OSError(errno.EIO, "the copy has other content than the file", str(copy))


def _read(path: Path) -> StoredFile:
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        for chunk in _chunks(file):
            digest.update(chunk)
            size += len(chunk)
    return StoredFile(size, digest.hexdigest())


def _chunks(file: BinaryIO) -> Iterator[bytes]:
    while chunk := file.read(CHUNK_BYTES):
        yield chunk
