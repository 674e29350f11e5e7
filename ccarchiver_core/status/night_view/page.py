"""The page of a night as HTML: served by the status page, or a file that needs nothing else."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from ccarchiver_core.base.error_codes import ErrorCode
from ccarchiver_core.domain.image_record import ImageState
from ccarchiver_core.status.night_view.charts import charts, scale_of, timeline
from ccarchiver_core.status.night_view.markup import Markup, join, tag
from ccarchiver_core.status.night_view.words import (
    STATE_SYMBOLS,
    clock,
    duration,
    fine_clock,
    plural,
)
from ccarchiver_core.store.csc_state import ENABLED
from ccarchiver_core.store.stage_durations import Stage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ccarchiver_core.status.night_view.advice import Missing
    from ccarchiver_core.status.night_view.view import NightEntry, NightExposure, NightView
    from ccarchiver_core.store.state_history import StateInterval

STATIC = Path(__file__).parent / "static"
"""Folder of the style and the script of the page."""

STYLE, SCRIPT = "night.css", "night.js"

MAX_INTERVALS = 200
"""Intervals in the table of the CSC's states, the newest ones."""


@dataclass(frozen=True)
class Frame:
    """What surrounds the view of a night."""

    head: Markup
    """Style and script."""
    nights: Sequence[NightEntry] = ()
    """Other nights that the page links to; none in a file."""
    is_served: bool = False
    """Whether the status page serves it, so that links to other pages work."""


def served_frame(nights: Sequence[NightEntry]) -> Frame:
    """Return the frame of the page that the status page serves."""
    head = join(
        [
            tag("link", rel="icon", type="image/svg+xml", href="static/favicon.svg"),
            tag("link", rel="stylesheet", href=f"static/{STYLE}"),
            tag("script", src=f"static/{SCRIPT}", defer=True),
        ]
    )
    return Frame(head, nights, is_served=True)


def file_frame() -> Frame:
    """Return the frame of a file: style and script are in it."""
    style, script = ((STATIC / name).read_text(encoding="utf-8") for name in (STYLE, SCRIPT))
    return Frame(join([tag("style", Markup(style)), tag("script", Markup(script))]))


def render(view: NightView, frame: Frame) -> str:
    """Return the page of a night."""
    scale = scale_of(view)
    body = [
        _header(view, frame),
        tag(
            "main",
            _section("missing", "What is missing", _missing(view.missing)),
            _section(
                "timeline",
                "Timeline, UTC",
                timeline(view, scale),
                _intervals(view.states),
            ),
            _section(
                "steps",
                "Duration of each stage over the night",
                tag("div", charts(list(Stage), view, scale), class_="charts"),
            ),
            _section("exposures", "Exposures", _exposures(view, frame)),
        ),
    ]
    return "<!doctype html>\n" + tag(
        "html",
        tag(
            "head",
            tag("meta", charset="utf-8"),
            tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
            tag("meta", name="color-scheme", content="dark light"),
            tag("title", f"Night {view.day} · {view.archiver}"),
            frame.head,
        ),
        tag("body", *body),
        lang="en",
    )


def _section(name: str, title: str, *children: str) -> Markup:
    return tag("section", tag("h2", title, id=f"h-{name}"), *children, id=name)


def _header(view: NightView, frame: Frame) -> Markup:
    word, verdict = _verdict(view)
    counts = [
        f"{plural(view.total, 'exposure')} in the ledger",
        f"{view.summary.complete:,} complete",
        f"{view.summary.files_ingested:,} of {view.summary.files_expected:,} files ingested",
    ]
    if view.parts > 1:
        last = view.first_number + len(view.exposures) - 1
        counts.insert(1, f"this part: {view.first_number:,} to {last:,}")
    return tag(
        "header",
        tag("h1", f"{view.archiver}, night ", tag("span", str(view.day))),
        tag("p", tag("strong", word), f" {verdict}", class_="verdict", data_verdict=word[0]),
        tag("p", " · ".join(counts), class_="facts"),
        tag("p", f"read {clock(view.at)} UTC", class_="facts"),
        _filter(),
        _navigation(view, frame),
    )


def _verdict(view: NightView) -> tuple[str, str]:
    if not view.total and not view.missing:
        return "○", "no exposure of this night is known"
    if not view.missing:
        return "✔", "complete: nothing is missing"
    return "▲", f"NOT complete: {plural(len(view.missing), 'row')} below"


def _filter() -> Markup:
    field = tag(
        "input",
        id="filter",
        type="search",
        autocomplete="off",
        spellcheck="false",
        placeholder="part of a name",
    )
    return tag(
        "p",
        tag("label", "Show only names with ", field),
        tag("output", id="filter-count", for_="filter"),
        class_="filter",
        hidden=True,  # the script shows it
    )


