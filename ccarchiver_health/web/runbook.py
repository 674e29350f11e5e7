"""The runbook's entries, which the page shows beside the alarms.

The entries are in the operations guide, `alarms.md` and `errors.md`; the folder `entries` links to
these two pages, so that an installed archiver has them without the other documents.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from markdown_it import MarkdownIt

from ccarchiver_core.base.error_codes import ErrorCode
from ccarchiver_core.status.alarms import ALARM_NAMES, fault_alarm
from ccarchiver_core.status.night_view.markup import Markup, tag

if TYPE_CHECKING:
    from collections.abc import Iterable

    from markdown_it.token import Token

ENTRIES = Path(__file__).parent / "entries"
ALARMS, ERRORS = "alarms.md", "errors.md"

FAULT_NAMES = {str(int(code)): fault_alarm(code) for code in ErrorCode}
"""The alarm of each error code; the title of its entry is the code."""

TITLES = {name: code for code, name in FAULT_NAMES.items()}


def entry_page(name: str) -> str | None:
    """Return the page of the entry for an alarm; None if no alarm has this name."""
    if name not in ALARM_NAMES:
        return None
    content = _entries()[TITLES.get(name, name)]
    head = [
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="dark light"),
        tag("title", f"{name} · runbook"),
        tag("link", rel="icon", type="image/svg+xml", href="static/favicon.svg"),
        tag("link", rel="stylesheet", href="static/night.css"),
    ]
    others = [tag("li", tag("a", one, href=_address(one))) for one in ALARM_NAMES]
    body = [
        tag(
            "header", tag("h1", f"Runbook: {name}"), tag("nav", tag("a", "Status page", href="./"))
        ),
        tag("main", tag("section", content, class_="runbook")),
        tag("details", tag("summary", "All entries"), tag("ul", *others)),
    ]
    return "<!doctype html>\n" + tag("html", tag("head", *head), tag("body", *body), lang="en")


def _address(name: str) -> str:
    return f"runbook?entry={quote(name, safe='')}"


@functools.cache
def _entries() -> dict[str, Markup]:
    """Return each entry as markup, by its title: the name of an alarm or an error code."""
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    found: dict[str, Markup] = {}
    for page in (ALARMS, ERRORS):
        tokens = parser.parse((ENTRIES / page).read_text(encoding="utf-8"))
        _resolve_links(tokens)
        begins = [
            place
            for place, token in enumerate(tokens)
            if token.type == "heading_open" and token.tag == "h2"
        ]
        for begin, end in zip(begins, [*begins[1:], len(tokens)], strict=True):
            title = tokens[begin + 1].content
            content = tokens[begin + 3 : end]  # without the heading itself
            found[title] = Markup(parser.renderer.render(content, parser.options, {}))
    return found


def _resolve_links(tokens: Iterable[Token]) -> None:
    """Let links to entries lead to their pages; other links name the document instead."""
    for token in tokens:
        children = token.children or []
        for child in children:
            if child.type != "link_open":
                continue
            target = str(child.attrGet("href") or "")
            title = target.rpartition("#")[2]
            name = FAULT_NAMES.get(title, title)
            if name in ALARM_NAMES:
                child.attrSet("href", _address(name))
            else:
                child.attrs = {"title": f"docs/operations/{target}"}
