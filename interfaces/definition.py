"""Read the project's own interface definitions (YAML)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

from interfaces.model import Component, Field, InterfaceError, Topic, TopicKind

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["GENERICS_FILE", "Generics", "load_component", "load_definitions"]

GENERICS_FILE = "generics.yaml"
"""Topics that components share."""
_MANDATORY = "mandatory"
"""Category of the generic topics that every component with generic topics has."""
_CATEGORIES = frozenset({_MANDATORY, "csc", "configurable"})
_SECTIONS = {
    "commands": TopicKind.COMMAND,
    "events": TopicKind.EVENT,
    "telemetry": TopicKind.TELEMETRY,
}
_HEADINGS = {"version", "component", "description", "indexed", "generics"}
_LIKE = "like"
_KEYS_OF_A_SISTER = {"component", "description", _LIKE}
_CATEGORY = "category"
_FIELD_KEYS = {"type", "units", "description", "max_length", "count"}


def _read(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as e:
        message = f"cannot read {path}: {e}"
        raise InterfaceError(message) from e
    if not isinstance(content, dict):
        message = f"{path} must be a mapping"
        raise InterfaceError(message)
    known = _KEYS_OF_A_SISTER if _LIKE in content else _HEADINGS | set(_SECTIONS)
    unknown = sorted(set(content) - known)
    if unknown:
        message = f"{path}: unknown key {', '.join(unknown)}"
        raise InterfaceError(message)
    return content


def _field(name: str, facts: Any, where: str) -> Field:  # noqa: ANN401 (YAML)
    if not isinstance(facts, dict) or not isinstance(facts.get("type"), str):
        message = f"{where}, field {name}: must be a mapping with a type"
        raise InterfaceError(message)
    unknown = sorted(set(facts) - _FIELD_KEYS)
    if unknown:
        message = f"{where}, field {name}: unknown key {', '.join(unknown)}"
        raise InterfaceError(message)
    if not facts.get("description"):
        message = f"{where}, field {name}: the description is missing"
        raise InterfaceError(message)
    try:
        return Field(name=name, **facts)
    except (InterfaceError, TypeError) as e:
        message = f"{where}: {e}"
        raise InterfaceError(message) from e


@dataclass(frozen=True)
class Generics:
    """The generic topics with the category of each, None for one that is added by its name."""

    topics: tuple[tuple[Topic, str | None], ...] = ()

    def selected(self, names: object, where: str) -> tuple[Topic, ...]:
        """Return the mandatory topics and those that a component names.

        Raises
        ------
        InterfaceError
            If the names are no list of categories and SAL names of topics.
        """
        known = _CATEGORIES | {topic.sal_name for topic, _ in self.topics}
        if not isinstance(names, list) or not known.issuperset(names):
            message = (
                f"{where}: generics must be a list of categories "
                f"({', '.join(sorted(_CATEGORIES))}) or topics (command_enterControl)"
            )
            raise InterfaceError(message)
        wanted = {_MANDATORY, *names}
        return tuple(
            topic
            for topic, category in self.topics
            if category in wanted or topic.sal_name in wanted
        )


def _categories(content: dict[str, Any], path: Path) -> Iterator[str | None]:
    for section in _SECTIONS:
        for name, facts in (content.get(section) or {}).items():
            category = facts.get(_CATEGORY)
            if category is not None and category not in _CATEGORIES:
                message = f"{path}, {section}, {name}: unknown category {category}"
                raise InterfaceError(message)
            yield category


def _topics(
    content: dict[str, Any], path: Path, more_keys: frozenset[str] = frozenset()
) -> Iterator[Topic]:
    for section, kind in _SECTIONS.items():
        for name, facts in (content.get(section) or {}).items():
            where = f"{path}, {section}, {name}"
            if not isinstance(facts, dict) or not facts.get("description"):
                message = f"{where}: must be a mapping with a description"
                raise InterfaceError(message)
            unknown = sorted(set(facts) - {"description", "fields"} - more_keys)
            if unknown:
                message = f"{where}: unknown key {', '.join(unknown)}"
                raise InterfaceError(message)
            fields = tuple(_field(n, f, where) for n, f in (facts.get("fields") or {}).items())
            yield Topic(name, kind, facts["description"], fields)


def load_component(path: Path, generics: Generics) -> Component:
    """Read one component.

    Parameters
    ----------
    path
        Its YAML file. One that says ``like: CCCamera`` has the topics of the component in
        ``CCCamera.yaml`` beside it.
    generics
        Topics to add to a component, as its ``generics`` say.

    Raises
    ------
    InterfaceError
        If the file is not a definition; the message says where.
    """
    content = _read(path)
    name = content.get("component")
    if not isinstance(name, str) or not name.isidentifier():
        message = f"{path}: component must be a name"
        raise InterfaceError(message)
    if _LIKE in content:
        return _sister(name, content, path, generics)
    own = tuple(_topics(content, path))
    if "generics" in content:
        own += generics.selected(content["generics"], str(path))
    return Component(
        name, str(content.get("description", "")), bool(content.get("indexed", False)), own
    )


def _sister(name: str, content: dict[str, Any], path: Path, generics: Generics) -> Component:
    like = content[_LIKE]
    if not isinstance(like, str) or not like.isidentifier():
        message = f"{path}: like must be the name of a component"
        raise InterfaceError(message)
    model_path = path.with_name(f"{like}.yaml")
    if _LIKE in _read(model_path):
        message = f"{path}: {like} is itself like another; name that one"
        raise InterfaceError(message)
    model = load_component(model_path, generics)
    return Component(name, str(content.get("description", "")), model.indexed, model.topics)


def load_definitions(folder: Path) -> tuple[str, list[Component]]:
    """Read all definitions of a folder.

    Returns
    -------
    version
        Version of the definitions, from `GENERICS_FILE`.
    components
        The components, by name.
    """
    generics_path = folder / GENERICS_FILE
    content = _read(generics_path)
    version = content.get("version")
    if not isinstance(version, str) or version.split() != [version]:
        message = f"{generics_path}: version must be one word"
        raise InterfaceError(message)
    topics = tuple(_topics(content, generics_path, frozenset({_CATEGORY})))
    categories = tuple(_categories(content, generics_path))
    generics = Generics(tuple(zip(topics, categories, strict=True)))
    paths = sorted(path for path in folder.glob("*.yaml") if path.name != GENERICS_FILE)
    return version, [load_component(path, generics) for path in paths]
