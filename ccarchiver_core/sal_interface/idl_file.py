"""Read the topics and fields of one component from the IDL file that SAL generates."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from ccarchiver_core.base.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

COMMAND = "command_"
"""Prefix of the names of command topics."""

EVENT = "logevent_"
"""Prefix of the names of event topics."""

UNKNOWN = "?"
"""Version in the text of a file that does not name it."""

_VERSIONS = re.compile(r"//\s*SAL_VERSION=(?P<sal>\S+)\s+XML_VERSION=(?P<xml>\S+)")
_TOPIC = re.compile(r"\s*struct\s+(?P<name>\w+)_(?P<suffix>[0-9A-Za-z]+)\s*\{")
_CONSTANT = "const "
_TEXT = re.compile(r"string(<(?P<length>\d+)>)?")
_FIELD = re.compile(
    r"\s*(?P<type>[a-z]+(?:[ \t]+[a-z]+)*(?:<\d+>)?)\s+(?P<name>\w+)\s*(?P<array>\[\d+\])?\s*;"
)


@dataclass(frozen=True)
class IdlTopic:
    """One topic."""

    name: str
    """SAL's name, such as ``logevent_summaryState``."""
    suffix: str
    """Revision code at the end of its DDS name; it changes with the fields."""
    fields: Mapping[str, str]
    """IDL type of each field, with its length: ``string<8>``, ``long[4]``."""
    constants: tuple[str, ...] = ()
    """The lines of the constants after the topic, such as ``const long state_ENABLED=2;``."""

    @cached_property
    def text_lengths(self) -> Mapping[str, int | None]:
        """Maximum length of each text field; None for an unlimited one."""
        texts = {name: _TEXT.fullmatch(idl_type) for name, idl_type in self.fields.items()}
        return {
            name: None if match["length"] is None else int(match["length"])
            for name, match in texts.items()
            if match is not None
        }


@dataclass(frozen=True)
class IdlFile:
    """The topics of one component."""

    path: Path
    component: str
    sal_version: str
    xml_version: str
    topics: Mapping[str, IdlTopic]

    @property
    def label(self) -> str:
        """The path and the versions, for messages."""
        return f"{self.path} (SAL {self.sal_version}, XML {self.xml_version})"

    @property
    def commands(self) -> frozenset[str]:
        """Names of the commands, without prefix."""
        return frozenset(
            name.removeprefix(COMMAND) for name in self.topics if name.startswith(COMMAND)
        )


def idl_path(folder: Path, component: str) -> Path:
    """Return the path at which salobj expects the IDL of a component."""
    return folder / f"sal_revCoded_{component}.idl"


def read_idl(folder: Path, component: str) -> IdlFile:
    """Read the IDL file of a component.

    Parameters
    ----------
    folder : `pathlib.Path`
        Folder of the IDL files.
    component : `str`
        SAL component name.

    Raises
    ------
    ConfigError
        If the file cannot be read or has no topics.
    """
    path = idl_path(folder, component)
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        msg = (
            f"no IDL of {component}: {path}: {error.strerror}; copy the file of the site there, "
            "or make it with make_idl_files.py; see docs/explanations/middleware.md"
        )
        raise ConfigError(msg) from error
    topics = {topic.name: topic for topic in _topics(lines)}
    if not topics:
        msg = f"the IDL file {path} has no topics; copy the file of the site there again"
        raise ConfigError(msg)
    versions = _VERSIONS.match(lines[0])
    return IdlFile(
        path,
        component,
        versions["sal"] if versions else UNKNOWN,
        versions["xml"] if versions else UNKNOWN,
        topics,
    )


def _topics(lines: list[str]) -> Iterator[IdlTopic]:
    name = suffix = ""
    fields: dict[str, str] = {}
    constants: list[str] = []
    for line in lines:
        if start := _TOPIC.match(line):
            if name:
                yield IdlTopic(name, suffix, fields, tuple(constants))
            name, suffix, fields, constants = start["name"], start["suffix"], {}, []
        elif match := _FIELD.match(line):
            fields[match["name"]] = " ".join(match["type"].split()) + (match["array"] or "")
        elif line.lstrip().startswith(_CONSTANT):
            constants.append(line.strip())
    if name:
        yield IdlTopic(name, suffix, fields, tuple(constants))
