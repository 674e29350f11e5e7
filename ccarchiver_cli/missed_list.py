"""The list of missed images, for an operator."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ccarchiver_cli.missed_texts import FOUND_BY, MODES, UNKNOWN, scan_text
from ccarchiver_cli.output import console, say, utc, wrapped
from ccarchiver_core.domain.image_record import MissedBy

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Sequence

    from ccarchiver_core.domain.image_summary import ImageSummary
    from ccarchiver_core.status.missed import MissedImages

SHOWN = 50
"""Images that are printed; ``--json`` has all of them."""

LABEL = 11
"""Width of a label, in columns."""


def print_missed(missed: MissedImages, day: dt.date | None, *, is_preview: bool) -> None:
    """Print the last scan, the setting CATCH_UP and the missed images.

    Parameters
    ----------
    missed : `MissedImages`
        The missed images.
    day : `datetime.date` or `None`
        The night that they are of; None if they are of all nights.
    is_preview : `bool`
        Whether they are only those that CATCH_UP: automatic archives.
    """
    out, now = console(), time.time()
    first, *more = wrapped(scan_text(missed.scan, now), out.width - LABEL)
    out.print(f"{'last scan':<{LABEL}}{first}", soft_wrap=True)
    for line in more:
        out.print(f"{'':<{LABEL}}{line}", soft_wrap=True)
    out.print(f"{'catch-up':<{LABEL}}{MODES[missed.catch_up]}", soft_wrap=True)
    if is_preview:
        say(
            f"preview: CATCH_UP: automatic would archive {len(missed.images)} images, in the "
            "sequence below; this command archives nothing"
        )
    if missed.unscanned:
        say(
            f"{len(missed.unscanned)} skipped, and no scan has been answered since: they can be "
            "archived if the camera has them; ccarchiver catchup --now asks the Forwarder"
        )
    if is_preview and not missed.images:
        return
    if not missed.images:
        style = "" if missed.unscanned else "green"
        night = "" if day is None else f" of the night {day}"
        out.print(f"nothing is missed{night}", style=style)
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
    skipped = "skipped, and " if image.events else ""
    requested = "; archiving requested" if image.is_requested else ""
    return f"{skipped}{found}{requested}"
