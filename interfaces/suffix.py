"""The suffix of a topic's name, which SAL derives from the topic's fields.

Peers whose suffixes differ do not receive each other. It is the beginning of an MD5 over a text
with the names, types and order of the fields and the values of the enumerations. Units,
descriptions and the index of an indexed component are not in it.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from interfaces.declaration import declaration
from interfaces.private import PRIVATE, public_fields

if TYPE_CHECKING:
    from collections.abc import Iterator

    from interfaces.model import Component, Field, Topic
    from interfaces.release import Release

__all__ = ["constant_line", "topic_suffix"]

SUFFIX_LENGTH = 8
"""Hexadecimal digits; private_revCode has room for 8 characters."""

UNALIGNED = frozenset({"private_revCode"})
"""Private fields with one space before their comment in SAL's text; the others have four."""


def constant_line(name: str, value: str, release: Release) -> str:
    """Return the line that defines one value of an enumeration."""
    return f" const {release.constant_type} {name}={value};"


def _private_line(field: Field) -> str:
    space = " " if field.name in UNALIGNED else "    "
    return f"  {declaration(field)};{space}//private"


def _lines(component: Component, topic: Topic, release: Release) -> Iterator[str]:
    name = f"{component.name}_{topic.sal_name}"
    yield f"struct {name} {{"
    for field in PRIVATE:
        yield _private_line(field)
    for field in public_fields(topic, release):
        yield f"  {declaration(field)};"
    yield "};"
    yield f"#pragma keylist {name}"
    for constant in topic.constants:
        yield constant_line(constant.name, constant.value, release)


def topic_suffix(component: Component, topic: Topic, release: Release) -> str:
    """Return the suffix of a topic's name."""
    text = "".join(f"{line}\n" for line in _lines(component, topic, release))
    # MD5 is SAL's choice; nothing depends on its strength.
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()[:SUFFIX_LENGTH]
