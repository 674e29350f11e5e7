"""Gaps in the numbers of image names.

The numbers of one sequence of names follow each other. A number that is missing between two others
is an exposure of which no event arrived. Numbers before the first known one are no gap: a camera
need not begin at 1. Nor are numbers before or behind a name that only a scan has listed: a wrong
name in one answer, far ahead of the others, would make all numbers before it missing.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, NamedTuple

from ccarchiver_core.domain.image_name import NameSequence, numbered

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator

LONGEST_GAP = 10_000
"""Longest run of missing numbers that is a gap.

A longer one separates two sequences: those of two days, or of the camera and a simulator.
"""


class NumberGap(NamedTuple):
    """Consecutive numbers that are missing in a sequence."""

    sequence: NameSequence
    first: int
    last: int

    @property
    def size(self) -> int:
        """Number of missing names."""
        return self.last - self.first + 1

    @property
    def names(self) -> list[str]:
        """The missing names."""
        return [self.sequence.name(number) for number in range(self.first, self.last + 1)]

    @property
    def next_name(self) -> str:
        """The name behind the gap."""
        return self.sequence.name(self.last + 1)


def number_gaps(names: Iterable[str], proven: Container[str] | None = None) -> Iterator[NumberGap]:
    """Yield the gaps between names that differ only in their last number.

    Parameters
    ----------
    names : iterable of `str`
        Names of images.
    proven : container of `str`, optional
        Those of the names that the camera has used for certain; all by default. A gap is between
        two of them. The other names only fill gaps.
    """
    sequences: dict[NameSequence, set[int]] = {}
    for name in names:
        found = numbered(name)
        if found is not None:
            sequence, number = found
            sequences.setdefault(sequence, set()).add(number)
    for sequence, numbers in sequences.items():
        certain = [
            number for number in numbers if proven is None or sequence.name(number) in proven
        ]
        if not certain:
            continue
        first, last = min(certain), max(certain)
        for before, after in itertools.pairwise(sorted(numbers)):
            if 1 < after - before <= LONGEST_GAP + 1 and first <= before and after <= last:
                yield NumberGap(sequence, before + 1, after - 1)
