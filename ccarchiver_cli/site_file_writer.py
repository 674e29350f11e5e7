"""A site file written anew: every key in one order, each with its meaning, and only what the site has set in force."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

import yaml
from pydantic import BaseModel

from ccarchiver_cli import config_listing, site_advisories

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ccarchiver_core.config.settings import Settings
    from ccarchiver_core.config.site_file import KeyPath

INDENT = 2
"""Columns of a level, as in the site files there are."""

COMMENT_WIDTH = 100
"""Columns a comment may have: it fits beside another file in an editor."""

ONE_LINE = 1 << 20
"""Columns for a value: no value is longer, so YAML breaks none; a break would need the indentation of its place."""

EXACT_WHOLE = 2.0**53
"""Up to here a float without a fraction is written as a whole number, 5 instead of 5.0: it is exactly that one."""

ALL_DEFAULT = "{}  # nothing is set: take the {} away when you take the # from the first key"

HEADER = (
    "Site file of the ComCam Archiver, made by `ccarchiver config migrate` from {name}. A key that begins with # has "
    "its default: take the # away, and that of its section, to set it. `note:` is what is worth a second look. "
    "`ccarchiver config check FILE` checks a change."
)


def render(settings: Settings, name: str) -> str:
    """Write settings as a site file that gives the same ones.

    Parameters
    ----------
    settings : `Settings`
        As loaded from a site file.
    name : `str`
        What that file is called.
    """
    notes: dict[str, list[str]] = {}
    for note in site_advisories.advisories(settings):
        if note.key is not None:  # what depends on the environment can be otherwise where the file will be read
            notes.setdefault(note.key, []).append(note.text)
    root = "ROOT:" if _is_set(settings) else f"ROOT: {ALL_DEFAULT}"
    lines = [*_comment(HEADER.format(name=name), 0), root, *_keys(settings, (), notes)]
    return "\n".join(lines) + "\n"


def _keys(part: BaseModel, above: KeyPath, notes: dict[str, list[str]]) -> Iterator[str]:
    """Write every key of a section, those that are not set as comments."""
    level = len(above) + 1
    space = " " * (INDENT * level)
    for name, field in type(part).model_fields.items():
        path = (*above, name.upper())
        value = getattr(part, name)
        if level == 1:
            yield ""
        yield from _comment(config_listing.meaning(field), level)
        if isinstance(value, BaseModel):
            yield f"{space}{'' if _is_set(value) else '#'}{path[-1]}:"
            yield from _keys(value, path, notes)
            continue
        for note in notes.get(".".join(path), ()):
            yield from _comment(f"note: {note}", level)
        yield f"{space}{'' if name in part.model_fields_set else '#'}{path[-1]}: {_yaml(value)}"


def _is_set(part: BaseModel) -> bool:
    """Tell whether the site has set any key of a section: one whose keys are all comments must be one, too."""
    values = [(name, getattr(part, name)) for name in part.model_fields_set]
    return any(_is_set(value) if isinstance(value, BaseModel) else True for _, value in values)


def _yaml(value: object) -> str:
    """Write a value on one line."""
    plain = config_listing.plain(value)
    if isinstance(plain, float) and plain.is_integer() and plain <= EXACT_WHOLE:
        plain = int(plain)
    text = _dump(plain, None)
    # Only text can have line breaks in it; within double quotes they are written with a backslash.
    return text if len(text.splitlines()) == 1 else _dump(plain, '"')


def _dump(plain: object, quotes: str | None) -> str:
    text: str = yaml.safe_dump(
        plain, width=ONE_LINE, default_flow_style=True, default_style=quotes, allow_unicode=quotes is None
    )
    return text.removesuffix("...\n").removesuffix("\n")


def _comment(text: str, level: int) -> list[str]:
    """Write a text as comment lines; what it quotes of the site must not end the comment."""
    beginning = " " * (INDENT * level) + "# "
    clean = "".join(dead_letter if dead_letter.isprintable() else " " for dead_letter in text)
    return textwrap.wrap(
        " ".join(clean.split()),
        COMMENT_WIDTH,
        initial_indent=beginning,
        subsequent_indent=beginning,
        break_long_words=False,
        break_on_hyphens=False,
    )
