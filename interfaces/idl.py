"""Write IDL in the line format that salobj and OpenSplice's ddsutil read."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from interfaces.model import IDL_TYPES, STRING, Component, Field, Topic
from interfaces.private import acknowledgement_topic, complete_fields, index_field

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["component_idl", "file_name", "revision_code"]

GENERATOR_VERSION = "ccarchiver-1"
"""Stands where SAL writes its own version."""
REVISION_CODE_LENGTH = 8
"""Hexadecimal digits; private_revCode has room for 8 characters."""


def file_name(component: str) -> str:
    """Return the name under which salobj looks for a component's IDL."""
    return f"sal_revCoded_{component}.idl"


def _idl_type(field: Field) -> str:
    if field.type == "char":
        return f"{STRING}<{field.count}>"
    if field.type == STRING and field.max_length is not None:
        return f"{STRING}<{field.max_length}>"
    return IDL_TYPES[field.type]


def _declaration(field: Field) -> str:
    is_array = field.count > 1 and field.type != "char"
    return f"{_idl_type(field)}\t{field.name}{f'[{field.count}]' if is_array else ''};"


def _quotable(text: str) -> str:
    """Return text that can stand in quotation marks on one line."""
    return " ".join(text.replace('"', "'").split())


def _field_line(field: Field, mark: str) -> str:
    metadata = f'(Units="{_quotable(field.units)}",Description="{_quotable(field.description)}")'
    return f"\t  {_declaration(field)}{mark} // @Metadata={metadata}"


def revision_code(component: Component, topic: Topic) -> str:
    """Return a code that changes exactly when names, types or order of the fields do.

    Units and descriptions do not count: samples of two definitions that differ in them alone
    are the same on the wire.
    """
    private, public = complete_fields(component, topic)
    words = [component.name, topic.sal_name, *(_declaration(field) for field in private + public)]
    return hashlib.sha256("\n".join(words).encode()).hexdigest()[:REVISION_CODE_LENGTH]


def _topic_lines(component: Component, topic: Topic) -> Iterable[str]:
    struct = f"{topic.sal_name}_{revision_code(component, topic)}"
    private, public = complete_fields(component, topic)
    yield f'struct {struct} {{ // @Metadata=(Description="{_quotable(topic.description)}")'
    for field in private:
        yield _field_line(field, " //private")
    for field in public:
        yield _field_line(field, "")
    yield "\t};"
    keys = f" {index_field(component.name).name}" if component.indexed else ""
    yield f"#pragma keylist {struct}{keys}"
    for constant in topic.constants:
        yield f"\t const long {topic.name}_{constant.name}={constant.value};"


def component_idl(component: Component, version: str) -> str:
    """Return a component's IDL; the same definition gives the same bytes.

    Parameters
    ----------
    component
        The interface.
    version
        Version of the definitions, a word without spaces; salobj reports it as the XML version.
    """
    topics = list(component.topics)
    if component.has_commands:
        topics.append(acknowledgement_topic())
    topics.sort(key=lambda topic: topic.sal_name)
    lines = [
        f"// SAL_VERSION={GENERATOR_VERSION} XML_VERSION={version}",
        f"module {component.name} {{",
        *(f"\t const long {c.name}={c.value};" for c in component.constants),
    ]
    for topic in topics:
        lines += _topic_lines(component, topic)
    lines.append("};")
    return "\n".join(lines) + "\n"
