"""The steps of one image: when each happened, and how long each stage took."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel

from ccarchiver_core.domain.exposure import EventKind, Exposure, Instruction
from ccarchiver_core.domain.image_record import ImageState
from ccarchiver_core.store.stage_durations import ANSWERING, SENDING, Stage

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ccarchiver_core.domain.image_times import TimedSummary


class Step(BaseModel):
    """One step of an image; the time is a Unix time, UTC, seconds."""

    at: float
    what: str


def stage_durations(image: TimedSummary, files_per_image: int) -> dict[Stage, float]:
    """Return the seconds that each stage of an image took; unknown ones are left out."""
    return {
        stage: round(end - begin, 3)
        for stage, begin, end in _stages(image, files_per_image)
        if 0 < begin <= end
    }


def _stages(image: TimedSummary, files_per_image: int) -> Iterator[tuple[Stage, float, float]]:
    summary, sent = image.summary, image.instructions
    exposure = Exposure(
        obsid=summary.obsid, job=summary.job, sent=sent, received_at=image.event_times
    )
    for instruction, one in sent.items():
        yield SENDING[instruction], exposure.ready_at(instruction) or 0.0, one.sent_at
        if one.sent_at and one.acked_at:
            yield ANSWERING[instruction], one.sent_at, one.acked_at
    if summary.retrieved == files_per_image and len(sent) == len(Instruction):
        last_sent_at = max(one.sent_at for one in sent.values())
        yield Stage.RETRIEVE, last_sent_at, image.retrieved_at
    if summary.retrieved == summary.ingested == files_per_image:
        yield Stage.INGEST, image.retrieved_at, image.ingested_at
    if summary.state is ImageState.COMPLETE and summary.finished and summary.last_event_at:
        yield Stage.IMAGE, summary.last_event_at, summary.finished


def steps_of(image: TimedSummary, names: Mapping[Instruction, str]) -> list[Step]:
    """Return the steps of an image, oldest first.

    Parameters
    ----------
    image : `TimedSummary`
        The image.
    names : mapping
        The message type of each instruction.
    """
    summary = image.summary
    # A catch-up begins with startIntegration; it uses or replaces all events of the same time.
    caught_up_at = image.event_times.get(EventKind.START) if summary.is_caught_up else None
    found = [
        (at, f"{kind} {'used for the catch-up' if at == caught_up_at else 'received'}")
        for kind, at in image.event_times.items()
    ]
    for instruction, sent in image.instructions.items():
        name = names[instruction]
        found.append((sent.sent_at, f"{name} sent"))
        found.append((sent.resent_at, f"{name} sent again"))
        found.append((sent.acked_at, f"{name} answered"))
    found.append((summary.missed_at or 0.0, "missed"))
    found.append((image.retrieved_at, f"last CCD retrieved ({summary.retrieved})"))
    found.append((image.ingested_at, f"last CCD ingested ({summary.ingested})"))
    found.append((summary.finished or 0.0, summary.state))
    return [Step(at=at, what=what) for at, what in sorted(found) if at]
