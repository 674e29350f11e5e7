"""Log lines about an action that are written after the action.

They do not delay a message to a peer, and they are not written before they are true.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass
class DeferredLog:
    """Log lines that wait for the end of an action."""

    _lines: list[tuple[Callable[..., object], str, dict[str, object]]] = field(default_factory=list)

    def add(self, write: Callable[..., object], event: str, **facts: object) -> None:
        """Add a line; ``write`` is the logger's method for its level."""
        self._lines.append((write, event, facts))

    def flush(self) -> None:
        """Write all added lines, and remove them."""
        lines, self._lines = self._lines, []
        for write, event, facts in lines:
            write(event, **facts)
