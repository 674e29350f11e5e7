"""Layout of text for narrow terminals."""

from __future__ import annotations

import shutil
import textwrap

NARROW = 80
"""Default width in columns: every terminal has it, and a pipe gets it."""


_HARMFUL = {code: "?" for code in [*range(0x20), *range(0x7F, 0xA0)] if chr(code) not in "\n\t"}
"""Control characters. A terminal obeys them, and the sender of a message may put them in."""


def harmless(text: str) -> str:
    """Return a text with a question mark for each control character except line ends and tabs."""
    return text.translate(_HARMFUL)


def width() -> int:
    """Return the columns of the terminal, or of $COLUMNS."""
    return shutil.get_terminal_size((NARROW, 24)).columns


def indented(beginning: str, text: str, below: int | None = None) -> str:
    """Return a text, wrapped and with a prefix before its first line.

    Addresses, paths and names with hyphens are not broken.

    Parameters
    ----------
    beginning : `str`
        Prefix of the first line.
    text : `str`
        Text to wrap.
    below : `int`, optional
        Indentation of the other lines; by default the width of `beginning`.
    """
    return textwrap.fill(
        text,
        width(),
        initial_indent=beginning,
        subsequent_indent=" " * (len(beginning) if below is None else below),
        break_long_words=False,
        break_on_hyphens=False,
    )
