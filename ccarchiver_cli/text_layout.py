"""Text that stays readable in a narrow terminal."""

from __future__ import annotations

import shutil
import textwrap

NARROW = 80
"""Columns when nobody says: the width every terminal has, and what a pipe gets."""


_HARMFUL = {code: "?" for code in [*range(0x20), *range(0x7F, 0xA0)] if chr(code) not in "\n\t"}
"""Control characters: a terminal does what they say, and they may come from whoever sent a message."""


def harmless(text: str) -> str:
    """Put a question mark for each control character but line ends and tabs."""
    return text.translate(_HARMFUL)


def width() -> int:
    """Columns of the terminal, or of $COLUMNS."""
    return shutil.get_terminal_size((NARROW, 24)).columns


def indented(beginning: str, text: str, below: int | None = None) -> str:
    """Wrap a text behind its beginning; addresses, paths and names with hyphens stay whole.

    Parameters
    ----------
    beginning : `str`
        Stands before the first line.
    text : `str`
        To be wrapped.
    below : `int`, optional
        Columns the further lines are indented; by default as wide as `beginning`.
    """
    return textwrap.fill(
        text,
        width(),
        initial_indent=beginning,
        subsequent_indent=" " * (len(beginning) if below is None else below),
        break_long_words=False,
        break_on_hyphens=False,
    )
