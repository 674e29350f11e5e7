"""The charts of a night as SVG: the timeline, and the duration of each stage over the night.

Times are in percent of the width, so that texts keep their size on any screen. Complete exposures
share one path, because a night has a thousand.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ccarchiver_core.domain.image_record import ImageState
from ccarchiver_core.status.night_view.markup import Markup, join, tag
from ccarchiver_core.status.night_view.words import (
    HOUR_S,
    STAGE_NAMES,
    STATE_SYMBOLS,
    clock,
    duration,
    plural,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ccarchiver_core.status.night_view.view import NightExposure, NightView
    from ccarchiver_core.store.stage_durations import Stage

WIDTH = 1000
"""Width of a path's own coordinates; it is stretched to the width of the screen."""

MARGIN, MIN_MARGIN_S = 0.02, 10.0
"""Time shown before the first and after the last event: a share of the period, and a minimum."""

MAX_LABELS = 7
"""Labels of the time axis; so many fit on a phone."""

LABEL_STEPS_S = (60.0, 300.0, 900.0, HOUR_S, 2 * HOUR_S, 3 * HOUR_S, 4 * HOUR_S)
"""Distances of the labels of the time axis; a night has 24 hours."""

LANES = (
    ("complete", (ImageState.COMPLETE,)),
    ("open", (ImageState.ACCEPTED, ImageState.STALLED)),
    ("not archived", (ImageState.FAILED, ImageState.MISSED, ImageState.SKIPPED)),
    ("other", (ImageState.UNREADABLE, ImageState.UNANNOUNCED, ImageState.DISMISSED)),
)
"""Lanes of the timeline, and the image states in each."""

LABEL_HEIGHT, BAR_HEIGHT, LANE_HEIGHT, AXIS_HEIGHT = 15, 14, 12, 18
"""Heights in pixels: a lane's label above it, the bar of the states, a lane, the axis."""

CHART_HEIGHT, DOT_HEIGHT = 64, 58
"""Heights in pixels of the chart of a stage, and of the area of its dots."""

LOWEST_S, HIGHEST_S = 0.001, 1000.0
"""Range of the logarithmic axis of a chart; longer durations are at its upper end."""

GRID_S = (0.01, 1.0, 100.0)
"""Durations with a line across each chart."""


