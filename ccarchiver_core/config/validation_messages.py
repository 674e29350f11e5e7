"""Messages about wrong values in a site file, for the person who corrects it."""

from __future__ import annotations

import difflib
import enum
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args, get_origin

import yaml

from ccarchiver_core.config.renamed_settings import RENAMED, explain
from ccarchiver_core.config.typed_values import field_of, section_of
from ccarchiver_core.config.value_types import Hidden

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import BaseModel
    from pydantic.fields import FieldInfo
    from pydantic_core import ErrorDetails

    from ccarchiver_core.config.site_file import KeyPath, SiteFile

PROBLEMS = {
    "bool_parsing": "{given} is neither true nor false",
    "enum": "{given} is none of the possible values",
    "bool_type": "{given} is neither true nor false",
    "dict_type": "{given} is not a mapping",
    "finite_number": "{given} is not a finite number",
    "float_parsing": "{given} is not a number",
    "float_type": "{given} is not a number",
    "greater_than": "{given} is too small",
    "greater_than_equal": "{given} is too small",
    "int_from_float": "{given} is not a whole number",
    "int_parsing": "{given} is not a whole number",
    "int_parsing_size": "{given} has too many digits",
    "int_type": "{given} is not a whole number",
    "less_than": "{given} is too large",
    "less_than_equal": "{given} is too large",
    "model_type": "{given} is not a section",
    "path_type": "{given} is not a path",
    "string_too_short": "the text is empty",
    "string_type": "{given} is not a text",
    "too_short": "the list is empty",
    "tuple_type": "{given} is not a list",
}
"""Sentence for each type of pydantic's errors that the settings can cause."""

OTHER_PROBLEM = "{given} cannot be used"
MISSING = "no value is given"

RULE, UNKNOWN_KEY = "value_error", "extra_forbidden"
"""Types of pydantic's errors for a rule of ours, which has its own text, and for an unknown key."""

LONGEST_VALUE = 60
"""Characters of a value that a message shows."""

CLOSE = 0.8
"""Similarity from which a message names a key as the nearest one; of equal words it is 1."""

_SECRET = re.compile(r"@|://|-----BEGIN")
"""What an address with a password, or a private key, has."""

_SECRET_WORD = re.compile(r"\S*(?:@|://)\S*")
"""Such an address in the text of a rule."""

_KEY = re.compile(r"[A-Z][A-Z_]+")
"""A word that may be a key, in the text of an error."""


@dataclass(frozen=True)
class _Place:
    """A key of the settings."""

    path: KeyPath
    field: FieldInfo | None
    """Definition of the key; None for ROOT."""
    section: type[BaseModel]
    """Section that has the key, or that the key is."""


def message(error: ErrorDetails, site: SiteFile, model: type[BaseModel]) -> str:
    """Return file, line, key, the value given, what is expected, and what to type.

    Parameters
    ----------
    error : `pydantic_core.ErrorDetails`
        One error of the validation.
    site : `SiteFile`
        The file.
    model : `type` [`pydantic.BaseModel`]
        Class of the settings below ROOT.
    """
    path = tuple(part for part in error["loc"] if isinstance(part, str))
    name = ".".join(("ROOT", *path))
    place = _find(path, model)
    if error["type"] == UNKNOWN_KEY:
        if path[0] in RENAMED:
            return explain(site, path[0])
        return f"{site.where(path)}: {_unknown(path, place)}"
    field = place.field
    if field is None or (error["type"] == RULE and section_of(field) is not None):
        # A problem with several keys together is an error of their section. The line in the message
        # is that of the first key in the text that the file has.
        text = _SECRET_WORD.sub("…", _rule(error))
        below = ((*path, word) for word in _KEY.findall(text))
        at = next((key for key in below if site.line(key) is not None), path)
        return f"{site.where(at)}: {name}: {text}"
    problem = _problem(error, field, site.text(path), is_below=path != place.path)
    return f"{site.where(path)}: {name}: {problem}, {_what_to_type(field, place.path[-1])}"


def variable_message(error: ErrorDetails, variable: str) -> str:
    """Return the message about a wrong value of an environment variable that is true or false."""
    return (
        f"${variable}: {_given(error['input'])} is neither true nor false; "
        f"type {variable}=true or {variable}=false, or unset it"
    )


