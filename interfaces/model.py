"""What an interface consists of, wherever it was read from."""

from __future__ import annotations

import enum
from dataclasses import dataclass

__all__ = [
    "IDL_TYPES",
    "STRING",
    "Component",
    "Constant",
    "Field",
    "InterfaceError",
    "Topic",
    "TopicKind",
]

STRING = "string"

IDL_TYPES = {
    "boolean": "boolean",
    "byte": "octet",
    "octet": "octet",
    "short": "short",
    "int": "long",
    "long": "long",
    "long long": "long long",
    "unsigned short": "unsigned short",
    "unsigned int": "unsigned long",
    "unsigned long": "unsigned long",
    "unsigned long long": "unsigned long long",
    "float": "float",
    "double": "double",
    STRING: STRING,
}
"""SAL's types and the IDL types for them, as the observatory's generator has them: int is the
32-bit long, and byte is octet."""


class InterfaceError(ValueError):
    """A definition is wrong; the message says what and where."""


class TopicKind(enum.Enum):
    """Kinds of topics, with the prefix of their names as value."""

    COMMAND = "command_"
    EVENT = "logevent_"
    TELEMETRY = ""


@dataclass(frozen=True)
class Field:
    """One field.

    Attributes
    ----------
    name, description
        Its name and what it says.
    type
        SAL type, a key of `IDL_TYPES`.
    units
        Unit of measurement; ``unitless`` if it has none.
    max_length
        Most characters of a string; None if unbounded, or no string.
    count
        Number of elements; 1 for a scalar.
    is_counted_alone
        Whether a field with one element is an array of length 1 and no scalar.
    """

    name: str
    type: str
    description: str = ""
    units: str = "unitless"
    max_length: int | None = None
    count: int = 1
    is_counted_alone: bool = False

    @property
    def is_array(self) -> bool:
        """Whether the field is an array."""
        return self.count > 1 or self.is_counted_alone

    def __post_init__(self) -> None:
        """Refuse what IDL cannot express."""
        if not (self.name.isascii() and self.name.isidentifier()):
            message = f"field name {self.name!r} must consist of letters, digits and _"
            raise InterfaceError(message)
        if self.type not in IDL_TYPES:
            message = (
                f"field {self.name}: unknown type {self.type!r}; known are {', '.join(IDL_TYPES)}"
            )
            raise InterfaceError(message)
        sizes = (self.count, 1 if self.max_length is None else self.max_length)
        if any(type(size) is not int or size < 1 for size in sizes):
            message = f"field {self.name}: count and max_length must be whole numbers of at least 1"
            raise InterfaceError(message)
        if self.type == STRING and self.is_array:
            message = f"field {self.name}: SAL has no arrays of strings"
            raise InterfaceError(message)
        if self.max_length is not None and self.type != STRING:
            message = f"field {self.name}: only a string has a max_length"
            raise InterfaceError(message)


@dataclass(frozen=True)
class Constant:
    """One value of an enumeration: its complete name, and the value as it is written."""

    name: str
    value: str


@dataclass(frozen=True)
class Topic:
    """One topic without its private fields; ``constants`` follow it in the IDL."""

    name: str
    kind: TopicKind
    description: str = ""
    fields: tuple[Field, ...] = ()
    constants: tuple[Constant, ...] = ()

    def __post_init__(self) -> None:
        """Refuse doubled fields."""
        names = [field.name for field in self.fields]
        doubled = sorted({name for name in names if names.count(name) > 1})
        if doubled:
            message = f"topic {self.name}: field {', '.join(doubled)} is there twice"
            raise InterfaceError(message)

    @property
    def sal_name(self) -> str:
        """Name with the kind's prefix, for example ``logevent_summaryState``."""
        return self.kind.value + self.name


@dataclass(frozen=True)
class Component:
    """One SAL component."""

    name: str
    description: str
    indexed: bool
    topics: tuple[Topic, ...]

    def __post_init__(self) -> None:
        """Refuse doubled topics."""
        names = [topic.sal_name for topic in self.topics]
        doubled = sorted({name for name in names if names.count(name) > 1})
        if doubled:
            message = f"component {self.name}: topic {', '.join(doubled)} is there twice"
            raise InterfaceError(message)

    @property
    def has_commands(self) -> bool:
        """Whether there is any command, so that an ackcmd topic is needed."""
        return any(topic.kind is TopicKind.COMMAND for topic in self.topics)
