"""The segments of a CCD: two rows of eight amplifiers, named as in the camera's raw files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ccarchiver_sim.raws.sections import Section

AMPLIFIERS: Final = 16
AMPLIFIERS_PER_ROW: Final = 8

COLUMNS: Final = 16
ROWS: Final = 32
"""Pixels of a segment. A real one has 509 by 2000; these are sufficient for an image and fast on a
busy machine."""

PRESCAN: Final = 3
OVERSCAN: Final = 2
"""Columns before the pixels of a segment, and columns and rows after them, without light."""


@dataclass(frozen=True)
class Segment:
    """The part of a CCD that one amplifier reads.

    Parameters
    ----------
    channel : `int`
        Number of the amplifier, from 1.
    """

    channel: int

    @property
    def is_lower(self) -> bool:
        """Whether it belongs to the lower half of the CCD."""
        return self.channel <= AMPLIFIERS_PER_ROW

    @property
    def column(self) -> int:
        """Place in its half, from 0 at the left."""
        return self.channel - 1 if self.is_lower else AMPLIFIERS - self.channel

    @property
    def name(self) -> str:
        """Name of the image extension: `Segment10` to `Segment17`, `Segment07` to `Segment00`."""
        return f"Segment{int(self.is_lower)}{self.column}"

    @property
    def of_detector(self) -> Section:
        """The pixels of the CCD in the sequence in which they are read: from the outer rows in."""
        left, right = self.column * COLUMNS + 1, (self.column + 1) * COLUMNS
        if self.is_lower:
            return Section(right, left, 1, ROWS)
        return Section(left, right, 2 * ROWS, ROWS + 1)


DATA: Final = Section(PRESCAN + 1, PRESCAN + COLUMNS, 1, ROWS)
"""The pixels with light in the image of a segment."""

DETECTOR: Final = Section(1, AMPLIFIERS_PER_ROW * COLUMNS, 1, 2 * ROWS)
"""All pixels of a CCD."""

SHAPE: Final = (ROWS + OVERSCAN, PRESCAN + COLUMNS + OVERSCAN)
"""Rows and columns of the image of a segment."""


def segments(count: int) -> list[Segment]:
    """Return the segments of the first amplifiers."""
    return [Segment(channel) for channel in range(1, count + 1)]