def _navigation(view: NightView, frame: Frame) -> Markup:
    if not frame.is_served:
        return Markup("")
    links = [tag("a", "Status page", href="./")]
    if view.part > 1:
        links.append(_part_link(view, view.part - 1, "← earlier exposures"))
    if view.part < view.parts:
        links.append(_part_link(view, view.part + 1, "later exposures →"))
    nights = [
        tag(
            "li",
            tag(
                "a",
                f"{night.day}: {plural(night.exposures, 'exposure')}",
                href=f"night?day={night.day}",
                aria_current="page" if night.day == view.day else None,
            ),
        )
        for night in frame.nights
    ]
    listed = tag(
        "details",
        tag("summary", f"Nights in the ledger: {len(nights)}"),
        tag("ul", *nights, id="nights"),
    )
    return tag("nav", *links, listed)


def _part_link(view: NightView, part: int, text: str) -> Markup:
    return tag("a", text, href=f"night?day={view.day}&part={part}")


def _table(columns: Sequence[str], rows: Sequence[Markup]) -> Markup:
    head = tag("tr", *(tag("th", column, scope="col") for column in columns))
    return tag("table", tag("thead", head), tag("tbody", *rows))


def _cell(label: str, *children: str, **attributes: str) -> Markup:
    """Return a cell; on a narrow screen its column's name stands before it."""
    return tag("td", *children, data_label=label, **attributes)


def _missing(missing: Sequence[Missing]) -> Markup:
    if not missing:
        return tag("p", "Nothing is missing.", class_="none")
    rows = [
        tag(
            "tr",
            _cell("name", one.first if one.count == 1 else f"{one.first} to {one.last}"),
            _cell("state", _state_text(one)),
            _cell("problem", one.problem),
            _cell(
                "what to do",
                one.advice,
                *([" ", tag("code", one.command)] if one.command else []),
            ),
            data_name=f"{one.first} {one.last}",
            data_state=one.state,
        )
        for one in missing
    ]
    return _table(("name", "state", "problem", "what to do"), rows)


def _state_text(one: Missing) -> str:
    if one.count > 1:
        return f"{one.count:,} numbers missing"
    if one.state in set(ImageState):
        return " ".join(STATE_SYMBOLS[ImageState(one.state)])
    return one.state


def _intervals(states: Sequence[StateInterval]) -> Markup:
    chosen = [one for one in states if one.state != ENABLED][-MAX_INTERVALS:]
    if not chosen:
        text = "The CSC was ENABLED all the time." if states else "The CSC's states are not known."
        return tag("p", text, class_="none")
    rows = [
        tag(
            "tr",
            _cell("state", one.state),
            _cell("from", clock(one.begin)),
            _cell("to", clock(one.end)),
            _cell("for", duration(one.end - one.begin)),
            _cell("reason", _reason(one.error_code)),
            data_csc=one.state,
        )
        for one in chosen
    ]
    return _table(("state", "from", "to", "for", "reason"), rows)


def _reason(code: int) -> str:
    if not code:
        return ""
    try:
        return f"{code}: {ErrorCode(code).meaning}"
    except ValueError:
        return str(code)


def _exposures(view: NightView, frame: Frame) -> Markup:
    if not view.exposures:
        return tag("p", "No exposure.", class_="none")
    rows = [_exposure(one, view.files_per_image, frame) for one in view.exposures]
    return _table(("UTC", "name", "state", "files", "took"), rows)


def _exposure(one: NightExposure, files: int, frame: Frame) -> Markup:
    symbol, word = STATE_SYMBOLS[one.state]
    name = tag("a", one.obsid, href=f"./#image={quote(one.obsid, safe='')}")
    return tag(
        "tr",
        _cell("UTC", clock(one.at)),
        _cell("name", name if frame.is_served else _steps(one)),
        _cell("state", f"{symbol} {word}"),
        _cell("files", f"{one.retrieved} retrieved, {one.ingested} ingested of {files}"),
        _cell("took", "" if one.took_s is None else duration(one.took_s)),
        data_name=one.obsid,
        data_state=one.state,
    )


def _steps(one: NightExposure) -> Markup:
    """Return the name of an exposure, which opens the list of its steps."""
    begin = one.steps[0].at if one.steps else one.at
    steps = [
        tag("li", f"{fine_clock(step.at)} +{step.at - begin:.3f} {step.what}") for step in one.steps
    ]
    command = tag("code", f"ccarchiver image {shlex.quote(one.obsid)}")
    return tag("details", tag("summary", one.obsid), tag("ol", *steps), command)
