"""Markdown pages: their code, headings, links and tables, as a CommonMark parser reads them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from markdown_it import MarkdownIt
from markdown_it.tree import SyntaxTreeNode

if TYPE_CHECKING:
    from collections.abc import Iterator

PROMPT = "$ "
"""Prefix of typed lines in a console block; the other lines are output."""

# The site is built by MyST, which extends the same parser.
_PARSER = MarkdownIt("commonmark").enable("table")


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
    found = []
    for fence in _nodes(text, "fence"):
        assert fence.map is not None, "the parser sets the lines of each block"
        # The first line of the map is the opening fence, counted from 0.
        found.append(Block(fence.info.strip(), fence.content, fence.map[0] + 2))
    return found


def spans(text: str) -> list[str]:
    """Return the inline code of a page, each on one line."""
    return [" ".join(code.content.split()) for code in _nodes(text, "code_inline")]


def headings(text: str, level: int | None = None) -> list[str]:
    """Return the titles of a page as written, of one level or of all levels."""
    return [
        title.children[0].content
        for title in _nodes(text, "heading")
        if level is None or title.tag == f"h{level}"
    ]


def sections(text: str, level: int) -> dict[str, str]:
    """Return the text below each heading of one level, by title, up to the next such heading."""
    lines = text.splitlines(keepends=True)
    starts = [
        (title.children[0].content, title.map)
        for title in _nodes(text, "heading")
        if title.tag == f"h{level}" and title.map is not None
    ]
    ends = [line for _, (line, _) in starts[1:]] + [len(lines)]
    return {
        title: "".join(lines[below:end])
        for (title, (_, below)), end in zip(starts, ends, strict=True)
    }


def prose(text: str) -> str:
    """Return the text of a page without its fenced blocks."""
    return "\n".join(node.content for node in _nodes(text, "inline"))


def anchors(text: str) -> set[str]:
    """Return the valid anchors of a page."""
    titles = (
        "".join(part.content for part in title.walk() if part.type in {"text", "code_inline"})
        for title in _nodes(text, "heading")
    )
    return {re.sub(r"[^\w\- ]", "", title).lower().replace(" ", "-") for title in titles}


def links(text: str) -> list[tuple[str, str]]:
    """Return path and anchor of each link and image; the path is empty for the page itself.

    Addresses of other sites are left out.
    """
    targets = (
        urlsplit(str(node.attrs["href" if node.type == "link" else "src"]))
        for node in _nodes(text, "link", "image")
    )
    return [
        (unquote(target.path), unquote(target.fragment))
        for target in targets
        if not (target.scheme or target.netloc)
    ]


def rows(text: str) -> list[list[str]]:
    """Return the cells of all table rows of a page as written, without the header rows."""
    return [
        [cell.children[0].content for cell in row.children]
        for body in _nodes(text, "tbody")
        for row in body.children
    ]


def _nodes(text: str, *types: str) -> Iterator[SyntaxTreeNode]:
    """Return the nodes of some types in the sequence of the page."""
    tree = SyntaxTreeNode(_PARSER.parse(text))
    return (node for node in tree.walk() if node.type in types)
