"""What an image's last status tells about its whole way."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ccarchiver_core.domain.exposure import EventKind, Instruction, SentInstruction
from ccarchiver_core.domain.worker_messages import StatusTopic
from ccarchiver_core.store.file_status_fields import DONE
from ccarchiver_core.store.ledger import AT_PREFIX
from ccarchiver_core.store.stage_durations import Stage, observe

if TYPE_CHECKING:
    from ccarchiver_core.store.transaction import Transaction

LAST_ORDERS = (Instruction.END_READOUT, Instruction.HEADER_READY)
"""When it has both, the Forwarder can fetch the image."""


def measure(transaction: Transaction, record: dict[str, str], now: float) -> None:
    """Add an image's durations to the step that completes it.

    Parameters
    ----------
    record : `dict`
        The image's ledger record before that step.
    now : `float`
        Unix time of the last status, UTC, seconds.
    """
    received = [float(record[name]) for kind in EventKind if (name := f"{AT_PREFIX}{kind}") in record]
    told = [
        SentInstruction.model_validate_json(record[instruction]).sent_at
        for instruction in LAST_ORDERS
        if instruction in record
    ]
    retrieved = float(record.get(f"{AT_PREFIX}{DONE[StatusTopic.RETRIEVAL]}", "0"))
    if received:
        observe(transaction, Stage.IMAGE, now - max(received))
    if retrieved and told and all(told):
        observe(transaction, Stage.RETRIEVE, retrieved - max(told))
    if retrieved:
        observe(transaction, Stage.INGEST, now - retrieved)
