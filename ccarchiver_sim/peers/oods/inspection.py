"""Check of a file before it is ingested."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

import numpy as np
from astropy.io import fits

if TYPE_CHECKING:
    from pathlib import Path

DIGEST_KEYWORD: Final = "PIXDIG"
DIGEST_TYPE_KEYWORD: Final = "PIXDIGT"
"""Header keywords in which simulated Forwarders write the pixels' digest; files without them are
accepted."""


class BadFileError(Exception):
    """A file that cannot be ingested; the text names the reason."""


def inspect(path: Path, obsid: str) -> None:
    """Check that a FITS file is complete and belongs to the image.

    Raises
    ------
    BadFileError
        If the file cannot be read, belongs to another image, or has other pixels than were written.
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
        found = hashlib.new(
            str(algorithm).lower(), _big_endian(pixels), usedforsecurity=False
        ).hexdigest()
        if found != expected:
            raise BadFileError(f"its pixels have {algorithm} {found}, its header says {expected}")


def _big_endian(pixels: np.ndarray[tuple[int, ...], np.dtype[np.generic]]) -> bytes:
    """Return the pixels as FITS stores them, which is the form of the digest."""
    return np.ascontiguousarray(pixels).astype(pixels.dtype.newbyteorder(">")).tobytes()
