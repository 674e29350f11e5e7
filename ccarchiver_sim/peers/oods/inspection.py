"""Looking into a file before it is ingested."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

import numpy as np
from astropy.io import fits

if TYPE_CHECKING:
    from pathlib import Path

DIGEST_KEYWORD: Final = "PIXDIG"
DIGEST_TYPE_KEYWORD: Final = "PIXDIGT"
"""Where simulated Forwarders put the pixels' digest; files without it are taken as they are."""


class BadFileError(Exception):
    """A file that cannot be ingested; its text says why."""


def inspect(path: Path, obsid: str) -> None:
    """Open a FITS file and check that it is whole and belongs to the image.

    Raises
    ------
    BadFileError
        If it cannot be read, belongs to another image, or its pixels are not those that were written.
    """
    try:
        with fits.open(path, memmap=False) as units:
            header = units[0].header
            pixels = units[0].data
            named = header.get("OBSID")
            algorithm = header.get(DIGEST_TYPE_KEYWORD)
            expected = header.get(DIGEST_KEYWORD)
    except (OSError, ValueError, TypeError, fits.VerifyError) as error:
        raise BadFileError(f"cannot read it as FITS: {error}") from error
    if named != obsid:
        raise BadFileError(f"its header says OBSID {named}, not {obsid}")
    if expected is not None:
        found = hashlib.new(str(algorithm).lower(), _big_endian(pixels), usedforsecurity=False).hexdigest()
        if found != expected:
            raise BadFileError(f"its pixels have {algorithm} {found}, its header says {expected}")


def _big_endian(pixels: np.ndarray[tuple[int, ...], np.dtype[np.generic]]) -> bytes:
    """Pixels as FITS stores them, the form their digest was made of."""
    return np.ascontiguousarray(pixels).astype(pixels.dtype.newbyteorder(">")).tobytes()
