"""``ccarchiver images``: many exposures, a line each."""

from __future__ import annotations

import enum
import time
from typing import TYPE_CHECKING, Annotated

import typer
from pydantic import BaseModel

from ccarchiver_cli.connection import query_redis
from ccarchiver_cli.dates import NIGHT_HELP, read_day
from ccarchiver_cli.output import console, duration, print_json, say, utc, wrapped
from ccarchiver_core.status.images import ImageSummary, bounds_of, names_between, newest_names, summaries
from ccarchiver_core.store import ledger
from ccarchiver_core.store.ledger import ImageState

if TYPE_CHECKING:
    import datetime as dt

    from redis.asyncio import Redis

    from ccarchiver_core.config.settings import Settings

LAST = 20
"""Images shown if nobody says how many: what fits on a screen."""

MOST = 1_000_000
"""Above any MAX_LEDGER_IMAGES, and a number that Redis takes."""

INDENT = " " * 16
"""Below an image's name."""

STYLES = {ImageState.FAILED: "red", ImageState.STALLED: "yellow"}

OPEN = (ImageState.ACCEPTED, ImageState.STALLED)


class StateFilter(enum.StrEnum):
    """Which images: a state of the ledger, or open, which is everything not at its end."""

    OPEN = "open"
    STALLED = "stalled"
    COMPLETE = "complete"
    SKIPPED = "skipped"
    FAILED = "failed"
    FOREIGN = "unannounced"


class Line(BaseModel):
    """One image."""

    image: str
    state: ImageState
    heard_at: float
    """Unix time, UTC, seconds."""
    events: int
    """How many of its three SAL events were heard."""
    retrieved: int
    ingested: int
    files: int
    """CCDs it should have."""
    took_s: float | None
    """From its last event to its end; None if it is under way."""
    note: str
    """Whom it waits for, or why it failed."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("images")(show)


def show(
    night: Annotated[str | None, typer.Option(help=NIGHT_HELP)] = None,
    state: Annotated[StateFilter | None, typer.Option(help="Only these.")] = None,
    last: Annotated[int, typer.Option(min=1, max=MOST, help="At most so many, the newest ones.")] = LAST,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """List images, the newest last; files are those retrieved + those ingested."""
    day = None if night is None else read_day(night)
    found = query_redis(lambda redis, settings: read(redis, settings, day, state, last))
    if as_json:
        print_json([line.model_dump(mode="json") for line in found])
        return
    _print(found)


def _print(found: list[Line]) -> None:
    """Print a line an image and, below it, what there is to say; names stay whole."""
    if not found:
        say("no such images in the ledger")
        return
    out = console()
    width = max((len(line.image) for line in found), default=0)
    out.print(f"{'heard (UTC)':<14}  {'image':<{width}}  {'state':<8}  events  files  {'took':>10}", style="bold")
    for line in found:
        files = f"{line.retrieved}+{line.ingested}"
        took = "" if line.took_s is None else duration(line.took_s)
        text = f"{utc(line.heard_at)[5:]:<14}  {line.image:<{width}}  {line.state:<8}  {line.events:>6}  {files:>5}"
        out.print(f"{text}  {took:>10}", style=STYLES.get(line.state, ""), soft_wrap=True)
        for part in wrapped(line.note, out.width - len(INDENT)):
            out.print(f"{INDENT}{part}", soft_wrap=True)


async def read(
    redis: Redis, settings: Settings, day: dt.date | None, state: StateFilter | None, last: int
) -> list[Line]:
    """Read the newest images that fit, oldest first."""
    if day is not None:
        names = await names_between(redis, *bounds_of(day))
    elif state in (StateFilter.OPEN, StateFilter.STALLED):
        names = await ledger.unfinished(redis)
    elif state is None:
        names = (await newest_names(redis, last))[::-1]
    else:
        names = await names_between(redis, 0.0, time.time() + 1)
    found = [image for image in await summaries(redis, names) if _fits(image, state)]
    return [await _line(redis, settings, image) for image in sorted(found, key=lambda image: image.at)[-last:]]


def _fits(image: ImageSummary, state: StateFilter | None) -> bool:
    if state is StateFilter.OPEN:
        return image.state in OPEN
    return state is None or image.state == state.value


async def _line(redis: Redis, settings: Settings, image: ImageSummary) -> Line:
    note = image.failed
    if image.state in OPEN:
        record = await ledger.read_record(redis, image.obsid)
        note = f"waits for {ledger.waiting_on(record, settings.files_per_image)}"
    return Line(
        image=image.obsid,
        state=image.state,
        heard_at=image.at,
        events=image.events,
        retrieved=image.retrieved,
        ingested=image.ingested,
        files=settings.files_per_image,
        took_s=image.took_s,
        note=note,
    )