class TimeScale:
    """The scale of the time axis.

    Parameters
    ----------
    begin, end : `float`
        Unix times, UTC, seconds.
    """

    def __init__(self, begin: float, end: float) -> None:
        self.begin = begin
        self.end = max(end, begin + 1.0)

    def share(self, at: float) -> float:
        """Return the place of a time, from 0 to 1."""
        return min(1.0, max(0.0, (at - self.begin) / (self.end - self.begin)))

    def percent(self, at: float) -> str:
        """Return the place of a time as a percentage of the width."""
        return f"{100 * self.share(at):.2f}%"

    def extent(self, begin: float, end: float) -> str:
        """Return the length of a period as a percentage of the width."""
        return f"{100 * (self.share(end) - self.share(begin)):.2f}%"

    def labels(self) -> list[float]:
        """Return the times with a label: full minutes or hours."""
        for step in LABEL_STEPS_S:
            first = math.ceil(self.begin / step) * step
            count = int((self.end - first) // step) + 1
            if count <= MAX_LABELS:
                return [first + place * step for place in range(count)]
        return []


def scale_of(view: NightView) -> TimeScale:
    """Return the scale that shows all exposures, and the FAULTs before and after them."""
    times = [exposure.at for exposure in view.exposures]
    for interval in view.states:
        if interval.is_fault:
            times += [interval.begin, interval.end]
    if not times:
        return TimeScale(view.summary.begin, view.summary.end)
    margin = max(MIN_MARGIN_S, MARGIN * (max(times) - min(times)))
    return TimeScale(min(times) - margin, max(times) + margin)


def timeline(view: NightView, scale: TimeScale) -> Markup:
    """Return the timeline: the CSC's states, the exposures by state, and the missing numbers."""
    y = 0
    parts: list[Markup] = []
    parts.append(_legend(view, y))
    parts += _states(view, scale, y + LABEL_HEIGHT)
    y += LABEL_HEIGHT + BAR_HEIGHT
    for title, states in LANES:
        chosen = [exposure for exposure in view.exposures if exposure.state in states]
        if chosen:
            parts.append(_label(f"{title}: {len(chosen):,}", y))
            parts += _lane(chosen, scale, y + LABEL_HEIGHT)
            y += LABEL_HEIGHT + LANE_HEIGHT
    if view.gaps:
        count = sum(gap.count for gap in view.gaps)
        parts.append(_label(f"numbers missing: {count:,}", y))
        for gap in view.gaps:
            text = gap.first if gap.count == 1 else f"{gap.first} to {gap.last}"
            parts.append(
                _box(scale, gap.begin, gap.end, y + LABEL_HEIGHT, LANE_HEIGHT, "gap", text)
            )
        y += LABEL_HEIGHT + LANE_HEIGHT
    parts += _axis(scale, y)
    return tag(
        "svg",
        *parts,
        class_="timeline",
        width="100%",
        height=y + AXIS_HEIGHT,
        role="img",
        aria_label=_spoken(view),
    )


def _spoken(view: NightView) -> str:
    faults = sum(interval.is_fault for interval in view.states)
    return (
        f"{plural(len(view.exposures), 'exposure')}, {plural(faults, 'FAULT')}, "
        f"{plural(len(view.missing), 'row')} of what is missing; the tables list them"
    )


def _label(text: str, y: int) -> Markup:
    return tag("text", text, x=0, y=y + LABEL_HEIGHT - 3, class_="lane")


def _legend(view: NightView, y: int) -> Markup:
    """Return the label of the CSC's states, each with the colour of its periods."""
    states = dict.fromkeys(one.state for one in view.states)
    words = [
        word for state in states for word in (tag("tspan", " ■ ", class_=state.lower()), state)
    ]
    text = tag("text", "CSC:", *words, x=0, y=y + LABEL_HEIGHT - 3, class_="lane")
    return text if words else _label("CSC: its states are not known", y)


def _states(view: NightView, scale: TimeScale, y: int) -> list[Markup]:
    boxes = [tag("rect", x=0, y=y, width="100%", height=BAR_HEIGHT, class_="unknown")]
    for one in view.states:
        code = f" {one.error_code}" if one.error_code else ""
        text = f"{one.state}{code} {clock(one.begin)} to {clock(one.end)}"
        boxes.append(_box(scale, one.begin, one.end, y, BAR_HEIGHT, one.state.lower(), text))
    return boxes


def _box(
    scale: TimeScale, begin: float, end: float, y: int, height: int, kind: str, text: str
) -> Markup:
    return tag(
        "rect",
        tag("title", text),
        x=scale.percent(begin),
        y=y,
        width=scale.extent(begin, end),
        height=height,
        class_=kind,
    )


def _lane(exposures: Sequence[NightExposure], scale: TimeScale, y: int) -> list[Markup]:
    """Return the exposures of one lane: a path for each state."""
    paths: list[Markup] = []
    for state in STATE_SYMBOLS:
        ticks = "".join(
            f"M{WIDTH * scale.share(one.at):.1f} 0v{LANE_HEIGHT}"
            for one in exposures
            if one.state is state
        )
        if ticks:
            paths.append(tag("path", d=ticks, class_=f"tick {state}"))
    return [_stretched(paths, y, LANE_HEIGHT)]


def _stretched(paths: Sequence[Markup], y: int, height: int) -> Markup:
    return tag(
        "svg",
        *paths,
        x=0,
        y=y,
        width="100%",
        height=height,
        viewBox=f"0 0 {WIDTH} {height}",
        preserveAspectRatio="none",
    )


def _axis(scale: TimeScale, y: int) -> list[Markup]:
    found: list[Markup] = []
    for at in scale.labels():
        place = scale.percent(at)
        found.append(tag("line", x1=place, x2=place, y1=0, y2=y + 3, class_="grid"))
        share = scale.share(at)
        anchor = "start" if share < 0.05 else "end" if share > 0.95 else "middle"  # noqa: PLR2004
        found.append(tag("text", clock(at)[:5], x=place, y=y + AXIS_HEIGHT - 4, text_anchor=anchor))
    return found


def stage_chart(stage: Stage, view: NightView, scale: TimeScale) -> Markup:
    """Return the durations of one stage over the night, one dot for each exposure."""
    points = [
        (one.at, one.stages[stage]) for one in view.exposures if one.stages.get(stage) is not None
    ]
    ordered = sorted(seconds for _, seconds in points)
    facts = "none measured"
    if ordered:
        facts = (
            f"50 % within {duration(_quantile(ordered, 50))}, "
            f"90 % within {duration(_quantile(ordered, 90))}, "
            f"longest {duration(ordered[-1])}"
        )
    # A line of no length with round ends is a dot; one path has all of them.
    dots = "".join(f"M{WIDTH * scale.share(at):.1f} {_height(value):.1f}h0" for at, value in points)
    lines = [
        tag("line", x1=0, x2="100%", y1=_height(value), y2=_height(value), class_="grid")
        for value in GRID_S
    ]
    labels = [
        tag("text", duration(value), x=2, y=f"{_height(value) - 2:.1f}", class_="scale")
        for value in GRID_S
    ]
    chart = tag(
        "svg",
        *lines,
        _stretched([tag("path", d=dots, class_="dots")] if dots else [], 0, CHART_HEIGHT),
        *labels,
        width="100%",
        height=CHART_HEIGHT,
        role="img",
        aria_label=f"{STAGE_NAMES[stage]}: {facts}",
    )
    title = tag("figcaption", tag("b", STAGE_NAMES[stage]))
    return tag("figure", title, chart, tag("p", facts), data_stage=stage)


def _quantile(ordered: Sequence[float], percent: int) -> float:
    """Return the smallest value that so many percent of the values do not exceed."""
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]


def _height(seconds: float) -> float:
    bounded = min(HIGHEST_S, max(LOWEST_S, seconds))
    share = math.log10(bounded / LOWEST_S) / math.log10(HIGHEST_S / LOWEST_S)
    return round(DOT_HEIGHT * (1 - share) + 3, 1)


def charts(stages: Sequence[Stage], view: NightView, scale: TimeScale) -> Markup:
    """Return the charts of the stages."""
    return join(stage_chart(stage, view, scale) for stage in stages)
