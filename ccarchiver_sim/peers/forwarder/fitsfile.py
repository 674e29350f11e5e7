"""The FITS file of one CCD."""

from __future__ import annotations

import hashlib
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np
from astropy.io import fits

from ccarchiver_sim.raws.segments import (
    AMPLIFIERS_PER_ROW,
    DATA,
    DETECTOR,
    SHAPE,
    Segment,
    segments,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from ccarchiver_sim.peers.forwarder.header import Keyword
    from ccarchiver_sim.peers.forwarder.sensors import Sensor

BIAS: Final = 1000
NOISE: Final = 20.0
"""Level and scatter of the pixels in counts: a plausible short exposure."""

AMPLIFIER_STEP: Final = 15
"""Difference of the levels of two amplifiers, by which a picture shows them."""

STARS: Final = 8
STAR_PIXELS: Final = 1.2
STAR_COUNTS: Final = 3000.0
"""Stars of a CCD: their number, width and greatest brightness."""

DEFAULT_AMPLIFIERS: Final = 2
"""A real CCD has 16. Each costs a millisecond a file, too much for many images a second."""

COMPRESSION: Final = "RICE_1"
"""Algorithm of the tile compression, as the camera uses it."""

DIGEST_KEYWORD: Final = "PIXDIG"
DIGEST_TYPE_KEYWORD: Final = "PIXDIGT"
"""Header keywords of the pixels' digest and its algorithm, by which the OODS verifies the
pixels."""


Image: TypeAlias = np.ndarray[tuple[int, ...], np.dtype[np.int32]]
"""The image of one amplifier: rows and columns."""


class PixelError(Exception):
    """The file could not be written; the text names the reason."""


def digest(content: bytes, algorithm: str) -> str:
    """Return the digest of bytes with the site's CHECKSUM_TYPE, such as `MD5`."""
    return hashlib.new(algorithm.lower(), content, usedforsecurity=False).hexdigest()


@dataclass(frozen=True)
class Layout:
    """Layout of a file: the number of its amplifiers, and whether their images are compressed."""

    amplifiers: int = DEFAULT_AMPLIFIERS
    compressed: bool = False


DEFAULT_LAYOUT: Final = Layout()


def write(
    path: Path,
    image_id: str,
    sensor: Sensor,
    keywords: Sequence[Keyword],
    checksum_type: str,
    layout: Layout = DEFAULT_LAYOUT,
) -> str:
    """Write the FITS file of one CCD: a header, and an image for each amplifier.

    Returns
    -------
    digest : `str`
        Digest of the whole file, to compare with that of its copy.

    Raises
    ------
    PixelError
        If the file cannot be written.
    """
    images = read_out(image_id, sensor, layout.amplifiers)
    header = fits.Header()
    try:
        for keyword, value, comment in keywords:
            header[keyword] = (value, comment)
        header["OBSID"] = (image_id, "name of the image")
        header["FILENAME"] = (path.name, "name of this file")
        header["RAFTBAY"] = (f"R{sensor.raft}", "place of the raft in the camera")
        header["CCDSLOT"] = (sensor.name, "place of this CCD in the raft")
        header[DIGEST_TYPE_KEYWORD] = (checksum_type, "algorithm of the next line")
        header[DIGEST_KEYWORD] = (
            digest(b"".join(image.tobytes() for image in images), checksum_type),
            "digest of the big-endian pixels",
        )
        units = [_unit(segment, image, layout) for segment, image in _named(images)]
        path.parent.mkdir(parents=True, exist_ok=True)
        fits.HDUList([fits.PrimaryHDU(header=header), *units]).writeto(
            path, overwrite=True, checksum=True
        )
        return digest(path.read_bytes(), checksum_type)
    except (OSError, ValueError, fits.VerifyError) as error:
        raise PixelError(f"cannot make {path.name}: {error}") from error


def _named(images: Sequence[Image]) -> Iterator[tuple[Segment, Image]]:
    return zip(segments(len(images)), images, strict=True)


def _unit(segment: Segment, image: Image, layout: Layout) -> fits.ImageHDU | fits.CompImageHDU:
    """Return the image extension of one amplifier."""
    header = fits.Header()
    header["EXTNAME"] = (segment.name, "name of the segment")
    header["CHANNEL"] = (segment.channel, "number of the amplifier")
    header["DATASEC"] = (DATA.text, "pixels with light in this image")
    header["DETSEC"] = (segment.of_detector.text, "the same pixels in the CCD")
    header["DETSIZE"] = (DETECTOR.text, "all pixels of the CCD")
    header["INHERIT"] = (True, "the primary header applies")
    if layout.compressed:
        return fits.CompImageHDU(image, header, compression_type=COMPRESSION)
    return fits.ImageHDU(image, header)


def read_out(image_id: str, sensor: Sensor, amplifiers: int) -> list[Image]:
    """Return the image of each amplifier of a CCD, which depends only on image and CCD.

    A repeated file is therefore equal.
    """
    seed = zlib.crc32(f"{image_id}-{sensor.raft}{sensor.name}".encode())
    random = np.random.default_rng(seed)
    sky = _stars(random)
    images: list[Image] = []
    for segment in segments(amplifiers):
        level = BIAS + AMPLIFIER_STEP * (segment.channel % AMPLIFIERS_PER_ROW)
        image = random.normal(level, NOISE, SHAPE)
        image[DATA.slices] += sky[segment.of_detector.slices]
        images.append(image.astype(">i4"))
    return images


def _stars(random: np.random.Generator) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Return the light on a CCD."""
    rows, columns = np.indices(DETECTOR.shape)
    sky = np.zeros(DETECTOR.shape)
    for _ in range(STARS):
        row, column = random.uniform((0, 0), DETECTOR.shape)
        distance = (rows - row) ** 2 + (columns - column) ** 2
        sky += random.uniform(0, STAR_COUNTS) * np.exp(-distance / (2 * STAR_PIXELS**2))
    return sky
