"""Sections of an image in FITS headers: ``[4:19,1:32]``, counted from 1, both ends included."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

PATTERN: Final = re.compile(r"\[(\d+):(\d+),(\d+):(\d+)\]", re.ASCII)


class SectionError(ValueError):
    """A text that is no section."""


@dataclass(frozen=True)
class Section:
    """A rectangle of an image; an end before its start means that the axis is reversed."""

    first_column: int
    last_column: int
    first_row: int
    last_row: int

    @classmethod
    def parse(cls, text: str) -> Section:
        """Return the section of a header value.

        Raises
        ------
        SectionError
            If the text is no section.
        """
        match = PATTERN.fullmatch(text)
        if match is None:
            raise SectionError(f"{text!r} is no section such as [1:16,1:32]")
        return cls(*(int(number) for number in match.groups()))

    @property
    def text(self) -> str:
        """The section as a header value."""
        return f"[{self.first_column}:{self.last_column},{self.first_row}:{self.last_row}]"

    @property
    def slices(self) -> tuple[slice, slice]:
        """Rows and columns of an array, in the directions of the section."""
        return (
            _slice(self.first_row, self.last_row),
            _slice(self.first_column, self.last_column),
        )

    @property
    def shape(self) -> tuple[int, int]:
        """Number of rows and columns."""
        return (
            abs(self.last_row - self.first_row) + 1,
            abs(self.last_column - self.first_column) + 1,
        )


def _slice(first: int, last: int) -> slice:
    if first <= last:
        return slice(first - 1, last)
    # A negative end would count from the other side.
    return slice(first - 1, last - 2 if last > 1 else None, -1)
