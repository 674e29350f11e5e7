"""Every setting: key, kind, default, meaning, and whether the replaced archiver has it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter

from ccarchiver_core.config.settings import Settings
from ccarchiver_core.config.site_file import SiteFile
from docs._ext.reference.markdown import code, table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic import BaseModel

REPLACED = (
    Path(__file__).resolve().parents[3]
    / "tests/data/config/good_site_of_the_replaced_archiver.yaml"
)
"""A site file of the replaced archiver, with every key that it supports."""

HEAD = ("key", "kind", "default", "meaning", "in old files")

Schema = dict[str, Any]
"""A JSON schema, as pydantic generates it."""

_KINDS = {
    "integer": "whole number",
    "number": "number",
    "string": "text",
    "boolean": "true or false",
    "array": "list",
}
_BOUNDS = {
    "exclusiveMinimum": "> {}",
    "minimum": "≥ {}",
    "exclusiveMaximum": "< {}",
    "maximum": "≤ {}",
}
_TELLING = {"type", "anyOf", "enum", "$ref"}
NOT_EMPTY = {"minLength": 1, "minItems": 1}


def settings_lines() -> list[str]:
    """Return the Markdown of the reference: the keys of ROOT, then a table for each section."""
    schema = Settings.model_json_schema(by_alias=True)
    replaced = set(_paths(SiteFile(REPLACED).root, ()))
    return list(_section(Settings, schema, schema.get("$defs", {}), (), replaced))


def _section(
    model: type[BaseModel],
    part: Schema,
    parts: Schema,
    above: tuple[str, ...],
    replaced: set[tuple[str, ...]],
) -> Iterator[str]:
    rows = []
    below: list[tuple[type[BaseModel], tuple[str, ...], Schema, str]] = []
    for key, facts in part["properties"].items():
        path = (*above, key)
        annotation: Any = model.model_fields[key.lower()].annotation
        section = _referred(facts, parts)
        if section is not None and "properties" in section:
            below.append((annotation, path, section, str(facts.get("description", ""))))
            continue
        if not _TELLING & set(facts):  # a custom validator hides the kind from the schema
            facts = {**TypeAdapter(annotation).json_schema(), **facts}  # noqa: PLW2901 (the same facts, completed)
        rows.append(_row(path, facts if section is None else {**section, **facts}, parts, replaced))
    if rows:
        yield from table(HEAD, rows)
    for inner, path, section, meaning in below:
        yield from ("#" * (len(path) + 2) + " " + ".".join(path), "", meaning, "")
        yield from _section(inner, section, parts, path, replaced)


def _row(
    path: tuple[str, ...], facts: Schema, parts: Schema, replaced: set[tuple[str, ...]]
) -> tuple[str, ...]:
    meaning = str(facts.get("description", "")).replace("``", "`")
    return (
        code(path[-1]),
        _kind(facts, parts),
        _default(facts),
        meaning,
        "yes" if path in replaced else "",
    )


def _referred(facts: Schema, parts: Schema) -> Schema | None:
    reference = facts.get("$ref")
    return None if reference is None else parts[reference.rpartition("/")[2]]


def _kind(facts: Schema, parts: Schema) -> str:
    """Return a description of the values of a key."""
    choices = [one for one in facts.get("anyOf", ()) if one.get("type") != "null"]
    if choices:
        kinds = dict.fromkeys(_kind(_referred(one, parts) or one, parts) for one in choices)
        return " or ".join(kinds)
    if "enum" in facts:
        return ", ".join(code(str(one)) for one in facts["enum"])
    if facts.get("format") in {"path", "file-path", "directory-path"}:
        return "path"
    if facts.get("format") == "password":
        return "text, secret"
    kind = _KINDS.get(
        facts.get("type", ""), "mapping" if facts.get("type") == "object" else "value"
    )
    if facts.get("type") == "array":
        of = facts.get("items", {})
        kind = (
            f"list of {_kind(_referred(of, parts) or of, parts).partition(',')[0]}" if of else kind
        )
    bounds = [how.format(facts[name]) for name, how in _BOUNDS.items() if name in facts]
    if any(facts.get(name) == least for name, least in NOT_EMPTY.items()):
        bounds.append("not empty")
    return ", ".join([kind, *bounds])


def _default(facts: Schema) -> str:
    match facts.get("default"):
        case None:
            return "must be set" if "default" not in facts else ""
        case bool(value):
            return code(str(value).lower())
        case float(value):
            return code(str(int(value)) if value.is_integer() else str(value))
        case list(values):
            return code(", ".join(str(one) for one in values))
        case value:
            return code(str(value))


def _paths(content: dict[str, Any], above: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    for key, value in content.items():
        yield (*above, key)
        if isinstance(value, dict):
            yield from _paths(value, (*above, key))
