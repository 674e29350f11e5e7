"""Descriptions of a field and of a topic's type."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["PRIMITIVES", "STRING", "Field", "Primitive", "TopicType"]

STRING = "string"


@dataclass(frozen=True)
class Primitive:
    """A type of fixed size: its code in `struct`, its size in bytes, the value of a new field."""

    code: str
    size: int
    default: bool | int | float | str


PRIMITIVES = {
    "boolean": Primitive("?", 1, default=False),
    "octet": Primitive("B", 1, 0),
    "char": Primitive("c", 1, "\0"),
    "short": Primitive("h", 2, 0),
    "unsigned short": Primitive("H", 2, 0),
    "int": Primitive("i", 4, 0),
    "long": Primitive("i", 4, 0),
    "unsigned int": Primitive("I", 4, 0),
    "unsigned long": Primitive("I", 4, 0),
    "long long": Primitive("q", 8, 0),
    "unsigned long long": Primitive("Q", 8, 0),
    "float": Primitive("f", 4, 0.0),
    "double": Primitive("d", 8, 0.0),
}
"""IDL's primitive types."""


@dataclass(frozen=True)
class Field:
    """One field of a topic.

    Attributes
    ----------
    name
        Its name.
    type_name
        IDL type: `STRING` or a key of `PRIMITIVES`.
    bound
        Maximum length of a string; 0 if it is unbounded or not a string.
    length
        Number of elements of an array; 0 if it is not an array.
    """

    name: str
    type_name: str
    bound: int = 0
    length: int = 0

    @property
    def primitive(self) -> Primitive:
        """The field's primitive type; KeyError for a string."""
        return PRIMITIVES[self.type_name]

    @property
    def default(self) -> bool | int | float | str | list[bool | int | float | str]:
        """The value of a new field."""
        if self.type_name == STRING:
            return ""
        value = self.primitive.default
        return [value] * self.length if self.length else value


@dataclass(frozen=True)
class TopicType:
    """A topic's type: its name as ``module::struct``, its fields, the names of its key fields."""

    name: str
    fields: tuple[Field, ...]
    keys: tuple[str, ...] = ()
