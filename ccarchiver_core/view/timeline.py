"""One image's way: every step with its time, how long it took, who did it and with which message."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel

from ccarchiver_core import ledger, statuses
from ccarchiver_core.exposure import EventKind, Exposure, Order, Sent
from ccarchiver_core.keys import Worker
from ccarchiver_core.mail import StatusTopic

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ccarchiver_core.settings import Settings


class Moment(BaseModel):
    """One step of an image."""

    at: float
    """Unix time, UTC, seconds."""
    worker: Worker | None
    """Who wrote it down; None for an operator."""
    what: str
    detail: str = ""
    took_s: float | None = None
    """Seconds since what it followed from; None if that is not known, or nobody's doing."""


def timeline(record: dict[str, str], settings: Settings) -> list[Moment]:
    """Tell an image's way from its ledger record, oldest step first."""
    moments = [*_events(record), *_orders(record, settings), *_statuses(record), *_ends(record)]
    return sorted(moments, key=lambda moment: moment.at)


def last_step_at(record: dict[str, str]) -> float:
    """Give the Unix time (UTC, seconds) of an image's newest step: since then the next one is owed."""
    steps = [float(record.get(name, "0")) for name in ("at", ledger.RETRIED_AT, ledger.REPLAYED_AT)]
    steps += [float(value) for name, value in record.items() if name.startswith(ledger.AT_PREFIX)]
    for order in Order:
        if order in record:
            sent = Sent.model_validate_json(record[order])
            steps += [sent.at, sent.again_at, sent.acked_at]
    return max(steps)


def _events(record: dict[str, str]) -> Iterator[Moment]:
    for kind in EventKind:
        at = record.get(f"{ledger.AT_PREFIX}{kind}")
        if at is None:
            continue
        taken = kind in record
        detail = "" if taken else "skipped: the CSC was not ENABLED"
        yield Moment(at=float(at), worker=Worker.SAL, what=f"{kind} heard", detail=detail)


def _orders(record: dict[str, str], settings: Settings) -> Iterator[Moment]:
    names = message_names(settings)
    current = {order: Sent.model_validate_json(record[order]) for order in Order if order in record}
    exposure = Exposure(
        obsid=record.get("obsid", ""),
        job=0,
        sent=current,
        heard_at={kind: float(record[name]) for kind in EventKind if (name := f"{ledger.AT_PREFIX}{kind}") in record},
    )
    for order, sent in current.items():
        yield from _order(names[order], sent, exposure.possible_since(order), record.get("target_dir", ""), order)
    for name, value in record.items():
        if name.startswith(ledger.PAST_PREFIX):
            order = Order(name.split(":")[1])
            yield from _order(f"{names[order]} (earlier pairing)", Sent.model_validate_json(value), None, "", order)


def _order(name: str, sent: Sent, since: float | None, target_dir: str, order: Order) -> Iterator[Moment]:
    if sent.at:
        took = sent.at - since if since and sent.at >= since else None
        yield Moment(at=sent.at, worker=Worker.BRIDGE, what=f"{name} sent", detail=sent.ack_id, took_s=took)
    if sent.again_at:
        yield Moment(at=sent.again_at, worker=Worker.BRIDGE, what=f"{name} sent again", detail=sent.ack_id)
    if sent.acked_at:
        detail = target_dir if order is Order.NEW_ITEM else ""
        took = sent.acked_at - sent.at if sent.at else None
        yield Moment(at=sent.acked_at, worker=Worker.BRIDGE, what=f"{name} answered", detail=detail, took_s=took)


def _statuses(record: dict[str, str]) -> Iterator[Moment]:
    told = [Sent.model_validate_json(record[order]).at for order in Order if order in record]
    retrieved: dict[str, float] = {}
    for report in statuses.reports_of(record):
        is_retrieval = report.topic is StatusTopic.RETRIEVAL
        since = max(told, default=0.0) if is_retrieval else retrieved.get(report.ccd, 0.0)
        if is_retrieval:
            retrieved[report.ccd] = report.at
        ccd = f"{report.raft} {report.sensor}".strip() or report.filename
        done = "retrieved" if is_retrieval else "ingested"
        yield Moment(
            at=report.at,
            worker=Worker.SAL,
            what=f"{ccd} {done}" if report.code == 0 else f"{ccd} NOT {done}",
            detail=report.topic.value if report.code == 0 else f"{report.code} {report.description}",
            took_s=report.at - since if 0 < since <= report.at else None,
        )


def _ends(record: dict[str, str]) -> Iterator[Moment]:
    if ledger.RETRIED_AT in record:
        yield Moment(at=float(record[ledger.RETRIED_AT]), worker=None, what="tried again by an operator")
    if ledger.REPLAYED_AT in record:
        yield Moment(at=float(record[ledger.REPLAYED_AT]), worker=None, what="orders sent again by an operator")
    if "finished" in record:
        heard = [float(record[name]) for kind in EventKind if (name := f"{ledger.AT_PREFIX}{kind}") in record]
        at = float(record["finished"])
        took = at - max(heard) if heard and at >= max(heard) else None
        state, detail = record.get("state", "?"), record.get("failed", "")
        worker = Worker.SAL if state == ledger.ImageState.COMPLETE else None
        yield Moment(at=at, worker=worker, what=state, detail=detail, took_s=took)


def message_names(settings: Settings) -> dict[Order, str]:
    """Name the message of each order, as this site calls it."""
    return {
        Order.NEW_ITEM: settings.new_archive_item,
        Order.XFER_PARAMS: settings.fwdr_xfer_params,
        Order.END_READOUT: settings.fwdr_end_readout,
        Order.HEADER_READY: settings.fwdr_header_ready,
    }
