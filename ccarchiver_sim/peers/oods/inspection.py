"""Check of a file before it is ingested."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np
from astropy.io import fits

from ccarchiver_sim.butler.instrument import full_name
from ccarchiver_sim.butler.observation import MetadataError, observation_of
from ccarchiver_sim.butler.repository import RawFile

if TYPE_CHECKING:
    from ccarchiver_sim.peers.oods.request import Request

DIGEST_KEYWORD: Final = "PIXDIG"
DIGEST_TYPE_KEYWORD: Final = "PIXDIGT"
"""Header keywords in which simulated Forwarders write the pixels' digest; files without them are
accepted."""

RAFT_KEYWORD: Final = "RAFTBAY"
SENSOR_KEYWORD: Final = "CCDSLOT"
"""Header keywords with the places of the raft and of the CCD. RAFTNAME is the serial number of the
raft."""


Image: TypeAlias = np.ndarray[tuple[int, ...], np.dtype[np.generic]]


class BadFileError(Exception):
    """A file that cannot be ingested; the text names the reason."""


def inspect(request: Request) -> RawFile:
    """Check that a FITS file is complete and belongs to the image; return it with its exposure.

    Raises
    ------
    BadFileError
        If the file cannot be read, does not describe its exposure, belongs to another image or CCD,
        or has other pixels than were written.
    """
    try:
        with fits.open(request.path, memmap=False) as units:
            header = units[0].header
            # A file with one image may have it in its first unit.
            pixels = [unit.data for unit in units if unit.data is not None]
            fields = {keyword: header[keyword] for keyword in header if keyword}
    except (OSError, ValueError, TypeError, fits.VerifyError) as error:
        raise BadFileError(f"cannot read it as FITS: {error}") from error
    try:
        observation = observation_of(fields)
    except MetadataError as error:
        raise BadFileError(str(error)) from error
    if observation.obsid != request.obsid:
        raise BadFileError(f"its header says OBSID {observation.obsid}, not {request.obsid}")
    detector = full_name(str(fields.get(RAFT_KEYWORD)), str(fields.get(SENSOR_KEYWORD)))
    if request.detector not in {None, detector}:
        raise BadFileError(f"its header says CCD {detector}, not {request.detector}")
    _verify_digest(fields, pixels)
    return RawFile(request.path, detector, observation)


def _verify_digest(header: dict[str, object], pixels: list[Image]) -> None:
    """Compare the pixels with the digest in the header, if there is one."""
    expected = header.get(DIGEST_KEYWORD)
    if expected is None:
        return
    algorithm = str(header.get(DIGEST_TYPE_KEYWORD))
    try:
        digest = hashlib.new(algorithm.lower(), usedforsecurity=False)
    except ValueError as error:
        raise BadFileError(f"its header has an unknown algorithm {algorithm!r}") from error
    for image in pixels:
        digest.update(_big_endian(image))
    if digest.hexdigest() != expected:
        raise BadFileError(
            f"its pixels have {algorithm} {digest.hexdigest()}, its header says {expected}"
        )


def _big_endian(pixels: Image) -> bytes:
    """Return the pixels as FITS stores them, which is the form of the digest."""
    return np.ascontiguousarray(pixels).astype(pixels.dtype.newbyteorder(">")).tobytes()
