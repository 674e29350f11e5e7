"""How long the steps of an image take, as histograms in Redis.

They are written in the step that ends what is measured, so they survive every restart and count nothing twice.
The archiver's own steps are measured apart from its peers' answers.
"""

from __future__ import annotations

import bisect
import enum
from typing import TYPE_CHECKING

from pydantic import BaseModel

from ccarchiver_core import keys
from ccarchiver_core.domain.exposure import Instruction
from ccarchiver_core.redis.client import read_hash

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from ccarchiver_core.store.transaction import Transaction


class Stage(enum.StrEnum):
    """What is measured; in the order an image goes through it."""

    SEND_NEW_ITEM = "send_new_item"
    """startIntegration heard → NEW_CC_ARCHIVE_ITEM confirmed by RabbitMQ."""
    ANSWER_NEW_ITEM = "answer_new_item"
    """… → the Controller's answer recorded."""
    SEND_XFER_PARAMS = "send_xfer_params"
    """The Controller's answer recorded → CC_FWDR_XFER_PARAMS confirmed."""
    ANSWER_XFER_PARAMS = "answer_xfer_params"
    SEND_END_READOUT = "send_end_readout"
    """endReadout heard, and XFER_PARAMS confirmed → CC_FWDR_END_READOUT confirmed."""
    ANSWER_END_READOUT = "answer_end_readout"
    SEND_HEADER_READY = "send_header_ready"
    """largeFileObjectAvailable heard, and XFER_PARAMS confirmed → CC_FWDR_HEADER_READY confirmed."""
    ANSWER_HEADER_READY = "answer_header_ready"
    RETRIEVE = "retrieve"
    """The Forwarder told all → the last CCD retrieved."""
    INGEST = "ingest"
    """The last CCD retrieved → the last one ingested."""
    IMAGE = "image"
    """The last of the image's three events → complete."""


SENDING = {instruction: Stage(f"send_{instruction}") for instruction in Instruction}
"""What the archiver takes to send each order, from when it could."""
ANSWERING = {instruction: Stage(f"answer_{instruction}") for instruction in Instruction}
"""What the peer takes to answer it."""

BOUNDS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
"""Upper bounds of the buckets: from one hop on loopback to an image that counts as stalled."""

BEYOND = "inf"
"""Name of the last bucket."""


class Histogram(BaseModel):
    """One measure: its counts for each bucket of `BOUNDS_S` and one beyond, not cumulated, and the sum in seconds."""

    counts: list[int]
    total_s: float = 0.0

    @property
    def count(self) -> int:
        """How many were measured."""
        return sum(self.counts)


def observe(transaction: Transaction, measure: Stage, seconds: float) -> None:
    """Count one duration with the step; what a stepped clock made negative is left out."""
    if seconds < 0:
        return
    place = bisect.bisect_left(BOUNDS_S, seconds)
    bucket = f"{BOUNDS_S[place]:g}" if place < len(BOUNDS_S) else BEYOND
    transaction.command("HINCRBY", keys.STAGE_DURATIONS, f"{measure}:{bucket}", 1)
    transaction.command("HINCRBYFLOAT", keys.STAGE_DURATIONS, f"{measure}:sum", f"{seconds:.6f}")


async def read(redis: Redis) -> dict[Stage, Histogram]:
    """Read all histograms; a measure never made has zeros."""
    fields = await read_hash(redis, keys.STAGE_DURATIONS)
    names = [*(f"{bound:g}" for bound in BOUNDS_S), BEYOND]
    return {
        measure: Histogram(
            counts=[int(fields.get(f"{measure}:{name}", "0")) for name in names],
            total_s=float(fields.get(f"{measure}:sum", "0")),
        )
        for measure in Stage
    }
