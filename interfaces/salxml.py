"""Read the observatory's own interface definitions (XML)."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING

from interfaces.model import STRING, Component, Constant, Field, InterfaceError, Topic, TopicKind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

__all__ = ["load_xml"]

_TOPIC_TAGS = {
    "SALCommand": TopicKind.COMMAND,
    "SALEvent": TopicKind.EVENT,
    "SALTelemetry": TopicKind.TELEMETRY,
}
_GENERIC = "SALGeneric"
_MANDATORY = "mandatory"
"""Category of the generic topics that every component has."""
_ALL = "yes"
"""What old releases say for a component that has all generic topics."""
FIRST_VALUE = 1
"""SAL counts the names of an enumeration from 1, unless they give values."""
UNBOUNDED = 1
"""SAL's IDL_Size for a string of any length."""

CATEGORIES_BEFORE_THEY_WERE_NAMED = {
    "logevent_heartbeat": _MANDATORY,
    "logevent_logLevel": _MANDATORY,
    "logevent_logMessage": _MANDATORY,
    "logevent_softwareVersions": _MANDATORY,
    "command_disable": "csc",
    "command_enable": "csc",
    "command_exitControl": "csc",
    "command_setAuthList": "csc",
    "command_setLogLevel": "csc",
    "command_standby": "csc",
    "command_start": "csc",
    "logevent_authList": "csc",
    "logevent_errorCode": "csc",
    "logevent_simulationMode": "csc",
    "logevent_summaryState": "csc",
    "logevent_appliedSettingsMatchStart": "configurable",
    "logevent_settingVersions": "configurable",
    "logevent_settingsApplied": "configurable",
}
"""Releases up to about 10 have no Category elements; SAL knew the categories itself."""


def _parse(path: Path) -> ET.Element:
    try:
        return ET.parse(path).getroot()  # noqa: S314 (files an engineer names on the command line)
    except (OSError, ET.ParseError) as e:
        message = f"cannot read {path}: {e}"
        raise InterfaceError(message) from e


def _text(element: ET.Element, tag: str) -> str:
    return (element.findtext(tag) or "").strip()


def _number(element: ET.Element, tag: str, default: int, where: str) -> int:
    text = _text(element, tag)
    try:
        return int(text) if text else default
    except ValueError as e:
        message = f"{where}: {tag} is {text!r}, not a whole number"
        raise InterfaceError(message) from e


def _value(text: str, where: str) -> int:
    try:
        # A leading 0 does not mean octal here, but 0x does mean hexadecimal.
        return int(text, 16) if text.lower().startswith("0x") else int(text)
    except ValueError as e:
        message = f"{where}: enumeration value {text!r} is not a whole number"
        raise InterfaceError(message) from e


def _constants(text: str, where: str) -> Iterator[Constant]:
    value = FIRST_VALUE - 1
    for entry in text.split(","):
        name, _, given = entry.partition("=")
        if not name.strip():
            continue
        value = _value(given.strip(), where) if given.strip() else value + 1
        yield Constant(name.strip(), value)


def _field(item: ET.Element, where: str) -> Field:
    name = _text(item, "EFDB_Name")
    sal_type = " ".join(_text(item, "IDL_Type").split())
    size = _number(item, "IDL_Size", UNBOUNDED, where)
    try:
        return Field(
            name=name,
            type=sal_type,
            description=_text(item, "Description"),
            units=_text(item, "Units") or "unitless",
            max_length=size if sal_type == STRING and size > UNBOUNDED else None,
            count=_number(item, "Count", 1, where),
        )
    except InterfaceError as e:
        message = f"{where}: {e}"
        raise InterfaceError(message) from e


def _topic(element: ET.Element, kind: TopicKind, owner: str, path: Path) -> Topic:
    full_name = _text(element, "EFDB_Topic")
    prefix = f"{owner}_{kind.value}"
    if not full_name.startswith(prefix) or full_name == prefix:
        message = f"{path}: topic {full_name!r} should be named {prefix}..."
        raise InterfaceError(message)
    where = f"{path}, {full_name}"
    items = element.findall("item")
    return Topic(
        name=full_name.removeprefix(prefix),
        kind=kind,
        description=_text(element, "Description") or _text(element, "Explanation"),
        fields=tuple(_field(item, where) for item in items),
        constants=tuple(c for item in items for c in _constants(_text(item, "Enumeration"), where)),
    )


def _topics(root: ET.Element, owner: str, path: Path) -> Iterator[tuple[Topic, str]]:
    """Yield topics and their categories."""
    for tag, kind in _TOPIC_TAGS.items():
        for element in root.iter(tag):
            yield _topic(element, kind, owner, path), _text(element, "Category")


def _added_generics(
    subsystem: ET.Element, generics: Iterable[tuple[Topic, str]]
) -> Iterator[Topic]:
    wanted = {
        _MANDATORY,
        *(w.strip() for w in _text(subsystem, "AddedGenerics").split(",") if w.strip()),
    }
    everything = _text(subsystem, "Generics").lower() == _ALL
    pairs = list(generics)
    categories_are_named = any(category for _, category in pairs)
    for topic, named in pairs:
        category = (
            named
            if categories_are_named
            else CATEGORIES_BEFORE_THEY_WERE_NAMED.get(topic.sal_name, "")
        )
        if everything or category in wanted or topic.sal_name in wanted:
            yield topic


def _find(folder: Path, name: str) -> Path:
    found = sorted(folder.rglob(name))
    if not found:
        message = f"{folder} has no {name}"
        raise InterfaceError(message)
    return found[0]


def _component(
    subsystem: ET.Element, folder: Path, generics: Iterable[tuple[Topic, str]]
) -> Component:
    name = _text(subsystem, "Name")
    topics: dict[str, Topic] = {}
    constants: list[Constant] = []
    for kind in ("Commands", "Events", "Telemetry"):
        for path in sorted(folder.rglob(f"{name}_{kind}.xml")):
            root = _parse(path)
            topics |= {topic.sal_name: topic for topic, _ in _topics(root, name, path)}
            for element in root.findall("Enumeration"):
                constants += _constants(element.text or "", str(path))
    # A component may define a generic topic in its own way.
    generic = {topic.sal_name: topic for topic in _added_generics(subsystem, generics)}
    index = _text(subsystem, "IndexEnumeration").lower()
    return Component(
        name=name,
        description=_text(subsystem, "Description"),
        indexed=index not in {"", "no"},
        topics=tuple((generic | topics).values()),
        constants=tuple(constants),
    )


def load_xml(folder: Path, names: Sequence[str] = ()) -> list[Component]:
    """Read components from the observatory's XML.

    Parameters
    ----------
    folder
        A folder that has, itself or further below, SALSubsystems.xml, SALGenerics.xml and the
        files of the components, such as Test_Events.xml.
    names
        Components to read; all those that SALSubsystems.xml lists if empty.

    Raises
    ------
    InterfaceError
        If a file is missing or wrong; the message says where.
    """
    generics_path = _find(folder, "SALGenerics.xml")
    generics = list(_topics(_parse(generics_path), _GENERIC, generics_path))
    subsystems = _parse(_find(folder, "SALSubsystems.xml"))
    return [
        _component(subsystem, folder, generics)
        for subsystem in subsystems.iter("SALSubsystem")
        if not names or _text(subsystem, "Name") in names
    ]
