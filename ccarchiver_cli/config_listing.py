"""List of the settings in force, with value, origin and meaning."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import BaseModel

from ccarchiver_cli.text_layout import indented, width
from ccarchiver_core.base.errors import ConfigError
from ccarchiver_core.config.credentials import credentials_path, load_credentials
from ccarchiver_core.config.settings import (
    LOG_DIR_VARIABLE,
    PLAINTEXT_KEY,
    PLAINTEXT_VARIABLE,
    Settings,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pydantic.fields import FieldInfo

    from ccarchiver_core.config.site_file import KeyPath, SiteFile

MEANING_INDENT = 4

VARIABLES = {"LOGGING_DIR": LOG_DIR_VARIABLE, PLAINTEXT_KEY: PLAINTEXT_VARIABLE}
"""Keys that an environment variable overrides, with the name of the variable."""

Plain = str | int | float | list[str] | dict[str, list[str]] | None
"""Type of a value in YAML or JSON."""


@dataclass(frozen=True)
class Entry:
    """One setting in force."""

    key: str
    """Name in the site file, sections with a dot: ``CSC.BEACON.SECONDS_TO_EXPIRE``."""
    value: Plain
    line: int | None
    """Line in the site file; None if the value has another origin."""
    origin: str
    meaning: str


@dataclass(frozen=True)
class Account:
    """Facts about the credentials file that are not secret; None for a fact that is unknown."""

    file: str
    user: str | None
    directory_mode: str | None
    file_mode: str | None
    problem: str | None


def entries(settings: Settings, site: SiteFile) -> list[Entry]:
    """Return every setting, in the sequence of the settings class."""
    return list(_entries(settings, site, ()))


def _entries(part: BaseModel, site: SiteFile, above: KeyPath) -> Iterator[Entry]:
    for name, field in type(part).model_fields.items():
        path = (*above, name.upper())
        value = getattr(part, name)
        if isinstance(value, BaseModel):
            yield from _entries(value, site, path)
            continue
        line = site.line(path)
        origin = "default" if line is None else f"line {line}"
        variable = VARIABLES.get(name.upper(), "") if not above else ""
        if os.environ.get(variable):
            value, line, origin = os.environ[variable], None, f"${variable}"
        yield Entry(".".join(path), plain(value), line, origin, meaning(field))


def meaning(field: FieldInfo) -> str:
    """Return the meaning of a setting, on one line."""
    return " ".join((field.description or "").replace("``", "").split())


def plain(value: object) -> Plain:
    """Return a value as a type that YAML and JSON have."""
    match value:
        case None | int() | float():
            return value
        case tuple():
            return [str(one) for one in value]
        case dict():
            return {str(key): [str(one) for one in listed] for key, listed in value.items()}
        case _:
            return str(value)


def text(entry: Entry) -> str:
    """Return a setting as text: key, value and origin on one line, the meaning below."""
    left = f"{entry.key}: {_words(entry.value)}".rstrip()
    room = max(1, width() - len(left) - len(entry.origin))
    first = f"{left}{' ' * room}{entry.origin}"
    return f"{first}\n{indented(' ' * MEANING_INDENT, entry.meaning)}" if entry.meaning else first


def _words(value: Plain) -> str:
    match value:
        case None:
            return ""
        case list():
            return ", ".join(value)
        case dict():
            return "; ".join(f"{key}: {' '.join(listed)}" for key, listed in value.items())
        case _:
            return str(value)


def account() -> Account:
    """Return facts about the credentials file. The password is checked and discarded."""
    path = credentials_path()
    user = problem = None
    try:
        user = load_credentials(path).user
    except ConfigError as error:
        problem = str(error)
    return Account(str(path), user, _mode(path.parent), _mode(path), problem)


def _mode(path: Path) -> str | None:
    try:
        return f"{stat.S_IMODE(path.stat().st_mode):o}"
    except OSError:
        return None
