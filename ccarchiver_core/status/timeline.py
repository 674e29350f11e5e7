"""The timeline of one image: each stage with its time, its duration, its worker and its message."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel

from ccarchiver_core.domain.exposure import EventKind, Exposure, Instruction
from ccarchiver_core.domain.file_status import StatusTopic
from ccarchiver_core.domain.image_record import ImageState
from ccarchiver_core.domain.message_names import message_names
from ccarchiver_core.keys import Worker

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ccarchiver_core.config.settings import Settings
    from ccarchiver_core.domain.exposure import SentInstruction
    from ccarchiver_core.domain.image_record import ImageRecord


class TimelineEntry(BaseModel):
    """One stage of an image."""

    at: float
    """Unix time, UTC, seconds."""
    worker: Worker | None
    """The worker that recorded it; None for an operator."""
    what: str
    detail: str = ""
    took_s: float | None = None
    """Seconds since the stage before it; None if that is not known."""


def timeline(record: ImageRecord, settings: Settings) -> list[TimelineEntry]:
    """Return the stages of an image, oldest first."""
    entries = [
        *_events(record),
        *_instructions(record, settings),
        *_statuses(record),
        *_catch_up(record),
        *_operator_actions(record),
        *_end(record),
        *_refused(record),
    ]
    return sorted(entries, key=lambda entry: entry.at)


def _events(record: ImageRecord) -> Iterator[TimelineEntry]:
    for kind in EventKind:
        at = record.event_times.get(kind)
        if at is None:
            continue
        what, detail = _what_happened(record, kind, at)
        yield TimelineEntry(at=at, worker=Worker.SAL, what=f"{kind} {what}", detail=detail)


def _what_happened(record: ImageRecord, kind: EventKind, at: float) -> tuple[str, str]:
    """Return what the archiver did with an event at a time, and why.

    The sender of an event writes its time. A replacement that the archiver made itself has none.
    """
    event = record.events.get(kind)
    if event is None:
        return "received", "skipped: the CSC was not ENABLED"
    is_caught_up = bool(record.caught_up_at) and at == record.caught_up_at
    others_are_timed = any(other.sent_at for other in record.events.values())
    if not event.sent_at and (is_caught_up or others_are_timed):
        return "assumed", "not received: replaced by what is known of the image"
    if is_caught_up:
        return "used", "received earlier, while the CSC was not ENABLED or down"
    return "received", ""


def _refused(record: ImageRecord) -> Iterator[TimelineEntry]:
    """Yield the events of later exposures of this name."""
    for refused in record.refused:
        what_happened = "skipped: the CSC was not ENABLED" if refused.is_skipped else "refused"
        for kind, at in refused.event_times.items():
            yield TimelineEntry(
                at=at,
                worker=Worker.SAL,
                what=f"{kind} of another exposure received",
                detail=f"{what_happened}; {refused.reason}",
            )


def _instructions(record: ImageRecord, settings: Settings) -> Iterator[TimelineEntry]:
    names = message_names(settings)
    exposure = Exposure(
        obsid=record.obsid,
        job=record.job,
        sent=dict(record.instructions),
        received_at=dict(record.event_times),
    )
    for instruction, sent in record.instructions.items():
        detail = record.target_dir if instruction is Instruction.NEW_ITEM else ""
        yield from _instruction(names[instruction], sent, exposure.ready_at(instruction), detail)
    for instruction, sent in record.superseded:
        yield from _instruction(f"{names[instruction]} (earlier pairing)", sent, None, "")


def _instruction(
    name: str, sent: SentInstruction, ready_at: float | None, answer: str
) -> Iterator[TimelineEntry]:
    if sent.sent_at:
        took = sent.sent_at - ready_at if ready_at and sent.sent_at >= ready_at else None
        yield TimelineEntry(
            at=sent.sent_at,
            worker=Worker.BRIDGE,
            what=f"{name} sent",
            detail=sent.ack_id,
            took_s=took,
        )
    if sent.resent_at:
        yield TimelineEntry(
            at=sent.resent_at,
            worker=Worker.BRIDGE,
            what=f"{name} sent again",
            detail=sent.ack_id,
        )
    if sent.acked_at:
        took = sent.acked_at - sent.sent_at if sent.sent_at else None
        yield TimelineEntry(
            at=sent.acked_at,
            worker=Worker.BRIDGE,
            what=f"{name} answered",
            detail=answer,
            took_s=took,
        )


def _statuses(record: ImageRecord) -> Iterator[TimelineEntry]:
    last_sent_at = max((sent.sent_at for sent in record.instructions.values()), default=0.0)
    retrieved: dict[str, float] = {}
    for status in record.statuses:
        is_retrieval = status.topic is StatusTopic.RETRIEVAL
        since = last_sent_at if is_retrieval else retrieved.get(status.ccd, 0.0)
        if is_retrieval:
            retrieved[status.ccd] = status.published_at
        ccd = f"{status.raft} {status.sensor}".strip() or status.filename
        done = "retrieved" if is_retrieval else "ingested"
        yield TimelineEntry(
            at=status.published_at,
            worker=Worker.SAL,
            what=f"{ccd} {done}" if status.code == 0 else f"{ccd} NOT {done}",
            detail=status.topic if status.code == 0 else f"{status.code} {status.description}",
            took_s=status.published_at - since if 0 < since <= status.published_at else None,
        )


def _catch_up(record: ImageRecord) -> Iterator[TimelineEntry]:
    if record.missed_at:
        detail = f"found by {record.missed_by}"
        yield TimelineEntry(at=record.missed_at, worker=Worker.HEALTH, what="missed", detail=detail)
    if record.catch_up_requested_at:
        what = "archiving requested by an operator"
        yield TimelineEntry(at=record.catch_up_requested_at, worker=None, what=what)
    if record.dismissed_at:
        what = "dismissed by an operator"
        yield TimelineEntry(at=record.dismissed_at, worker=None, what=what, detail=record.dismissal)
    if record.caught_up_at:
        yield TimelineEntry(at=record.caught_up_at, worker=Worker.SAL, what="caught up")


def _operator_actions(record: ImageRecord) -> Iterator[TimelineEntry]:
    if record.retried_at:
        yield TimelineEntry(at=record.retried_at, worker=None, what="retried by an operator")
    if record.replayed_at:
        yield TimelineEntry(at=record.replayed_at, worker=None, what="replayed by an operator")


def _end(record: ImageRecord) -> Iterator[TimelineEntry]:
    if not record.finished_at:
        return
    since = record.last_event_at
    yield TimelineEntry(
        at=record.finished_at,
        worker=Worker.SAL if record.state is ImageState.COMPLETE else None,
        what=record.state,
        detail=record.failure_reason,
        took_s=record.finished_at - since if since and record.finished_at >= since else None,
    )
