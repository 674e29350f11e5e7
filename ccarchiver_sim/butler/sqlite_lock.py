"""Check whether the database of a repository can be written now."""

from __future__ import annotations

import errno
import os
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

DATABASE: Final = "gen3.sqlite3"
"""File of the database in a repository with SQLite."""


def require_writable(root: Path, timeout: float) -> None:
    """Check that no other process writes the database of a repository, and that it can be written.

    The Butler itself waits five minutes for a lock, without a way to end the wait.

    Parameters
    ----------
    root : `Path`
        Root of the repository; one without SQLite is not checked.
    timeout : `float`
        Seconds to wait for a lock.

    Raises
    ------
    OSError
        If the database is read-only.
    sqlite3.OperationalError
        If another process holds the lock for so long, or the database cannot be opened.
    """
    path = root / DATABASE
    if not path.exists():
        return
    # SQLite begins a transaction also if it can only read. It needs a new file in the folder.
    if not (os.access(path, os.W_OK) and os.access(root, os.W_OK)):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))
    connection = sqlite3.connect(
        f"{path.resolve().as_uri()}?mode=rw", uri=True, timeout=timeout, isolation_level=None
    )
    with closing(connection):
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("ROLLBACK")
