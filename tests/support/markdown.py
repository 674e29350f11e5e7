"""Markdown pages: their headings, links and tables."""

from __future__ import annotations

import re


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


def commands(text: str, program: str) -> set[str]:
    """Give the first word after a program's name, wherever a page quotes the program in code."""
    blocks = re.findall(r"^```\w*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    spans = re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL))
    return set(re.findall(rf"(?:^|[\s$;])\$? ?{program} ([a-z]+)", "\n".join([*blocks, *spans]), re.MULTILINE))
