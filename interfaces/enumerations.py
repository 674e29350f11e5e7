"""Constants of a component, and after which topic SAL puts them.

A value is an entry of an enumeration. The place matters, because the suffix of a topic's name
counts the constants after it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from interfaces.model import Constant, InterfaceError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["ComponentEnumerations", "index_constants"]

FIRST_VALUE = 1
"""SAL counts the names of an enumeration from 1, unless they give values."""

SHARED = "shared"
"""In the name of a constant that belongs to no topic."""


def _values(text: str, prefix: str, where: str) -> Iterator[Constant]:
    value = FIRST_VALUE
    text_of_value = str(value)
    for entry in text.split(","):
        name, _, given = entry.partition("=")
        if not name.strip():
            continue
        if given.strip():
            text_of_value = given.strip()
            value = _number(text_of_value, where)
        yield Constant(f"{prefix}_{name.strip()}", text_of_value)
        value += 1
        text_of_value = str(value)


def _number(text: str, where: str) -> int:
    try:
        # A leading 0 does not mean octal here, but 0x does mean hexadecimal.
        return int(text, 16) if text.lower().startswith("0x") else int(text)
    except ValueError as e:
        message = f"{where}: enumeration value {text!r} is not a whole number"
        raise InterfaceError(message) from e


def index_constants(enumeration: str) -> tuple[Constant, ...]:
    """Return the constants of the indices of an indexed component."""
    return tuple(_values(enumeration, "indexEnumeration", "IndexEnumeration"))


class ComponentEnumerations:
    """The enumerations of one component, in the sequence in which SAL reads its files.

    Parameters
    ----------
    component
        Name of the component.
    """

    def __init__(self, component: str) -> None:
        self._component = component
        self._shared: list[Constant] = []
        self._is_shared_placed = False
        self._placed: set[str] = set()

    def add_shared(self, text: str, where: str) -> None:
        """Add an enumeration that belongs to no topic."""
        self._shared += _values(text, f"{self._component}_{SHARED}", where)

    def of_topic(self, name: str, texts: list[str], where: str) -> tuple[Constant, ...]:
        """Return the constants after a topic: its own, and those that belong to none.

        SAL puts the ones of no topic after the first topic that follows them, once. Of a command
        and an event of one name, only the first has its constants.
        """
        constants: list[Constant] = []
        if name not in self._placed and texts:
            self._placed.add(name)
            for text in texts:
                constants += _values(text, name, where)
        if self._shared and not self._is_shared_placed:
            self._is_shared_placed = True
            constants += self._shared
        return tuple(constants)
