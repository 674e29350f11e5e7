"""The declaration of a field in IDL."""

from __future__ import annotations

from typing import TYPE_CHECKING

from interfaces.model import IDL_TYPES, STRING

if TYPE_CHECKING:
    from interfaces.model import Field

__all__ = ["declaration"]


def declaration(field: Field) -> str:
    """Return the type and the name of a field, with its lengths and without a semicolon."""
    idl_type = IDL_TYPES[field.type]
    if field.type == STRING and field.max_length is not None:
        idl_type = f"{STRING}<{field.max_length}>"
    return f"{idl_type}\t{field.name}{f'[{field.count}]' if field.is_array else ''}"
