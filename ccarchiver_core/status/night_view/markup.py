"""Markup of HTML and SVG. Every text is escaped; only this module makes markup from texts."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

EMPTY_ELEMENTS = frozenset({"br", "input", "link", "meta"})
"""Elements of HTML without an end tag."""


class Markup(str):
    """A text that is markup already and is not escaped again."""

    __slots__ = ()


def escape(text: str) -> Markup:
    """Return a text as markup that shows it."""
    return text if isinstance(text, Markup) else Markup(html.escape(text, quote=True))


def join(parts: Iterable[str]) -> Markup:
    """Return the parts as one piece of markup."""
    return Markup("".join(escape(part) for part in parts))


def tag(name: str, /, *children: str, **attributes: str | float | bool | None) -> Markup:
    """Return an element.

    Parameters
    ----------
    name : `str`
        Name of the element.
    children : `str`
        Its content; texts are escaped.
    attributes
        Its attributes. An underscore stands for a hyphen, one at the end is removed. None and
        False leave the attribute out, True has no value.
    """
    words = [name]
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        attribute = key.rstrip("_").replace("_", "-")
        words.append(attribute if value is True else f'{attribute}="{escape(str(value))}"')
    begin = f"<{' '.join(words)}>"
    if name in EMPTY_ELEMENTS:
        return Markup(begin)
    return Markup(f"{begin}{join(children)}</{name}>")
