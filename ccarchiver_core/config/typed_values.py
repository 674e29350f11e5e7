"""The values of a site file, by the types of the settings: text as written, or YAML's meaning."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_args, get_origin

from pydantic import BaseModel

from ccarchiver_core.config.yaml_tree import Scalar, written

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pydantic.fields import FieldInfo


def typed_values(content: Mapping[str, object], model: type[BaseModel]) -> dict[str, object]:
    """Return the content of a section with plain values.

    A value of a setting that is a text, a path, or a list of them is the text in the file; other
    values have their meaning in YAML.
    """
    values: dict[str, object] = {}
    for key, value in content.items():
        field = field_of(key, model)
        section = None if field is None else section_of(field)
        if section is not None and isinstance(value, dict):
            values[key] = typed_values(value, section)
        elif field is None:
            values[key] = _meaning(value)
        else:
            types = set(_types(field.annotation))
            values[key] = written(value) if types & {str, Path} else _meaning(value, types)
    return values


def field_of(key: str, model: type[BaseModel]) -> FieldInfo | None:
    """Return the definition of a key of a section; None for an unknown key."""
    return next(
        (field for name, field in model.model_fields.items() if name.upper() == key),
        None,
    )


def section_of(field: FieldInfo) -> type[BaseModel] | None:
    """Return the section that a key holds; None if it holds a value."""
    kind = field.annotation
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def _types(annotation: object) -> Iterator[type]:
    """Yield the types of the values within an annotation."""
    if get_origin(annotation) is Annotated:
        yield from _types(get_args(annotation)[0])
    elif inner := get_args(annotation):
        for one in inner:
            yield from _types(one)
    elif isinstance(annotation, type):
        yield annotation


def _meaning(value: object, types: set[type] | None = None) -> object:
    match value:
        case Scalar(text=text, value=bool()) if types is not None and bool not in types:
            # Python would take true for the number 1.
            return text
        case Scalar():
            return value.value
        case list():
            return [_meaning(one) for one in value]
        case dict():
            return {key: _meaning(one) for key, one in value.items()}
        case _:
            return value
