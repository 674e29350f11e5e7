"""Markdown pages: their headings, links and tables."""

from __future__ import annotations

import re
from dataclasses import dataclass

PROMPT = "$ "
"""Prefix of typed lines in a console block; the other lines are output."""


@dataclass(frozen=True)
class Block:
    """One fenced block of a page."""

    kind: str
    """Text after the fence: a language, or a directive in braces."""
    text: str
    line: int
    """Line number in the page of the first line of the text."""

    @property
    def commands(self) -> list[str]:
        """Return the shell commands, without comments and with continued lines joined."""
        match self.kind:
            case "sh":
                lines = self.text.replace("\\\n", " ").splitlines()
            case "console":
                lines = [
                    line.removeprefix(PROMPT)
                    for line in self.text.splitlines()
                    if line.startswith(PROMPT)
                ]
            case _:
                return []
        bare = (re.sub(r"(^| )#( .*)?$", "", line).strip() for line in lines)
        return [line for line in bare if line]


def blocks(text: str) -> list[Block]:
    """Return all fenced blocks of a page, without the indentation of lists."""
    found = re.finditer(r"^( *)```([^\n`]*)\n(.*?)^\1```$", text, re.MULTILINE | re.DOTALL)
    return [
        Block(
            one[2],
            re.sub(rf"^{one[1]}", "", one[3], flags=re.MULTILINE),
            text.count("\n", 0, one.start()) + 2,
        )
        for one in found
    ]


def spans(text: str) -> list[str]:
    """Return the inline code of a page."""
    outside = re.sub(r"^( *)```.*?^\1```$", "", text, flags=re.MULTILINE | re.DOTALL)
    return [" ".join(one.split()) for one in re.findall(r"`([^`]+)`", outside)]


def headings(text: str, level: int | None = None) -> list[str]:
    """Return the titles of a page, of one level or of all levels."""
    marks = "#+" if level is None else "#" * level
    return [title.strip() for title in re.findall(rf"^{marks} +(.+)$", text, re.MULTILINE)]


def anchors(text: str) -> set[str]:
    """Return the valid anchors of a page."""
    return {re.sub(r"[^\w\- ]", "", title).lower().replace(" ", "-") for title in headings(text)}


def links(text: str) -> list[tuple[str, str]]:
    """Return the links to pages and anchors; the path is empty for the page itself."""
    found = re.findall(r"\]\(([^)#\s]*)(?:#([^)\s]*))?\)", text)
    return [(path, anchor) for path, anchor in found if not path.startswith("http")]


def rows(text: str) -> list[list[str]]:
    """Return the cells of all table rows of a page, without headers and rulers."""
    cells = [
        [cell.strip() for cell in line.strip().strip("|").split("|")]
        for line in text.splitlines()
        if line[:1] == "|"
    ]
    rulers = {number for number, row in enumerate(cells) if set("".join(row)) <= set("-:")}
    return [
        row for number, row in enumerate(cells) if number not in rulers and number + 1 not in rulers
    ]
