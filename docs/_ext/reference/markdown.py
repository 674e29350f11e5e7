"""Write Markdown tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return the lines of a table, followed by an empty line."""
    lines = [head, ["---"] * len(head), *rows]
    return [*("| " + " | ".join(_cell(one) for one in line) + " |" for line in lines), ""]


def code(text: str) -> str:
    """Return a text in backticks; an empty text stays empty."""
    return f"`{text}`" if text else ""


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", r"\|")
