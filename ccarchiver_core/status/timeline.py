"""One image's way: every step with its time, how long it took, who did it and with which message."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel

from ccarchiver_core.domain.exposure import EventKind, Exposure, Instruction, SentInstruction
from ccarchiver_core.domain.worker_messages import StatusTopic
from ccarchiver_core.keys import Worker
from ccarchiver_core.store import file_status_fields, ledger

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ccarchiver_core.config.settings import Settings


class TimelineEntry(BaseModel):
    """One step of an image."""

    at: float
    """Unix time, UTC, seconds."""
    worker: Worker | None
    """Who wrote it down; None for an operator."""
    what: str
    detail: str = ""
    took_s: float | None = None
    """Seconds since what it followed from; None if that is not known, or nobody's doing."""


def timeline(record: dict[str, str], settings: Settings) -> list[TimelineEntry]:
    """Tell an image's way from its ledger record, oldest step first."""
    moments = [*_events(record), *_orders(record, settings), *_statuses(record), *_ends(record)]
    return sorted(moments, key=lambda moment: moment.at)


def last_progress_at(record: dict[str, str]) -> float:
    """Give the Unix time (UTC, seconds) of an image's newest step: since then the next one is owed."""
    steps = [float(record.get(name, "0")) for name in ("at", ledger.RETRIED_AT, ledger.REPLAYED_AT)]
    steps += [float(value) for name, value in record.items() if name.startswith(ledger.AT_PREFIX)]
    for instruction in Instruction:
        if instruction in record:
            sent = SentInstruction.model_validate_json(record[instruction])
            steps += [sent.sent_at, sent.resent_at, sent.acked_at]
    return max(steps)


def _events(record: dict[str, str]) -> Iterator[TimelineEntry]:
    for kind in EventKind:
        at = record.get(f"{ledger.AT_PREFIX}{kind}")
        if at is None:
            continue
        taken = kind in record
        detail = "" if taken else "skipped: the CSC was not ENABLED"
        yield TimelineEntry(at=float(at), worker=Worker.SAL, what=f"{kind} heard", detail=detail)


def _orders(record: dict[str, str], settings: Settings) -> Iterator[TimelineEntry]:
    names = message_names(settings)
    current = {
        instruction: SentInstruction.model_validate_json(record[instruction])
        for instruction in Instruction
        if instruction in record
    }
    exposure = Exposure(
        obsid=record.get("obsid", ""),
        job=0,
        sent=current,
        received_at={
            kind: float(record[name]) for kind in EventKind if (name := f"{ledger.AT_PREFIX}{kind}") in record
        },
    )
    for instruction, sent in current.items():
        yield from _order(
            names[instruction], sent, exposure.ready_at(instruction), record.get("target_dir", ""), instruction
        )
    for name, value in record.items():
        if name.startswith(ledger.SUPERSEDED_PREFIX):
            instruction = Instruction(name.split(":")[1])
            yield from _order(
                f"{names[instruction]} (earlier pairing)",
                SentInstruction.model_validate_json(value),
                None,
                "",
                instruction,
            )


def _order(
    name: str, sent: SentInstruction, since: float | None, target_dir: str, instruction: Instruction
) -> Iterator[TimelineEntry]:
    if sent.sent_at:
        took = sent.sent_at - since if since and sent.sent_at >= since else None
        yield TimelineEntry(at=sent.sent_at, worker=Worker.BRIDGE, what=f"{name} sent", detail=sent.ack_id, took_s=took)
    if sent.resent_at:
        yield TimelineEntry(at=sent.resent_at, worker=Worker.BRIDGE, what=f"{name} sent again", detail=sent.ack_id)
    if sent.acked_at:
        detail = target_dir if instruction is Instruction.NEW_ITEM else ""
        took = sent.acked_at - sent.sent_at if sent.sent_at else None
        yield TimelineEntry(at=sent.acked_at, worker=Worker.BRIDGE, what=f"{name} answered", detail=detail, took_s=took)


def _statuses(record: dict[str, str]) -> Iterator[TimelineEntry]:
    told = [
        SentInstruction.model_validate_json(record[instruction]).sent_at
        for instruction in Instruction
        if instruction in record
    ]
    retrieved: dict[str, float] = {}
    for report in file_status_fields.statuses_of(record):
        is_retrieval = report.topic is StatusTopic.RETRIEVAL
        since = max(told, default=0.0) if is_retrieval else retrieved.get(report.ccd, 0.0)
        if is_retrieval:
            retrieved[report.ccd] = report.at
        ccd = f"{report.raft} {report.sensor}".strip() or report.filename
        done = "retrieved" if is_retrieval else "ingested"
        yield TimelineEntry(
            at=report.at,
            worker=Worker.SAL,
            what=f"{ccd} {done}" if report.code == 0 else f"{ccd} NOT {done}",
            detail=report.topic.value if report.code == 0 else f"{report.code} {report.description}",
            took_s=report.at - since if 0 < since <= report.at else None,
        )


def _ends(record: dict[str, str]) -> Iterator[TimelineEntry]:
    if ledger.RETRIED_AT in record:
        yield TimelineEntry(at=float(record[ledger.RETRIED_AT]), worker=None, what="tried again by an operator")
    if ledger.REPLAYED_AT in record:
        yield TimelineEntry(at=float(record[ledger.REPLAYED_AT]), worker=None, what="orders sent again by an operator")
    if "finished" in record:
        heard = [float(record[name]) for kind in EventKind if (name := f"{ledger.AT_PREFIX}{kind}") in record]
        at = float(record["finished"])
        took = at - max(heard) if heard and at >= max(heard) else None
        state, detail = record.get("state", "?"), record.get("failed", "")
        worker = Worker.SAL if state == ledger.ImageState.COMPLETE else None
        yield TimelineEntry(at=at, worker=worker, what=state, detail=detail, took_s=took)


def message_names(settings: Settings) -> dict[Instruction, str]:
    """Name the message of each order, as this site calls it."""
    return {
        Instruction.NEW_ITEM: settings.new_archive_item,
        Instruction.XFER_PARAMS: settings.fwdr_xfer_params,
        Instruction.END_READOUT: settings.fwdr_end_readout,
        Instruction.HEADER_READY: settings.fwdr_header_ready,
    }
