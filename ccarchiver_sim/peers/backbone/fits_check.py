"""Check of a file before it is stored."""

from __future__ import annotations

from typing import TYPE_CHECKING

from astropy.io import fits

if TYPE_CHECKING:
    from pathlib import Path


class BadFileError(Exception):
    """A file that is not stored; the text names the reason."""


def check_fits(path: Path) -> None:
    """Read a FITS file to its end.

    Raises
    ------
    BadFileError
        If it is not FITS, or is cut off.
    """
    try:
        with fits.open(path, memmap=False) as units:
            for unit in units:
                # Only reading the data detects that they are cut off.
                _ = unit.data
    except (OSError, ValueError, TypeError, fits.VerifyError) as error:
        raise BadFileError(f"cannot read it as FITS: {error}") from error
