"""Read the observatory's own interface definitions (XML)."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from interfaces.enumerations import ComponentEnumerations, index_constants
from interfaces.model import STRING, Component, Field, InterfaceError, Topic, TopicKind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

__all__ = ["XmlInterfaces", "load_xml", "read_xml"]

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
_TEXTS = frozenset({STRING, "char"})
"""Types of the XML that become strings."""
_ARRAY_OF_ONE = "IsJavaArray"
"""Element of an item that is an array even if its Count is 1."""
_KINDS = ("Telemetry", "Commands", "Events")
"""Files of a component, in the sequence in which SAL reads them; the generic topics follow."""
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


def _field(item: ET.Element, where: str) -> Field:
    name = _text(item, "EFDB_Name")
    sal_type = " ".join(_text(item, "IDL_Type").split())
    size = _number(item, "IDL_Size", UNBOUNDED, where)
    count = _number(item, "Count", 1, where)
    try:
        field = Field(
            name=name,
            type=STRING if sal_type in _TEXTS else sal_type,
            description=_text(item, "Description"),
            units=_text(item, "Units") or "unitless",
        )
        if field.type == STRING:  # SAL ignores the count of a string
            return replace(field, max_length=size if size > UNBOUNDED else None)
        is_array_of_one = item.find(_ARRAY_OF_ONE) is not None
        return replace(field, count=count, is_counted_alone=is_array_of_one)
    except InterfaceError as e:
        message = f"{where}: {e}"
        raise InterfaceError(message) from e


def _topic(
    element: ET.Element, owner: str, path: Path, enumerations: ComponentEnumerations
) -> Topic:
    kind = _TOPIC_TAGS[element.tag]
    full_name = _text(element, "EFDB_Topic")
    prefix = f"{owner}_{kind.value}"
    if not full_name.startswith(prefix) or full_name == prefix:
        message = f"{path}: topic {full_name!r} should be named {prefix}..."
        raise InterfaceError(message)
    where = f"{path}, {full_name}"
    items = element.findall("item")
    name = full_name.removeprefix(prefix)
    texts = [found.text or "" for item in items for found in item.findall("Enumeration")]
    return Topic(
        name=name,
        kind=kind,
        description=_text(element, "Description") or _text(element, "Explanation"),
        fields=tuple(_field(item, where) for item in items),
        constants=enumerations.of_topic(name, texts, where),
    )


def _topics_of(
    root: Iterable[ET.Element], owner: str, path: Path, enumerations: ComponentEnumerations
) -> Iterator[Topic]:
    for element in root:
        if element.tag in _TOPIC_TAGS:
            yield _topic(element, owner, path, enumerations)
        elif element.tag == "Enumeration":
            enumerations.add_shared(element.text or "", str(path))
        else:  # a set of topics
            yield from _topics_of(element, owner, path, enumerations)


def _is_wanted(element: ET.Element, wanted: set[str], *, everything: bool, named: bool) -> bool:
    """Return whether a component has a generic topic."""
    sal_name = _text(element, "EFDB_Topic").removeprefix(f"{_GENERIC}_")
    category = (
        _text(element, "Category") if named else CATEGORIES_BEFORE_THEY_WERE_NAMED.get(sal_name, "")
    )
    return everything or category in wanted or sal_name in wanted


def _added_generics(subsystem: ET.Element, generics: ET.Element) -> list[ET.Element]:
    added = _text(subsystem, "AddedGenerics").split(",")
    wanted = {_MANDATORY, *(name.strip() for name in added if name.strip())}
    everything = _text(subsystem, "Generics").lower() == _ALL
    elements = [element for element in generics.iter() if element.tag in _TOPIC_TAGS]
    named = any(_text(element, "Category") for element in elements)
    return [
        element
        for element in elements
        if _is_wanted(element, wanted, everything=everything, named=named)
    ]


def _find(folder: Path, name: str) -> Path:
    found = sorted(folder.rglob(name))
    if not found:
        message = f"{folder} has no {name}"
        raise InterfaceError(message)
    return found[0]


def _component(
    subsystem: ET.Element, folder: Path, generics: ET.Element, generics_path: Path
) -> Component:
    name = _text(subsystem, "Name")
    enumerations = ComponentEnumerations(name)
    topics: dict[str, Topic] = {}
    last_of_first_file = ""
    for path in (path for kind in _KINDS for path in sorted(folder.rglob(f"{name}_{kind}.xml"))):
        found = {
            topic.sal_name: topic for topic in _topics_of(_parse(path), name, path, enumerations)
        }
        topics |= found
        last_of_first_file = last_of_first_file or next(reversed(found), "")
    # A component may define a generic topic in its own way.
    generic = {
        topic.sal_name: topic
        for topic in _topics_of(
            _added_generics(subsystem, generics), _GENERIC, generics_path, enumerations
        )
    }
    last_of_first_file = last_of_first_file or next(reversed(generic), "")
    topics = generic | topics
    indices = _text(subsystem, "IndexEnumeration")
    is_indexed = indices.lower() not in {"", "no"}
    if is_indexed and last_of_first_file:
        topic = topics[last_of_first_file]
        constants = (*topic.constants, *index_constants(indices))
        topics[last_of_first_file] = replace(topic, constants=constants)
    return Component(
        name=name,
        description=_text(subsystem, "Description"),
        indexed=is_indexed,
        topics=tuple(topics.values()),
    )


@dataclass(frozen=True)
class XmlInterfaces:
    """The components that could be read, and the errors of the others."""

    components: tuple[Component, ...]
    errors: tuple[InterfaceError, ...]


def read_xml(folder: Path, names: Sequence[str] = ()) -> XmlInterfaces:
    """Read components from the observatory's XML; a wrong one does not affect the others.

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
        If one of the two files that all components share is missing or wrong.
    """
    generics_path = _find(folder, "SALGenerics.xml")
    generics = _parse(generics_path)
    components: list[Component] = []
    errors: list[InterfaceError] = []
    for subsystem in _parse(_find(folder, "SALSubsystems.xml")).iter("SALSubsystem"):
        if names and _text(subsystem, "Name") not in names:
            continue
        try:
            components.append(_component(subsystem, folder, generics, generics_path))
        except InterfaceError as e:
            errors.append(e)
    return XmlInterfaces(tuple(components), tuple(errors))


def load_xml(folder: Path, names: Sequence[str] = ()) -> list[Component]:
    """Read components from the observatory's XML; see `read_xml`.

    Raises
    ------
    InterfaceError
        If a file is missing or wrong; the message says where.
    """
    interfaces = read_xml(folder, names)
    if interfaces.errors:
        raise interfaces.errors[0]
    return list(interfaces.components)
