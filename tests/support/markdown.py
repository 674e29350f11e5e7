"""Markdown pages: their headings, links and tables."""

from __future__ import annotations

import re
from dataclasses import dataclass

PROMPT = "$ "
"""How a line of a console block begins that somebody types; the others are what it prints."""


@dataclass(frozen=True)
class Block:
    """One fenced block of a page."""

    kind: str
    """What stands behind the fence: a language, or a directive in braces."""
    text: str
    line: int
    """Of the page, the first of the text."""

    @property
    def commands(self) -> list[str]:
        """What is typed at a shell, a command each, comments and continued lines taken together."""
        match self.kind:
            case "sh":
                lines = self.text.replace("\\\n", " ").splitlines()
            case "console":
                lines = [line.removeprefix(PROMPT) for line in self.text.splitlines() if line.startswith(PROMPT)]
            case _:
                return []
        bare = (re.sub(r"(^| )#( .*)?$", "", line).strip() for line in lines)
        return [line for line in bare if line]


def blocks(text: str) -> list[Block]:
    """Give all fenced blocks of a page; those in a list are moved to the left."""
    found = re.finditer(r"^( *)```([^\n`]*)\n(.*?)^\1```$", text, re.MULTILINE | re.DOTALL)
    return [
        Block(one[2], re.sub(rf"^{one[1]}", "", one[3], flags=re.MULTILINE), text.count("\n", 0, one.start()) + 2)
        for one in found
    ]


def spans(text: str) -> list[str]:
    """Give what stands in single backticks outside of blocks."""
    outside = re.sub(r"^( *)```.*?^\1```$", "", text, flags=re.MULTILINE | re.DOTALL)
    return [" ".join(one.split()) for one in re.findall(r"`([^`]+)`", outside)]


def headings(text: str, level: int | None = None) -> list[str]:
    """Give the titles of a page without their marks, of one level or of all."""
    marks = "#+" if level is None else "#" * level
    return [title.strip() for title in re.findall(rf"^{marks} +(.+)$", text, re.MULTILINE)]


def anchors(text: str) -> set[str]:
    """Give what can stand behind the # of a link to a page."""
    return {re.sub(r"[^\w\- ]", "", title).lower().replace(" ", "-") for title in headings(text)}


def links(text: str) -> list[tuple[str, str]]:
    """Give the links to other pages and to places in them: path (empty for the page itself) and anchor."""
    found = re.findall(r"\]\(([^)#\s]*)(?:#([^)\s]*))?\)", text)
    return [(path, anchor) for path, anchor in found if not path.startswith("http")]


def rows(text: str) -> list[list[str]]:
    """Give the cells of all rows of all tables of a page, heads and rulers left out."""
    cells = [
        [cell.strip() for cell in line.strip().strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"
    ]
    rulers = {number for number, row in enumerate(cells) if set("".join(row)) <= set("-:")}
    return [row for number, row in enumerate(cells) if number not in rulers and number + 1 not in rulers]
