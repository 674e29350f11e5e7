"""Texts of SAL events: what a field cannot carry is never published as another value.

A field has a maximum length, and SAL carries ISO-8859-1 without NUL. A raft `R22S11` cut to the
five characters of its field would be `R22S1`, the name of another CCD. So only free text is cut,
and the cut is marked. Any other text that does not fit becomes `UNDEFINED`, and the description of
the event contains it in full.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

UNDEFINED = "undef"
"""Value in a SAL event of a text that is missing or does not fit its field."""

DESCRIPTION = "description"
"""The field that explains an event to a person."""

FREE_TEXT = frozenset({DESCRIPTION, "errorReport", "traceback"})
"""Fields that only persons read. A program compares the others."""

CUT = "..."
"""End of a free text that was cut. SAL has no character for an ellipsis."""

ENCODING = "iso-8859-1"

Values = dict[str, str | int]


class FittedEvent(NamedTuple):
    """The values to publish, and the original texts that `UNDEFINED` replaces, by field."""

    values: Values
    replaced: dict[str, str]


def fit_event(values: Mapping[str, str | int], lengths: Mapping[str, int | None]) -> FittedEvent:
    """Return the values of an event as SAL can carry them.

    Parameters
    ----------
    values : `dict`
        Fields of the event.
    lengths : `dict`
        Maximum length of each text field; None for an unlimited one.
    """
    replaced = {
        name: value
        for name, value in values.items()
        if isinstance(value, str)
        and name not in FREE_TEXT
        and fit_free_text(value, lengths.get(name)) != value
    }
    fitted: Values = {
        name: UNDEFINED[: lengths.get(name)] if name in replaced else value
        for name, value in values.items()
    }
    if replaced and DESCRIPTION in values:
        full = ", ".join(f"{name}={_escaped(value)}" for name, value in replaced.items())
        fitted[DESCRIPTION] = f"{full}: {values[DESCRIPTION]}" if values[DESCRIPTION] else full
    for name in FREE_TEXT & fitted.keys():
        fitted[name] = fit_free_text(str(fitted[name]), lengths.get(name))
    return FittedEvent(fitted, replaced)


def fit_free_text(text: str, length: int | None) -> str:
    """Return a text that SAL can carry.

    A character outside ISO-8859-1 becomes ``?``, a NUL a space, and what is too long is cut.
    """
    if text.isascii() and "\0" not in text and (length is None or len(text) <= length):
        return text  # nearly every text
    plain = text.replace("\0", " ").encode(ENCODING, "replace").decode(ENCODING)
    if length is None or len(plain) <= length:
        return plain
    return plain[: max(0, length - len(CUT))] + CUT[:length]


def _escaped(text: str) -> str:
    """Return a text with escapes for the characters that SAL cannot carry."""
    escaped = text.encode(ENCODING, "backslashreplace").decode(ENCODING)
    return escaped.replace("\0", "\\x00")
