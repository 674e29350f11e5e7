"""What keeps the bridge from its work now, for the operator."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Problems:
    """The problems that exist now, one for each subject."""

    def __init__(self) -> None:
        self._texts: dict[str, str] = {}
        self.on_change: Callable[[], None] = _do_nothing
        """Called after each change of the text."""

    @property
    def text(self) -> str:
        """All problems in one text, the oldest first; empty if there are none."""
        return "; ".join(self._texts.values())

    def set(self, subject: str, text: str) -> None:
        """Add the problem of a subject, or change its text."""
        if self._texts.get(subject) != text:
            self._texts[subject] = text
            self.on_change()

    def clear(self, subject: str) -> None:
        """Remove the problem of a subject; nothing happens if it has none."""
        if self._texts.pop(subject, None) is not None:
            self.on_change()

    def clear_all(self) -> None:
        """Remove all problems: the connection to which they belong is closed."""
        if self._texts:
            self._texts.clear()
            self.on_change()


def _do_nothing() -> None:
    pass
