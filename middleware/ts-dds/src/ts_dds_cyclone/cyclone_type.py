"""Create Cyclone's type object of a topic's type."""

from __future__ import annotations

from typing import Any

import cyclonedds.idl.annotations as annotate
from cyclonedds.idl import make_idl_struct
from cyclonedds.idl import types as cyclone_types

from ts_dds_cyclone.fields import STRING, Field, TopicType

__all__ = ["make_cyclone_type"]

idl: Any = cyclone_types
"""Its generics are created at run time; type checkers cannot follow that."""

_TYPES: dict[str, Any] = {
    "boolean": bool,
    "octet": idl.uint8,
    "char": idl.char,
    "short": idl.int16,
    "unsigned short": idl.uint16,
    "int": idl.int32,
    "long": idl.int32,
    "unsigned int": idl.uint32,
    "unsigned long": idl.uint32,
    "long long": idl.int64,
    "unsigned long long": idl.uint64,
    "float": idl.float32,
    "double": idl.float64,
}


def _member(field: Field) -> Any:  # noqa: ANN401 (cyclonedds' type objects)
    if field.type_name == STRING:
        return idl.bounded_str[field.bound] if field.bound else str
    element = _TYPES[field.type_name]
    return idl.array[element, field.length] if field.length else element


def make_cyclone_type(topic_type: TopicType) -> Any:  # noqa: ANN401 (a class made by cyclonedds)
    """Return a new cyclonedds class for a type; it takes some milliseconds."""
    made: Any = make_idl_struct(
        topic_type.name.rsplit("::", 1)[-1],
        topic_type.name,
        {field.name: _member(field) for field in topic_type.fields},
        dataclassify=False,
        field_annotations={key: {"key": True} for key in topic_type.keys} or None,
    )
    annotate.final(made)
    made.__idl__.populate()
    made.__idl__.fill_type_data()
    return made
