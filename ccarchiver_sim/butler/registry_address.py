"""The address of the PostgreSQL database that has the registry of a repository."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from lsst.daf.butler import Config
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from ccarchiver_sim.butler.creation import CONFIGURATION_FILE
from ccarchiver_sim.butler.errors import RepositoryError

if TYPE_CHECKING:
    from pathlib import Path

POSTGRESQL: Final = "postgresql"
FORM: Final = f"{POSTGRESQL}://USER@HOST/DATABASE"


def require_postgresql(address: str) -> None:
    """Check that an address names a PostgreSQL database.

    Raises
    ------
    RepositoryError
        If it does not; the text does not contain the address, which may have a password.
    """
    try:
        scheme = make_url(address).drivername
    except (ArgumentError, ValueError) as error:  # ValueError for a port that is no number
        raise RepositoryError(
            f"the address of the registry cannot be read; write {FORM}"
        ) from error
    if scheme != POSTGRESQL:
        raise RepositoryError(
            f"the registry must be a PostgreSQL database, not {scheme}; write {FORM}"
        )


def database_of(root: Path, registry: str | None) -> str | None:
    """Return the database with the registry of a repository, for a message; None if it is SQLite.

    Parameters
    ----------
    root : `Path`
        Root of the repository. Its configuration has precedence if it exists.
    registry : `str` or `None`
        Address for a new repository.
    """
    if (root / CONFIGURATION_FILE).exists():
        registry = Config(str(root / CONFIGURATION_FILE)).get(("registry", "db"))
    if registry is None or not registry.startswith(POSTGRESQL):
        return None
    url = make_url(registry)
    # Never the whole address, which may have a password.
    server = (url.host or "a local socket") + (f":{url.port}" if url.port else "")
    return f"PostgreSQL database {url.database} at {server}"
