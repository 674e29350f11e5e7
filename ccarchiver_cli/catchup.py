"""``ccarchiver catchup``: the exposures that the archiver missed, and the scan that finds them."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Annotated

import typer

from ccarchiver_cli.connection import query_redis
from ccarchiver_cli.dates import NIGHT_HELP, read_day
from ccarchiver_cli.missed_texts import FOUND_BY, MODES, UNKNOWN, scan_text
from ccarchiver_cli.options import AsJson  # noqa: TC001  typer reads the annotation
from ccarchiver_cli.output import (
    EXIT_WRONG,
    console,
    fail,
    print_json,
    say,
    utc,
    wrapped,
)
from ccarchiver_cli.scanning import scan_now
from ccarchiver_core.base.errors import RejectedError
from ccarchiver_core.domain.image_record import MissedBy
from ccarchiver_core.status.images import bounds_of
from ccarchiver_core.status.live_exposures import exposures_in_progress
from ccarchiver_core.status.missed import MissedImages, can_be_archived, read_missed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ccarchiver_core.domain.image_summary import ImageSummary

SHOWN = 50
"""Images that are printed; ``--json`` has all of them."""

NAMED = 3
"""Exposures in progress that are named; usually there is one."""

LABEL = 11
"""Width of a label, in columns."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("catchup")(show)


def show(
    day: Annotated[str | None, typer.Argument(metavar="DATE", help=NIGHT_HELP)] = None,
    *,
    now: Annotated[
        bool,
        typer.Option(
            "--now",
            help="First ask the paired Forwarder which images the camera took, and wait for the "
            "answer. While an exposure is in progress, this is postponed.",
        ),
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="List only those that CATCH_UP: automatic archives, in its sequence. "
            "Nothing is archived.",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """List the exposures that the camera took and the archiver did not accept.

    Exit code 1 if there are any, or if --now got no answer. Without DATE, all of them are listed.
    """
    begin, end = (0.0, math.inf) if day is None else bounds_of(read_day(day))
    problem = _scan() if now else ""
    missed = query_redis(lambda redis, settings: read_missed(redis, settings, begin, end))
    if dry_run:
        at = time.time()
        missed.images = [image for image in missed.images if can_be_archived(image, at)]
    if as_json:
        print_json({"well": not missed.images, **missed.model_dump(mode="json")})
    else:
        _print(missed)
    if problem:
        raise fail(problem)
    if missed.images:
        raise typer.Exit(EXIT_WRONG)


def _scan() -> str:
    """Request a scan and wait for its end; return why it has not succeeded, empty if it has."""
    try:
        scan = query_redis(scan_now)
    except RejectedError as error:
        raise fail(str(error)) from None
    if scan is None:
        return _postponed(
            query_redis(
                lambda redis, settings: exposures_in_progress(redis, settings.files_per_image)
            )
        )
    if not scan.is_answered:
        return (
            f"Forwarder {scan.hostname} did not answer SCAN (SCAN_TIMEOUT); one that finds no "
            "image at all sends no answer, otherwise read its log"
        )
    return ""


def _postponed(in_progress: list[str]) -> str:
    """Return why a scan has not taken place yet."""
    if not in_progress:
        return "the scan has not ended yet; ccarchiver catchup prints its state"
    named = ", ".join(in_progress[:NAMED])
    more = len(in_progress) - NAMED
    others = f" and {more} more" if more > 0 else ""
    return (
        f"no scan yet: an exposure is in progress ({named}{others}); "
        "the scan follows as soon as none is"
    )


def _print(missed: MissedImages) -> None:
    out, now = console(), time.time()
    first, *more = wrapped(scan_text(missed.scan, now), out.width - LABEL)
    out.print(f"{'last scan':<{LABEL}}{first}", soft_wrap=True)
    for line in more:
        out.print(f"{'':<{LABEL}}{line}", soft_wrap=True)
    out.print(f"{'catch-up':<{LABEL}}{MODES[missed.catch_up]}", soft_wrap=True)
    if not missed.images:
        out.print("nothing is missed", style="green")
        return
    out.print(f"{'missed':<{LABEL}}{len(missed.images)}", style="bold red")
    width = max(len(image.obsid) for image in missed.images)
    out.print(f"{'about (UTC)':<14}  {'image':<{width}}  events", style="bold")
    for image in _shown(missed.images):
        out.print(
            f"{utc(image.at)[5:]:<14}  {image.obsid:<{width}}  {image.events:>6}", soft_wrap=True
        )
        out.print(f"{'':<16}{_reason(image)}", soft_wrap=True)
    if len(missed.images) > SHOWN:
        say(
            f"{SHOWN} of {len(missed.images)} are shown: the newest that a scan has listed, then "
            "the newest missing numbers; --json lists all"
        )


def _shown(images: Sequence[ImageSummary]) -> list[ImageSummary]:
    """Return the images to print: first those that a scan has listed, then missing numbers.

    A missing number may be no exposure, so it must not displace an image that the camera took.
    """
    listed = [image for image in images if image.missed_by == MissedBy.SCAN][-SHOWN:]
    others = [image for image in images if image.missed_by != MissedBy.SCAN]
    return listed + others[len(others) - min(len(others), SHOWN - len(listed)) :]


def _reason(image: ImageSummary) -> str:
    found = FOUND_BY.get(image.missed_by, UNKNOWN)
    return f"skipped, and {found}" if image.events else found
