"""Write IDL in the line format that salobj and OpenSplice's ddsutil read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from interfaces.declaration import declaration
from interfaces.private import acknowledgement_topic, complete_fields
from interfaces.suffix import constant_line, topic_suffix

if TYPE_CHECKING:
    from collections.abc import Iterable

    from interfaces.model import Component, Field, Topic
    from interfaces.release import Release

__all__ = ["component_idl", "file_name"]

GENERATOR_VERSION = "ccarchiver-1"
"""Stands where SAL writes its own version."""


def file_name(component: str) -> str:
    """Return the name under which salobj looks for a component's IDL."""
    return f"sal_revCoded_{component}.idl"


def _quotable(text: str) -> str:
    """Return text that can stand in quotation marks on one line."""
    return " ".join(text.replace('"', "'").split())


def _field_line(field: Field, mark: str) -> str:
    metadata = f'(Units="{_quotable(field.units)}",Description="{_quotable(field.description)}")'
    return f"\t  {declaration(field)};{mark} // @Metadata={metadata}"


def _topic_lines(component: Component, topic: Topic, release: Release) -> Iterable[str]:
    struct = f"{topic.sal_name}_{topic_suffix(component, topic, release)}"
    private, public = complete_fields(component, topic, release)
    yield f'struct {struct} {{ // @Metadata=(Description="{_quotable(topic.description)}")'
    for field in private:
        yield _field_line(field, " //private")
    for field in public:
        yield _field_line(field, "")
    yield "\t};"
    keys = f" {release.index_name(component.name)}" if component.indexed else ""
    yield f"#pragma keylist {struct}{keys}"
    for constant in topic.constants:
        yield "\t" + constant_line(constant.name, constant.value, release)


def component_idl(component: Component, version: str, release: Release) -> str:
    """Return a component's IDL; the same definition gives the same bytes.

    Parameters
    ----------
    component
        The interface.
    version
        Version of the definitions, a word without spaces; salobj reports it as the XML version.
    release
        Release of SAL whose layout the IDL has.
    """
    topics = sorted(component.topics, key=lambda topic: topic.sal_name)
    if component.has_commands:
        topics.append(acknowledgement_topic())
    lines = [
        f"// SAL_VERSION={GENERATOR_VERSION} XML_VERSION={version}",
        f"module {component.name} {{",
    ]
    for topic in topics:
        lines += _topic_lines(component, topic, release)
    lines.append("};")
    return "\n".join(lines) + "\n"
