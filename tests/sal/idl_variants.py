"""Folders of IDL files as several releases of SAL and of the definitions have them.

Each variant is made from the IDL of this project by a change of its topics. Only facts of the
releases are here: which topics and fields they have, and the types of these.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ccarchiver_core.config.site_sections import SalNames
from ccarchiver_core.sal_interface.needs import PRIVATE, needs_of
from interfaces.__main__ import COMMITTED_IDL
from interfaces.idl import file_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

SETTINGS_EVENTS = (
    "logevent_settingVersions",
    "logevent_settingsApplied",
    "logevent_appliedSettingsMatchStart",
)
"""Of configurable components only, such as the cameras; CCArchiver has them in no release."""

_STRUCT = re.compile(r"struct (\w+)_\w+ \{")


@dataclass(frozen=True)
class Topic:
    """One topic: its name, and the declaration of each field by name."""

    name: str
    fields: dict[str, str]

    def without(self, *names: str) -> Topic:
        """Return the topic without some fields."""
        return replace(self, fields={n: d for n, d in self.fields.items() if n not in names})

    def having(self, **declarations: str) -> Topic:
        """Return the topic with fields added at its end, before `priority`, or replaced."""
        fields = dict(self.fields)
        last = {"priority": fields.pop("priority")} if "priority" in fields else {}
        return replace(self, fields=fields | declarations | last)


@dataclass(frozen=True)
class Variant:
    """A kind of IDL: its versions, and what it makes of each topic (None: it has no such topic)."""

    sal: str
    xml: str
    changes: tuple[Callable[[Topic], Topic | None], ...] = ()
    settings_events: bool = False
    """Whether the archiver has the settings events."""

    def write(self, folder: Path) -> Path:
        """Write the IDL of the three components of ComCam; return the folder."""
        for component in SalNames().all:
            topics = [self._changed(topic) for topic in self._original(component)]
            text = _text(component, self, [topic for topic in topics if topic is not None])
            (folder / file_name(component)).write_text(text)
        return folder

    def _original(self, component: str) -> list[Topic]:
        topics = _committed(component)
        if self.settings_events and component == SalNames().archiver:
            camera = _committed(SalNames().camera)
            topics += [topic for topic in camera if topic.name in SETTINGS_EVENTS]
        return topics

    def _changed(self, topic: Topic) -> Topic | None:
        changed: Topic | None = topic
        for change in self.changes:
            changed = None if changed is None else change(changed)
        return changed

    def but(self, *changes: Callable[[Topic], Topic | None]) -> Variant:
        """Return this variant with further changes."""
        return replace(self, changes=(*self.changes, *changes))


def lacking_topic(name: str) -> Callable[[Topic], Topic | None]:
    """Return the change that removes a topic."""
    return lambda topic: None if topic.name == name else topic


def lacking_field(topic_name: str, name: str) -> Callable[[Topic], Topic | None]:
    """Return the change that removes a field of a topic."""
    return lambda topic: topic.without(name) if topic.name == topic_name else topic


def _committed(component: str) -> list[Topic]:
    topics: list[Topic] = []
    for line in (COMMITTED_IDL / file_name(component)).read_text().splitlines():
        if match := _STRUCT.match(line):
            topics.append(Topic(match[1], {}))
        elif line.startswith("\t  "):
            declaration = line.strip().partition(";")[0]
            topics[-1].fields[declaration.split()[-1]] = f"\t{declaration};"
    return topics


def _text(component: str, variant: Variant, topics: Iterable[Topic]) -> str:
    lines = [f"// SAL_VERSION={variant.sal} XML_VERSION={variant.xml}", f"module {component} {{"]
    for topic in topics:
        content = "\n".join(topic.fields.values())
        # Another suffix for other fields: a type must have one definition in a process.
        suffix = hashlib.sha256(f"{component} {topic.name}\n{content}".encode()).hexdigest()[:8]
        lines += [f"struct {topic.name}_{suffix} {{", content, "\t};"]
        lines += [f"#pragma keylist {topic.name}_{suffix}"]
    return "\n".join([*lines, "};"]) + "\n"


def _as_xml_10_0(topic: Topic) -> Topic:
    return (
        topic.without("subsystem") if topic.name.endswith("ogLevel") else topic.without("timestamp")
    )


def _as_sal_7(topic: Topic) -> Topic:
    match topic.name:
        case "ackcmd":
            return topic.having(result="\tstring\tresult;")
        case "command_start":
            return topic.without("settingsToApply").having(
                configurationOverride="\tstring\tconfigurationOverride;"
            )
        case "logevent_startIntegration":
            topic = topic.having(mode="\tstring\tmode;", timeout="\tdouble\ttimeout;")
        case _:
            pass
    return topic.without("priority")


def _as_needed(topic: Topic) -> Topic | None:
    needs = [
        need
        for component in needs_of(SalNames()).values()
        for need in component
        if need.topic == topic.name
    ]
    if not any(need.is_required for need in needs):
        return None
    (need,) = needs
    kept = {"private_revCode", "private_rcvStamp", *PRIVATE, *need.fields}
    if topic.name == "ackcmd":  # salobj sets all its fields
        return topic
    return topic.without(*(name for name in topic.fields if name not in kept))


XML_10_0 = Variant("5.1.1", "10.0.0", (_as_xml_10_0,))
XML_10_1 = Variant("6.1.1", "10.1.0")
CONFIGURABLE = Variant("6.1.1", "10.1.0-configurable", settings_events=True)
"""CCArchiver with the settings events, as archivers had before their release 10."""
XML_12 = Variant("7.0.0", "12.0.0", (_as_sal_7,))
XML_15 = Variant("7.4.1", "15.0.0", (_as_sal_7,))
MINIMAL = Variant("7.4.1", "minimal", (_as_needed,))
