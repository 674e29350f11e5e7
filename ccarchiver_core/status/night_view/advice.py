"""What is missing of a night, and what to type about it."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from pydantic import BaseModel

from ccarchiver_core.base.error_codes import ErrorCode
from ccarchiver_core.domain.image_record import ImageState, MissedBy
from ccarchiver_core.status.images import bounds_of
from ccarchiver_core.status.missed import is_kept

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Container, Iterator, Sequence

    from ccarchiver_core.domain.image_summary import ImageSummary
    from ccarchiver_core.domain.refused_exposure import NamedRefusal
    from ccarchiver_core.status.night import Gap

EVENTS = 3
"""Events of SAL that an image has."""

NOTHING = "nothing to do: no scan has listed it"

ASK_FORWARDER = "ask the Forwarder whether the camera took it:"

ASK_WHETHER_KEPT = "it can be archived if the camera has it; ask the Forwarder:"

REFUSED = "name used before"
NUMBERS_MISSING = "number missing"
"""What the table calls an exposure that was refused, and numbers without an image."""

GOOD_STATES = frozenset({ImageState.COMPLETE, ImageState.UNANNOUNCED, ImageState.DISMISSED})
"""States of images of which nothing is missing here."""


class Missing(BaseModel):
    """One row of what is missing: an image, or consecutive numbers."""

    first: str
    last: str
    """Equal to `first` for one image."""
    count: int
    state: str
    problem: str
    advice: str
    command: str
    """What to type; empty if nothing helps."""


def missing_of(
    day: dt.date,
    images: Sequence[ImageSummary],
    refused: Sequence[NamedRefusal],
    gaps: Sequence[Gap],
    files_per_image: int,
    now: float,
    unscanned: Container[str] = (),
) -> list[Missing]:
    """Return what is missing of a night, the exposures by time, then the numbers.

    Parameters
    ----------
    day : `datetime.date`
        The night.
    images, refused, gaps : sequence
        Its images, refused exposures and missing numbers, oldest first.
    files_per_image : `int`
        Files that a complete image has.
    now : `float`
        Unix time, UTC, seconds.
    unscanned : container of `str`
        Skipped images that the next scan may list.
    """
    return [
        *(
            _skipped(day, image, is_unscanned=image.obsid in unscanned)
            if image.state is ImageState.SKIPPED
            else _image(day, image, files_per_image, now)
            for image in images
            if image.state not in GOOD_STATES
        ),
        *(_refused(one) for one in refused if not one.exposure.is_skipped),
        *_gaps(day, gaps),
    ]


def _image(day: dt.date, image: ImageSummary, files_per_image: int, now: float) -> Missing:
    obsid, is_over = image.obsid, now > bounds_of(day)[1]
    name = shlex.quote(obsid)
    files = (
        f"{image.events} of {EVENTS} events, {image.retrieved} of {files_per_image} files "
        f"retrieved, {image.ingested} ingested"
    )
    replay = f"ccarchiver night {day} --replay"
    match image.state:
        case ImageState.FAILED:
            problem = f"{_code_text(image.failed_code)}{image.failed}"
            advice, command = "correct the cause, then", f"ccarchiver image {name} --retry"
        case ImageState.STALLED:
            problem = files
            advice, command = "check the peer that it waits for, then", replay
        case ImageState.ACCEPTED if is_over:
            problem, advice, command = files, "the night is over:", replay
        case ImageState.ACCEPTED:
            problem, command = files, f"ccarchiver image {name}"
            advice = "in progress: it continues by itself; for details"
        case ImageState.MISSED if image.missed_by != MissedBy.SCAN:
            problem = "its number is missing between two others, and no scan has listed it"
            advice, command = ASK_FORWARDER, f"ccarchiver catchup {day} --now"
        case ImageState.MISSED if is_kept(image, now):
            problem = "the camera took it, and it was not accepted"
            advice, command = "to archive it:", f"ccarchiver catchup {name}"
        case ImageState.MISSED:
            problem = "the camera took it, it was not accepted, and the camera may not have it now"
            advice = "if it is lost, with the reason:"
            command = f"ccarchiver catchup {name} --dismiss --reason TEXT"
        case _:
            problem, advice, command = "its record cannot be read", "see", "ccarchiver doctor"
    return Missing(
        first=obsid,
        last=obsid,
        count=1,
        state=image.state,
        problem=problem,
        advice=advice,
        command=command,
    )


def _skipped(day: dt.date, image: ImageSummary, *, is_unscanned: bool) -> Missing:
    return Missing(
        first=image.obsid,
        last=image.obsid,
        count=1,
        state=image.state,
        problem="the CSC was not ENABLED when its events arrived",
        advice=ASK_WHETHER_KEPT if is_unscanned else NOTHING,
        command=f"ccarchiver catchup {day} --now" if is_unscanned else "",
    )


def _code_text(code: int) -> str:
    if not code:
        return ""
    try:
        return f"{code} ({ErrorCode(code).meaning}): "
    except ValueError:
        return f"{code}: "


def _refused(refusal: NamedRefusal) -> Missing:
    return Missing(
        first=refusal.obsid,
        last=refusal.obsid,
        count=1,
        state=REFUSED,
        problem=f"another exposure of this name is not archived: {refusal.exposure.reason}",
        advice="correct the camera's numbering;",
        command="ccarchiver deadletter list",
    )


def _gaps(day: dt.date, gaps: Sequence[Gap]) -> Iterator[Missing]:
    for gap in gaps:
        yield Missing(
            first=gap.first,
            last=gap.last,
            count=gap.count,
            state=NUMBERS_MISSING,
            problem="SAL sent no event of it",
            advice=ASK_FORWARDER,
            command=f"ccarchiver catchup {day} --now",
        )
