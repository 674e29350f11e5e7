"""The exposures of a night as CSV, for a spreadsheet or a script."""

from __future__ import annotations

import csv
import datetime as dt
import io
from typing import TYPE_CHECKING

from ccarchiver_core.status.night_view.advice import NUMBERS_MISSING, REFUSED
from ccarchiver_core.store.stage_durations import Stage

if TYPE_CHECKING:
    from ccarchiver_core.status.night_view.view import NightExposure, NightView

FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""First characters with which a spreadsheet takes a text for a formula."""

COLUMNS = (
    *("image", "state", "first_seen_utc", "events", "retrieved", "ingested", "files", "took_s"),
    *("failed_code", "problem", "command"),
    *(f"{stage}_s" for stage in Stage),
)


def csv_text(view: NightView) -> str:
    """Return a line for each exposure, and then one for each range of missing numbers."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(COLUMNS)
    advice = {one.first: one for one in view.missing if one.state not in (NUMBERS_MISSING, REFUSED)}
    for exposure in view.exposures:
        missing = advice.get(exposure.obsid)
        writer.writerow(
            [
                *_facts(exposure, view.files_per_image),
                _text(missing.problem if missing else ""),
                missing.command if missing else "",
                *(exposure.stages.get(stage, "") for stage in Stage),
            ]
        )
    for one in view.missing:
        if one.state in (NUMBERS_MISSING, REFUSED):
            name = one.first if one.count == 1 else f"{one.first} to {one.last}"
            values = {
                "image": _text(name),
                "state": one.state,
                "problem": _text(one.problem),
                "command": one.command,
            }
            writer.writerow([values.get(column, "") for column in COLUMNS])
    return out.getvalue()


def _facts(exposure: NightExposure, files: int) -> list[str | int | float]:
    seen = dt.datetime.fromtimestamp(exposure.at, tz=dt.UTC).isoformat(timespec="milliseconds")
    took = "" if exposure.took_s is None else round(exposure.took_s, 3)
    return [
        _text(exposure.obsid),
        exposure.state,
        seen,
        exposure.events,
        exposure.retrieved,
        exposure.ingested,
        files,
        took,
        exposure.failed_code,
    ]


def _text(value: str) -> str:
    """Return a text from outside that no spreadsheet takes for a formula."""
    return f"'{value}" if value.startswith(FORMULA) else value
