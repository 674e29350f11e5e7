"""Headings of a Markdown page as a browser's address can name them."""

from __future__ import annotations

import re


def headings(text: str) -> list[str]:
    """Give the titles of a page without their marks."""
    return [title.strip() for title in re.findall(r"^#+ +(.+)$", text, re.MULTILINE)]


def anchors(text: str) -> set[str]:
    """Give what can stand behind the # of a link to a page."""
    return {re.sub(r"[^\w\- ]", "", title).lower().replace(" ", "-") for title in headings(text)}
