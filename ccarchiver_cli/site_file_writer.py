"""Writer of site files for ``ccarchiver config migrate``.

The file has every key in a fixed sequence, each with its meaning. Only the keys that the site has
set are in force; the others are comments.
"""

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
"""Indentation of one level, as in existing site files."""

COMMENT_WIDTH = 100
"""Maximum width of a comment in columns."""

ONE_LINE = 1 << 20
"""Maximum width of a value in columns. No value is longer, so YAML does not break any.

A broken value would need the indentation of its place.
"""

EXACT_WHOLE = 2.0**53
"""Largest float that is written as a whole number if it has no fraction (5 instead of 5.0).

Up to this number the two are exactly equal.
"""

ALL_DEFAULT = "{}  # nothing is set: remove the {} when you remove the # before the first key"

HEADER = (
    "Site file of the ComCam Archiver, made by `ccarchiver config migrate` from {name}. "
    "A key that begins with # has its default. To set it, remove the # before the key and before "
    "its section. Check the keys that have a `note:`. `ccarchiver config check FILE` checks the "
    "file after a change."
)


def render(settings: Settings, name: str) -> str:
    """Return the text of a site file that has the given settings.

    Parameters
    ----------
    settings : `Settings`
        Settings, loaded from a site file.
    name : `str`
        Name of that file.
    """
    notes: dict[str, list[str]] = {}
    for advisory in site_advisories.advisories(settings):
        # An advisory without a key depends on the environment, which differs between hosts.
        if advisory.key is not None:
            notes.setdefault(advisory.key, []).append(advisory.text)
    root = "ROOT:" if _is_set(settings) else f"ROOT: {ALL_DEFAULT}"
    lines = [*_comment(HEADER.format(name=name), 0), root, *_keys(settings, (), notes)]
    return "\n".join(lines) + "\n"


def _keys(part: BaseModel, above: KeyPath, notes: dict[str, list[str]]) -> Iterator[str]:
    """Yield the lines of a section; the keys that are not set are comments."""
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
    """Return whether the site has set any key of a section.

    A section whose keys are all comments must be a comment, too.
    """
    values = [(name, getattr(part, name)) for name in part.model_fields_set]
    return any(_is_set(value) if isinstance(value, BaseModel) else True for _, value in values)


def _yaml(value: object) -> str:
    """Return a value as YAML on one line."""
    plain = config_listing.plain(value)
    if isinstance(plain, float) and plain.is_integer() and plain <= EXACT_WHOLE:
        plain = int(plain)
    text = _dump(plain, None)
    # Only a text can contain line breaks; within double quotes they are written with a backslash.
    return text if len(text.splitlines()) == 1 else _dump(plain, '"')


def _dump(plain: object, quotes: str | None) -> str:
    text: str = yaml.safe_dump(
        plain,
        width=ONE_LINE,
        default_flow_style=True,
        default_style=quotes,
        allow_unicode=quotes is None,
    )
    return text.removesuffix("...\n").removesuffix("\n")


def _comment(text: str, level: int) -> list[str]:
    """Return a text as comment lines.

    Line breaks in a quoted value are replaced, because they would end the comment.
    """
    beginning = " " * (INDENT * level) + "# "
    clean = "".join(character if character.isprintable() else " " for character in text)
    return textwrap.wrap(
        " ".join(clean.split()),
        COMMENT_WIDTH,
        initial_indent=beginning,
        subsequent_indent=beginning,
        break_long_words=False,
        break_on_hyphens=False,
    )
