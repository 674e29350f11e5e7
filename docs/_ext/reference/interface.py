"""The topics of a SAL component, from the definitions from which its IDL is generated."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from docs._ext.reference.markdown import code, table
from interfaces.definition import load_definitions

if TYPE_CHECKING:
    from collections.abc import Collection

    from interfaces.model import Component, Field, Topic, TopicKind

DEFINITIONS = Path(__file__).resolve().parents[3] / "interfaces" / "definitions"
HEAD = ("field", "type", "unit", "meaning")


@cache
def components() -> dict[str, Component]:
    """Return all components by name."""
    return {component.name: component for component in load_definitions(DEFINITIONS)[1]}


def interface_lines(component: str, kind: TopicKind, names: Collection[str] = ()) -> list[str]:
    """Return the Markdown of a component's topics of one kind, with a table of fields for each.

    Parameters
    ----------
    component
        The component's name.
    kind
        The kind of the topics.
    names
        Only these topics; all if empty.

    Raises
    ------
    ValueError
        If there is no such component or topic.
    """
    if component not in components():
        msg = f"no SAL component {component!r}; there are {', '.join(components())}"
        raise ValueError(msg)
    topics = {topic.name: topic for topic in components()[component].topics if topic.kind is kind}
    unknown = sorted(set(names) - set(topics))
    if unknown:
        msg = (
            f"{component} has no {kind.name.lower()} {', '.join(unknown)}; "
            f"there are {', '.join(topics)}"
        )
        raise ValueError(msg)
    return [line for name in names or topics for line in _topic(topics[name])]


def _topic(topic: Topic) -> list[str]:
    head = [f"### {topic.name}", "", topic.description, ""]
    rows = [
        (code(one.name), _type(one), "" if one.units == "unitless" else one.units, one.description)
        for one in topic.fields
    ]
    return head + (table(HEAD, rows) if rows else ["No fields.", ""])


def _type(field: Field) -> str:
    kind = (
        field.type
        if field.max_length is None
        else f"{field.type}, up to {field.max_length} characters"
    )
    return kind if field.count == 1 else f"{kind}, {field.count} of them"
