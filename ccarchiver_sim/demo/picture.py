"""A picture of an image: its CCDs side by side, as they are in the focal plane."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import numpy as np
from matplotlib.figure import Figure

from ccarchiver_sim.raws.ccd import assemble

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

PLACE: Final = re.compile(r"R(\d)(\d)_S(\d)(\d)", re.ASCII)
"""Name of a CCD: row and column of its raft, and its row and column in the raft."""

CCDS_PER_RAFT: Final = 3
"""CCDs on each side of a raft."""

DARKEST_PERCENT: Final = 1.0
BRIGHTEST_PERCENT: Final = 99.5
"""Percentiles of the pixels that are black and white: noise is visible, and so are stars."""

INCHES: Final = 7.0
DOTS_PER_INCH: Final = 110
GAP: Final = 0.03
"""Size of the picture, and the gap between two CCDs as a part of a CCD."""


def draw(title: str, files: Mapping[str, Path], picture: Path) -> None:
    """Draw the CCDs of an image into a PNG file.

    Parameters
    ----------
    title : `str`
        Text above the CCDs.
    files : mapping
        Raw file of each CCD, by its full name such as `R22_S01`. Those of corner rafts, which have
        other forms, are not drawn.
    picture : `Path`
        File to write.
    """
    ccds = {place(name): assemble(path) for name, path in files.items() if PLACE.fullmatch(name)}
    rows = sorted({row for row, _ in ccds}, reverse=True)
    columns = sorted({column for _, column in ccds})
    pixels = np.concatenate([ccd.ravel() for ccd in ccds.values()])
    black, white = np.nanpercentile(pixels, (DARKEST_PERCENT, BRIGHTEST_PERCENT))
    figure = Figure(figsize=(INCHES, INCHES), dpi=DOTS_PER_INCH)
    axes = figure.subplots(
        len(rows), len(columns), squeeze=False, gridspec_kw={"wspace": GAP, "hspace": GAP}
    )
    for row, line in zip(rows, axes, strict=True):
        for column, axis in zip(columns, line, strict=True):
            axis.set_axis_off()
            if (row, column) in ccds:
                axis.imshow(
                    ccds[row, column],
                    origin="lower",
                    cmap="gray",
                    vmin=black,
                    vmax=white,
                    aspect="auto",
                )
    figure.suptitle(title)
    figure.savefig(picture, format="png")


def place(name: str) -> tuple[int, int]:
    """Return row and column of a CCD in the focal plane.

    Raises
    ------
    ValueError
        If the CCD belongs to a corner raft.
    """
    match = PLACE.fullmatch(name)
    if match is None:
        raise ValueError(f"{name} has no place in the grid of CCDs")
    raft_row, raft_column, row, column = (int(digit) for digit in match.groups())
    return raft_row * CCDS_PER_RAFT + row, raft_column * CCDS_PER_RAFT + column
