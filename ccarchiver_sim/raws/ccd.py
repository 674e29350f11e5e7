"""The whole image of a CCD, from the segments in its raw file."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from astropy.io import fits

from ccarchiver_sim.raws.sections import Section

if TYPE_CHECKING:
    from pathlib import Path

Pixels: TypeAlias = np.ndarray[tuple[int, ...], np.dtype[np.float64]]


def assemble(path: Path) -> Pixels:
    """Return the pixels of a CCD without prescan and overscan; NaN where no segment is.

    Raises
    ------
    SectionError
        If the header of a segment does not say where it is.
    """
    with fits.open(path, memmap=False) as units:
        images = units[1:]
        pixels = np.full(Section.parse(images[0].header["DETSIZE"]).shape, np.nan)
        for image in images:
            place = Section.parse(image.header["DETSEC"])
            pixels[place.slices] = image.data[Section.parse(image.header["DATASEC"]).slices]
    return pixels
