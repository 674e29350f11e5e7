"""Record the stage durations that are known when an image is complete."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ccarchiver_core.domain.exposure import Instruction
from ccarchiver_core.store.stage_durations import Stage, observe

if TYPE_CHECKING:
    from ccarchiver_core.domain.image_record import ImageRecord
    from ccarchiver_core.store.transaction import Transaction

LAST_INSTRUCTIONS = (Instruction.END_READOUT, Instruction.HEADER_READY)
"""Once the Forwarder has both, it can fetch the image."""


def measure(transaction: Transaction, record: ImageRecord, now: float) -> None:
    """Add an image's durations to the transaction that completes it.

    Parameters
    ----------
    transaction : `Transaction`
        Gets the writes.
    record : `ImageRecord`
        The image before that transaction.
    now : `float`
        Unix time of the last status, UTC, seconds.
    """
    instructions = record.instructions
    sent_at = [instructions[kind].sent_at for kind in LAST_INSTRUCTIONS if kind in instructions]
    if record.last_event_at is not None:
        observe(transaction, Stage.IMAGE, now - record.last_event_at)
    if record.retrieved_at and sent_at and all(sent_at):
        observe(transaction, Stage.RETRIEVE, record.retrieved_at - max(sent_at))
    if record.retrieved_at:
        observe(transaction, Stage.INGEST, now - record.retrieved_at)
