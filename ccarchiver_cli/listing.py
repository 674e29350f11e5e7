"""Every setting with its value, its origin and its meaning."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import BaseModel

from ccarchiver_cli.lines import indented, width
from ccarchiver_core.credentials import credentials_path, load_credentials
from ccarchiver_core.errors import ConfigError
from ccarchiver_core.settings import LOG_DIR_VARIABLE, Settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pydantic.fields import FieldInfo

    from ccarchiver_core.site_file import KeyPath, SiteFile

MEANING_INDENT = 4

LONG_ACK_TIMEOUT = 30.0
"""Seconds; sites of the replaced archiver have 60. Above it, a silent peer is noticed only after minutes."""

SITE_KEYS = {
    "REDIS_HOST": "the Redis of this site",
    "BASE_BROKER_ADDR": "the RabbitMQ and the virtual host of this site",
    "ARCHIVE.ARCHIVE_LOGIN": "Forwarders copy files with this login",
    "ARCHIVE.ARCHIVE_IP": "Forwarders copy files to this address: the default only works on one machine",
    "ARCHIVE.FORWARDER_STAGING": "the tree of the site",
    "ARCHIVE.OODS_STAGING": "the tree of the site",
    "ARCHIVE.DBB_STAGING": "the tree of the site",
}
"""Keys whose default is right for one machine on a desk, and that a deployed site must think about."""


@dataclass(frozen=True)
class Entry:
    """One setting in force."""

    key: str
    """As the site file has it, sections with a dot: ``CSC.BEACON.SECONDS_TO_EXPIRE``."""
    value: str | int | float | list[str] | None
    line: int | None
    """In the site file; None if the value is not from there."""
    origin: str
    meaning: str


@dataclass(frozen=True)
class Account:
    """What may be told of the credentials file; None for what could not be learned."""

    file: str
    user: str | None
    directory_mode: str | None
    file_mode: str | None
    problem: str | None


def entries(settings: Settings, site: SiteFile) -> list[Entry]:
    """Every setting, in the order of the settings class."""
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
        if path == ("LOGGING_DIR",) and os.environ.get(LOG_DIR_VARIABLE):
            value, line, origin = os.environ[LOG_DIR_VARIABLE], None, f"${LOG_DIR_VARIABLE}"
        yield Entry(".".join(path), _plain(value), line, origin, _meaning(field))


def _meaning(field: FieldInfo) -> str:
    return " ".join((field.description or "").replace("``", "").split())


def _plain(value: object) -> str | int | float | list[str] | None:
    match value:
        case None | int() | float():
            return value
        case tuple():
            return [str(one) for one in value]
        case _:
            return str(value)


def text(entry: Entry) -> str:
    """One setting for a person: key, value and origin on a line, the meaning below."""
    value = ", ".join(entry.value) if isinstance(entry.value, list) else entry.value
    left = f"{entry.key}: {'' if value is None else value}".rstrip()
    room = max(1, width() - len(left) - len(entry.origin))
    first = f"{left}{' ' * room}{entry.origin}"
    return f"{first}\n{indented(' ' * MEANING_INDENT, entry.meaning)}" if entry.meaning else first


def to_think_about(settings: Settings, found: list[Entry]) -> list[str]:
    """Tell what is allowed in a site file, but a deployed site has to have meant it."""
    notes = [
        f"{entry.key} is not set, so it is {entry.value}: {SITE_KEYS[entry.key]}"
        for entry in found
        if entry.key in SITE_KEYS and entry.line is None
    ]
    if settings.log_dir is None:
        notes.append(f"neither LOGGING_DIR nor ${LOG_DIR_VARIABLE} is set: logs go to standard error only")
    if settings.ack_timeout > LONG_ACK_TIMEOUT:
        notes.append(
            f"ACK_TIMEOUT is {settings.ack_timeout:g} s, as in files of the replaced archiver: a silent peer is "
            "noticed only after that time; 5 is better"
        )
    if settings.queue_to_oods == settings.queue_from_oods:
        notes.append(
            f"OODS_PUBLISH_QUEUE and OODS_CONSUME_QUEUE are both {settings.queue_to_oods}: the archiver would take "
            "what is meant for the OODS"
        )
    elif settings.queue_to_oods != settings.oods_publish_queue:
        notes.append(
            "OODS_PUBLISH_QUEUE and OODS_CONSUME_QUEUE are named as the OODS sees them; they are read the other way "
            f"round: to the OODS {settings.queue_to_oods}, from it {settings.queue_from_oods}"
        )
    return notes


def account() -> Account:
    """Look at the credentials file; its password is read, checked and thrown away."""
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
