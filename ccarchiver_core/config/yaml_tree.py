"""The content of a YAML document, in which each scalar keeps its text.

YAML reads an unquoted ``00`` as the number 0, ``22:00`` as 1320, ``no`` as false and ``2026-01-01``
as a date. For a setting that is a text, the characters in the file count. Only the reader of a
setting knows its type, so the tree keeps both.
"""

from __future__ import annotations

from dataclasses import dataclass

import yaml

_TAG = "tag:yaml.org,2002:"
_NULL = f"{_TAG}null"
_TEXTS = {f"{_TAG}str", f"{_TAG}value", f"{_TAG}merge", f"{_TAG}timestamp"}
"""Tags of the scalars that are texts for every setting: no setting is a date."""
_TYPED = {f"{_TAG}{kind}" for kind in ("bool", "int", "float")}
_COLLECTIONS = {f"{_TAG}map", f"{_TAG}seq"}


@dataclass(frozen=True)
class Scalar:
    """A scalar that YAML reads as a number or a boolean."""

    text: str
    """The characters in the file."""
    value: float | bool
    """The meaning in YAML."""


Tree = Scalar | str | None | list["Tree"] | dict[str, "Tree"]
"""Content of a node. The keys of a mapping are texts, as written."""


class TreeError(yaml.MarkedYAMLError):
    """The document is YAML, but not what a site file or a credentials file can have."""


def compose(text: str | bytes) -> yaml.Node | None:
    """Return the root node of the only document; None if the text is empty.

    Raises
    ------
    yaml.YAMLError
        If the text is not YAML.
    """
    node: yaml.Node | None = yaml.compose(text, Loader=yaml.CSafeLoader)
    return node


def tree_of(node: yaml.Node) -> Tree:
    """Return the content of a node.

    Raises
    ------
    TreeError
        If a node has a tag other than those of YAML's own values, is within itself, or has a key
        that is not a text.
    yaml.YAMLError
        If a merge key does not name a mapping.
    """
    return _Builder().build(node)


def written(value: object) -> object:
    """Return a content with the text of each scalar."""
    match value:
        case Scalar():
            return value.text
        case list():
            return [written(one) for one in value]
        case dict():
            return {key: written(one) for key, one in value.items()}
        case _:
            return value


class _Builder:
    """Reader of the nodes of one document; each aliased node is read once."""

    def __init__(self) -> None:
        self._done: dict[int, Tree] = {}
        self._within: set[int] = set()

    def build(self, node: yaml.Node) -> Tree:
        if isinstance(node, yaml.ScalarNode):
            return _scalar(node)
        if node.tag not in _COLLECTIONS:
            raise _unsupported(node)
        if id(node) in self._done:
            return self._done[id(node)]
        if id(node) in self._within:
            raise TreeError(
                problem="a value contains itself; write it out instead of the alias",
                problem_mark=node.start_mark,
            )
        self._within.add(id(node))
        built: Tree = (
            self._mapping(node)
            if isinstance(node, yaml.MappingNode)
            else [self.build(one) for one in node.value]
        )
        self._within.remove(id(node))
        self._done[id(node)] = built
        return built

    def _mapping(self, node: yaml.MappingNode) -> dict[str, Tree]:
        yaml.constructor.SafeConstructor().flatten_mapping(node)  # the merge key, <<
        built: dict[str, Tree] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise TreeError(
                    problem="a key is a list or a mapping; write a text",
                    problem_mark=key.start_mark,
                )
            built[key.value] = self.build(value)
        return built


def _scalar(node: yaml.ScalarNode) -> Tree:
    if node.tag == _NULL:
        return None
    text: str = node.value
    if node.tag in _TEXTS:
        return text
    if node.tag not in _TYPED:
        raise _unsupported(node)
    try:
        value = yaml.constructor.SafeConstructor().construct_object(node)
    except (ValueError, KeyError):
        # Some texts only look like a number, such as 0x_, or have too many digits for Python.
        return text
    return Scalar(text, value)


def _unsupported(node: yaml.Node) -> TreeError:
    return TreeError(
        problem=f"the tag {node.tag.replace(_TAG, '!!')} is not allowed; "
        "write the value without a tag",
        problem_mark=node.start_mark,
    )
