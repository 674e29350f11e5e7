"""Log lines that are written when what they say is true: a reader of the log waits more gladly than a peer does."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass
class DeferredLog:
    """Lines noted while something is under way."""

    _lines: list[tuple[Callable[..., object], str, dict[str, object]]] = field(default_factory=list)

    def add(self, write: Callable[..., object], event: str, **facts: object) -> None:
        """Note a line; ``write`` is the logger's method for its level."""
        self._lines.append((write, event, facts))

    def flush(self) -> None:
        """Write the lines noted so far, once."""
        lines, self._lines = self._lines, []
        for write, event, facts in lines:
            write(event, **facts)
