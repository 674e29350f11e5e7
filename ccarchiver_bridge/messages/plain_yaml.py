"""Quick reading and writing of the usual messages, without libyaml.

Nearly all messages are one mapping of short ASCII texts and numbers. For these, one regular
expression takes a tenth of the time. Each function returns None for anything else, and
`ccarchiver_bridge.messages.yaml_codec` then uses libyaml. For what they accept, both have exactly
the same result as libyaml.
"""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING

import yaml

if TYPE_CHECKING:
    from collections.abc import Mapping

_KEY = r"[A-Za-z_][A-Za-z0-9_]{0,63}"
"""A key that needs no quotes, if it is none of `_NULLS`; libyaml accepts no more than 1,024."""

_WORD = r"[A-Za-z0-9_/](?:[A-Za-z0-9_./@+=-]|:(?=[A-Za-z0-9_./]))*"
"""A text without blanks that needs no quotes in block style."""

_QUOTED = r"[ !#-&(-\[\]-~]*"
"""Printable ASCII without quotes and backslashes: quotes of both kinds contain it unchanged."""

_NULLS = frozenset({"null", "Null", "NULL"})

_BLOCK_LINE = re.compile(rf"({_KEY}): (?:({_WORD}(?: {_WORD})*)|'({_QUOTED})'|\"({_QUOTED})\")\n")

_FLOW_ITEM = re.compile(rf'"({_KEY})": (?:([0-9]{{1,64}})|"({_QUOTED})")(, (?=")|\}}\Z)')

_PLAIN = re.compile(_WORD)

_PLAIN_KEY = re.compile(_KEY)

_FLOAT = re.compile(r"[0-9]+\.[0-9]+")
"""The form of a float that Python and YAML have in common."""

_RESOLVERS: Mapping[str, list[tuple[str, re.Pattern[str]]]] = (
    yaml.CSafeDumper.yaml_implicit_resolvers
)
"""For each first character, the forms of texts that YAML takes for a value of another type."""


def read(text: str) -> dict[str, str | None] | None:
    """Return the fields of a message in block style, or in flow style with all keys in quotes."""
    if text.startswith('{"'):
        return _read_flow(text)
    fields: dict[str, str | None] = {}
    position = count = 0
    while found := _BLOCK_LINE.match(text, position):
        key, word, single, double = found.groups()
        if word is not None:
            fields[key] = None if word in _NULLS else word
        else:
            fields[key] = double if single is None else single
        position = found.end()
        count += 1
    if position != len(text) or len(fields) != count or not fields.keys().isdisjoint(_NULLS):
        return None
    return fields or None


def _read_flow(text: str) -> dict[str, str | None] | None:
    fields: dict[str, str | None] = {}
    position, count = 1, 0
    while found := _FLOW_ITEM.match(text, position):
        key, number, quoted, _ = found.groups()
        fields[key] = quoted if number is None else number
        position = found.end()
        count += 1
    return fields if position == len(text) and len(fields) == count else None


def write(fields: Mapping[str, object]) -> str | None:
    """Return a mapping in block style with sorted keys, as `yaml.dump` does."""
    lines: list[str] = []
    return "\n".join(lines) + "\n" if fields and _write_mapping(fields, "", lines) else None


def _write_mapping(fields: Mapping[str, object], indent: str, lines: list[str]) -> bool:
    """Append the lines of a mapping; return False if it needs libyaml."""
    for key in sorted(fields):
        if not _is_plain_key(key):
            return False
        value = fields[key]
        kind = type(value)
        if kind is dict and value:
            lines.append(f"{indent}{key}:")
            if not _write_mapping(value, f"{indent}  ", lines):  # type: ignore[arg-type]  # a dict
                return False
        elif kind is list and value:
            items = [_scalar(item) for item in value]  # type: ignore[attr-defined]  # a list
            if None in items:
                return False
            lines.append(f"{indent}{key}:")
            lines += [f"{indent}- {item}" for item in items]
        else:
            scalar = _scalar(value)
            if scalar is None:
                return False
            lines.append(f"{indent}{key}: {scalar}")
    return True


@functools.lru_cache(maxsize=256)  # the messages have about 30 different keys
def _is_plain_key(key: str) -> bool:
    """Return whether a key needs no quotes."""
    return _PLAIN_KEY.fullmatch(key) is not None and not _is_special(key)


def _scalar(value: object) -> str | None:
    """Return a scalar as YAML has it; None if it needs libyaml."""
    kind = type(value)
    if kind is int:
        return str(value)
    if kind is float:
        text = repr(value)
        return text if _FLOAT.fullmatch(text) else None
    if kind is not str or _PLAIN.fullmatch(text := str(value)) is None:
        return None
    return f"'{text}'" if _is_special(text) else text


def _is_special(text: str) -> bool:
    """Return whether YAML takes a text without quotes for a value of another type."""
    return any(form.match(text) for _, form in _RESOLVERS.get(text[0], ()))