def _find(path: KeyPath, model: type[BaseModel]) -> _Place:
    """Return the innermost key of the settings on a path, which can lead on into a mapping."""
    found = _Place((), None, model)
    for number, key in enumerate(path):
        field = field_of(key, found.section)
        if field is None:
            break
        section = section_of(field)
        found = _Place(path[: number + 1], field, section or found.section)
        if section is None:
            break
    return found


def _unknown(path: KeyPath, place: _Place) -> str:
    """Return the text about an unknown key. Its value is not shown: it may be a password."""
    name = ".".join(("ROOT", *path))
    known = [field.upper() for field in place.section.model_fields]
    near = difflib.get_close_matches(path[-1].upper(), known, n=1, cutoff=CLOSE)
    text = f"unknown key {name}; remove it or correct its spelling"
    return f"{text} (the nearest key is {near[0]})" if near else text


def _problem(error: ErrorDetails, field: FieldInfo, written: str | None, *, is_below: bool) -> str:
    """Return what is wrong with a value, and what is expected.

    Parameters
    ----------
    error : `pydantic_core.ErrorDetails`
        The error.
    field : `pydantic.fields.FieldInfo`
        Definition of the key.
    written : `str`, optional
        Text of the value in the file.
    is_below : `bool`
        Whether the value is in the mapping that is the value of the key.
    """
    value = error["input"]
    is_hidden = any(isinstance(mark, Hidden) for mark in field.metadata)
    given = "the value" if is_hidden else _given(value, written)
    if value is not None and error["type"] == RULE:
        return f"{given} {_rule(error)}"
    problem = MISSING if value is None else PROBLEMS.get(error["type"], OTHER_PROBLEM)
    expected = "a list of texts, at least one" if is_below else _expected(field)
    return f"{problem.format(given=given)}; write {expected}"


def _what_to_type(field: FieldInfo, key: str) -> str:
    example = _example(field)
    return f"for example {key}: {example}" if example else f"or remove the key {key}"


def _rule(error: ErrorDetails) -> str:
    return str(error["ctx"]["error"])


def _given(value: object, written: str | None = None) -> str:
    """Return a value as in the file, unless it may be a secret."""
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    text = str(value) if written is None or isinstance(value, str) else written
    if _SECRET.search(text):
        return "the value"
    if len(text) > LONGEST_VALUE:
        text = f"{text[:LONGEST_VALUE]}…"
    return repr(text) if isinstance(value, str) else text


def _expected(field: FieldInfo) -> str:
    """Return the type and the range of the values of a key."""
    section = section_of(field)
    if section is not None:
        return f"its keys indented below it ({', '.join(map(str.upper, section.model_fields))})"
    kind: Any = field.annotation
    if type(None) in get_args(kind):
        kind = get_args(kind)[0]
    if get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return f"one of {', '.join(str(one.value) for one in kind)}"
    texts = "a list of texts, at least one" if _is_not_empty(field) else "a list of texts"
    expected: dict[object, str] = {
        bool: "true or false",
        int: f"a whole number{_whole_range(_bounds(field))}",
        float: f"a number{_range(_bounds(field))}",
        tuple: texts,
        dict: "a mapping of lists",
        Path: "the whole path, beginning with /",
    }
    return expected.get(get_origin(kind) or kind, "a text that is not empty")


def _bounds(field: FieldInfo) -> dict[str, float]:
    return {
        name: getattr(rule, name)
        for rule in field.metadata
        for name in ("gt", "ge", "lt", "le")
        if getattr(rule, name, None) is not None
    }


def _whole_range(bounds: Mapping[str, float]) -> str:
    lowest = bounds.get("ge", bounds.get("gt", 0) + 1)
    highest = bounds.get("le", bounds["lt"] - 1 if "lt" in bounds else None)
    return f" of at least {lowest}" if highest is None else f" from {lowest} to {highest}"


def _range(bounds: Mapping[str, float]) -> str:
    return f" greater than {bounds['gt']:g}" if "gt" in bounds else ""


def _is_not_empty(field: FieldInfo) -> bool:
    return any(getattr(rule, "min_length", None) for rule in field.metadata)


def _example(field: FieldInfo) -> str:
    """Return a valid value in the form of a site file; the default, if it has a text."""
    if section_of(field) is not None:
        return ""
    value = field.examples[0] if field.examples else field.default
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    value = list(value) if isinstance(value, tuple) else value
    value = str(value) if isinstance(value, Path | enum.StrEnum) else value
    text: str = yaml.safe_dump(value, default_flow_style=True, width=1_000)
    return text.removesuffix("\n").removesuffix("\n...")
