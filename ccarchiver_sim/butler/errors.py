"""What prevents the use of a repository."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

READ_ONLY: Final = "is read-only"
FULL: Final = "is on a full disk"
EXTENSION: Final = "btree_gist"
"""Extension of PostgreSQL with which the Butler compares the times of datasets."""

LOCKED: Final = "is locked by another process"

BY_ERRNO: Final = {
    errno.EROFS: READ_ONLY,
    errno.EACCES: READ_ONLY,
    errno.EPERM: READ_ONLY,
    errno.ENOSPC: FULL,
    errno.EDQUOT: FULL,
}
BY_TEXT: Final = {
    "readonly database": READ_ONLY,
    "disk is full": FULL,
    "database is locked": LOCKED,
}
"""Parts of SQLite's messages."""


class RepositoryError(Exception):
    """A repository that cannot be used; the text names it, the reason and the remedy."""


class RepositoryUnavailableError(RepositoryError):
    """A repository that cannot be written now, and perhaps can be later."""


class RegistryUnavailableError(RepositoryUnavailableError):
    """A registry in PostgreSQL that cannot be used now; the text has the remedy."""


def registry_unavailable(root: Path, database: str, error: Exception) -> RegistryUnavailableError:
    """Return the error of a repository whose database cannot be used.

    Parameters
    ----------
    root : `Path`
        Root of the repository.
    database : `str`
        Name of the database and of its server.
    error : `Exception`
        The error of the database.
    """
    if EXTENSION in str(error):
        return RegistryUnavailableError(
            f"the registry of the Butler repository {root}, {database}, has no extension "
            f"{EXTENSION}; an administrator adds it to this database: CREATE EXTENSION {EXTENSION}"
        )
    text, _, _ = str(error).partition("\n")
    return RegistryUnavailableError(
        f"the registry of the Butler repository {root}, {database}, cannot be used: "
        f"{text.strip()}; start this server, or correct the address or the login"
    )


def unavailable(root: Path, error: Exception) -> RepositoryUnavailableError:
    """Return the error of a repository that cannot be written, with its reason in plain words."""
    number = error.errno if isinstance(error, OSError) else None
    # SQLAlchemy adds lines with the statement, which is of no use to an operator.
    text, _, _ = str(error).partition("\n")
    reason = BY_ERRNO.get(number or 0) or next(
        (words for part, words in BY_TEXT.items() if part in text), None
    )
    return RepositoryUnavailableError(
        f"the Butler repository {root} {reason or f'cannot be written: {text}'}"
    )
