"""``ccarchiver images``: list exposures, one line each."""

from __future__ import annotations

import enum
import time
from typing import TYPE_CHECKING, Annotated

import typer
from pydantic import BaseModel

from ccarchiver_cli.connection import query_redis
from ccarchiver_cli.dates import NIGHT_HELP, read_day
from ccarchiver_cli.missed_texts import FOUND_BY
from ccarchiver_cli.options import AsJson  # noqa: TC001  typer reads the annotation
from ccarchiver_cli.output import console, duration, print_json, say, utc, wrapped
from ccarchiver_core.domain.image_record import OPEN_STATES, ImageState
from ccarchiver_core.status.images import bounds_of, names_between, newest_names
from ccarchiver_core.store.image_ledger import ImageLedger

if TYPE_CHECKING:
    import datetime as dt

    from redis.asyncio import Redis

    from ccarchiver_core.config.settings import Settings
    from ccarchiver_core.domain.image_summary import ImageSummary

LAST = 20
"""Images shown by default: as many as fit on a screen."""

MOST = 1_000_000
"""Above any MAX_LEDGER_IMAGES, and within the range that Redis accepts."""

INDENT = " " * 16
"""Indents the note below an image's name."""

STYLES = {
    ImageState.FAILED: "red",
    ImageState.UNREADABLE: "red",
    ImageState.STALLED: "yellow",
}


class StateFilter(enum.StrEnum):
    """Which images to list: those in one state, or all open ones."""

    OPEN = "open"
    STALLED = "stalled"
    COMPLETE = "complete"
    SKIPPED = "skipped"
    FAILED = "failed"
    UNANNOUNCED = "unannounced"
    MISSED = "missed"
    DISMISSED = "dismissed"
    UNREADABLE = "unreadable"


STATE_HELP = f"Show only images in this state: {', '.join(StateFilter)}. Open: not finished."


class Line(BaseModel):
    """One line of the list: one image."""

    image: str
    state: ImageState
    first_seen_at: float
    """Unix time, UTC, seconds."""
    events: int
    """How many of its three SAL events were received."""
    retrieved: int
    ingested: int
    files: int
    """How many files it should have: one for each CCD."""
    took_s: float | None
    """Seconds from its last event to its end; None if it is in progress."""
    note: str
    """What it waits for, or why it failed."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("images")(show)


def show(
    night: Annotated[str | None, typer.Option(metavar="DATE", help=NIGHT_HELP)] = None,
    state: Annotated[StateFilter | None, typer.Option(metavar="STATE", help=STATE_HELP)] = None,
    last: Annotated[
        int,
        typer.Option(
            metavar="COUNT", min=1, max=MOST, help="Show at most this number of images, the newest."
        ),
    ] = LAST,
    *,
    as_json: AsJson = False,
) -> None:
    """List images, one line each, the newest last.

    In the column files, 9+8 means: 9 files are retrieved and 8 are ingested.
    """
    day = None if night is None else read_day(night)
    found = query_redis(lambda redis, settings: read(redis, settings, day, state, last))
    if as_json:
        print_json([line.model_dump(mode="json") for line in found])
        return
    _print(found)


def _print(found: list[Line]) -> None:
    """Print one line for each image and its note below it. Names are never truncated."""
    if not found:
        say("no such images in the ledger")
        return
    out = console()
    width = max((len(line.image) for line in found), default=0)
    head = f"{'seen (UTC)':<14}  {'image':<{width}}  {'state':<8}  events  files  {'took':>10}"
    out.print(head, style="bold")
    for line in found:
        files = f"{line.retrieved}+{line.ingested}"
        took = "" if line.took_s is None else duration(line.took_s)
        seen = utc(line.first_seen_at)[5:]
        counts = f"{line.events:>6}  {files:>5}"
        text = f"{seen:<14}  {line.image:<{width}}  {line.state:<8}  {counts}"
        out.print(f"{text}  {took:>10}", style=STYLES.get(line.state, ""), soft_wrap=True)
        for part in wrapped(line.note, out.width - len(INDENT)):
            out.print(f"{INDENT}{part}", soft_wrap=True)


async def read(
    redis: Redis, settings: Settings, day: dt.date | None, state: StateFilter | None, last: int
) -> list[Line]:
    """Return the newest images that match, oldest first."""
    if day is not None:
        names = await names_between(redis, *bounds_of(day))
    elif state in (StateFilter.OPEN, StateFilter.STALLED):
        names = await ImageLedger(redis).open_images()
    elif state is None:
        names = (await newest_names(redis, last))[::-1]
    else:
        names = await names_between(redis, 0.0, time.time() + 1)
    summaries = await ImageLedger(redis).read_summaries(names)
    found = sorted(
        (image for image in summaries if _matches(image, state)), key=lambda image: image.at
    )
    return [await _line(redis, settings, image) for image in found[-last:]]


def _matches(image: ImageSummary, state: StateFilter | None) -> bool:
    if state is StateFilter.OPEN:
        return image.state in OPEN_STATES
    return state is None or image.state == state.value


async def _line(redis: Redis, settings: Settings, image: ImageSummary) -> Line:
    note = image.failed
    if image.state in OPEN_STATES:
        record = await ImageLedger(redis).read(image.obsid)
        if record is not None:
            note = f"waits for {record.waiting_on(settings.files_per_image)}"
    elif image.state is ImageState.MISSED:
        note = FOUND_BY.get(image.missed_by, "")
    elif image.state is ImageState.DISMISSED:
        note = image.dismissal
    return Line(
        image=image.obsid,
        state=image.state,
        first_seen_at=image.at,
        events=image.events,
        retrieved=image.retrieved,
        ingested=image.ingested,
        files=settings.files_per_image,
        took_s=image.took_s,
        note=note,
    )
