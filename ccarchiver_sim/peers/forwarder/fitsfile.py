"""The FITS file of one CCD."""

from __future__ import annotations

import hashlib
import zlib
from typing import TYPE_CHECKING, Final

import numpy as np
from astropy.io import fits

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ccarchiver_sim.peers.forwarder.header import Keyword
    from ccarchiver_sim.peers.forwarder.sensors import Sensor

SIDE_PIXELS: Final = 48
"""A real CCD has 4000 pixels on each side; 48 are sufficient for an image and fast on a busy
machine."""

BIAS: Final = 1000
NOISE: Final = 20.0
"""Level and scatter of the pixels in counts: a plausible short dark exposure."""

DIGEST_KEYWORD: Final = "PIXDIG"
DIGEST_TYPE_KEYWORD: Final = "PIXDIGT"
"""Header keywords of the pixels' digest and its algorithm, by which the OODS verifies the
pixels."""


class PixelError(Exception):
    """The file could not be written; the text names the reason."""


def digest(content: bytes, algorithm: str) -> str:
    """Return the digest of bytes with the site's CHECKSUM_TYPE, such as `MD5`."""
    return hashlib.new(algorithm.lower(), content, usedforsecurity=False).hexdigest()


def write(
    path: Path, image_id: str, sensor: Sensor, keywords: Sequence[Keyword], checksum_type: str
) -> str:
    """Write the FITS file of one CCD.

    Returns
    -------
    digest : `str`
        Digest of the whole file, to compare with that of its copy.

    Raises
    ------
    PixelError
        If the file cannot be written.
    """
    pixels = read_out(image_id, sensor)
    header = fits.Header()
    try:
        for keyword, value, comment in keywords:
            header[keyword] = (value, comment)
        header["OBSID"] = (image_id, "name of the image")
        header["RAFTNAME"] = (f"R{sensor.raft}", "raft of this CCD")
        header["CCDSLOT"] = (sensor.name, "slot of this CCD in the raft")
        header[DIGEST_TYPE_KEYWORD] = (checksum_type, "algorithm of the next line")
        header[DIGEST_KEYWORD] = (
            digest(pixels.tobytes(), checksum_type),
            "digest of the big-endian pixels",
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        fits.PrimaryHDU(data=pixels, header=header).writeto(path, overwrite=True, checksum=True)
        return digest(path.read_bytes(), checksum_type)
    except (OSError, ValueError, fits.VerifyError) as error:
        raise PixelError(f"cannot make {path.name}: {error}") from error


def read_out(image_id: str, sensor: Sensor) -> np.ndarray[tuple[int, int], np.dtype[np.int16]]:
    """Return the pixels of a CCD: noise that depends only on image and CCD.

    A repeated file is therefore equal.
    """
    seed = zlib.crc32(f"{image_id}-{sensor.raft}{sensor.name}".encode())
    noise = np.random.default_rng(seed).normal(BIAS, NOISE, (SIDE_PIXELS, SIDE_PIXELS))
    return noise.astype(">i2")
