"""The durations of the stages of an image, as histograms in Redis.

A duration is recorded in the transaction that ends its stage, or for `Stage.RETRIEVE` in the one
that completes the image. So the histograms survive each restart and count each duration once. The
archiver's own stages are separate from its peers' answers.
"""

from __future__ import annotations

import bisect
import enum
from typing import TYPE_CHECKING

from pydantic import BaseModel

from ccarchiver_core import keys
from ccarchiver_core.domain.exposure import Instruction
from ccarchiver_core.redis.replies import read_hash
from ccarchiver_core.store.field_parser import FieldParser

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from ccarchiver_core.store.transaction import Transaction


class Stage(enum.StrEnum):
    """A stage that is measured, in the sequence in which an image passes through them."""

    SEND_NEW_ITEM = "send_new_item"
    """startIntegration received → NEW_CC_ARCHIVE_ITEM confirmed by RabbitMQ."""
    ANSWER_NEW_ITEM = "answer_new_item"
    """… → the Controller's answer recorded."""
    SEND_XFER_PARAMS = "send_xfer_params"
    """The Controller's answer recorded → CC_FWDR_XFER_PARAMS confirmed."""
    ANSWER_XFER_PARAMS = "answer_xfer_params"
    SEND_END_READOUT = "send_end_readout"
    """endReadout received, and XFER_PARAMS confirmed → CC_FWDR_END_READOUT confirmed."""
    ANSWER_END_READOUT = "answer_end_readout"
    SEND_HEADER_READY = "send_header_ready"
    """largeFileObjectAvailable received, and XFER_PARAMS confirmed → HEADER_READY confirmed."""
    ANSWER_HEADER_READY = "answer_header_ready"
    RETRIEVE = "retrieve"
    """All instructions sent to the Forwarder → the last CCD retrieved."""
    INGEST = "ingest"
    """The last CCD retrieved → the last one ingested."""
    IMAGE = "image"
    """The last of the image's three events → complete."""


SENDING = {instruction: Stage(f"send_{instruction}") for instruction in Instruction}
"""The stage that ends when an instruction is sent; it begins when it could be sent."""
ANSWERING = {instruction: Stage(f"answer_{instruction}") for instruction in Instruction}
"""The stage that ends when the peer's acknowledgement of an instruction arrives."""

BOUNDS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
"""Upper bounds of the buckets, from one hop on loopback to the age of a stalled image."""

BEYOND = "inf"
"""Name of the last bucket."""


class Histogram(BaseModel):
    """The durations of one stage.

    The counts are those of each bucket of `BOUNDS_S` and of one beyond, not cumulative.
    """

    counts: list[int]
    total_s: float = 0.0
    """Sum of all durations in seconds."""

    @property
    def count(self) -> int:
        """Number of durations."""
        return sum(self.counts)


def observe(transaction: Transaction, stage: Stage, seconds: float) -> None:
    """Add a duration to a transaction. A negative one, which a clock jump causes, is left out."""
    if seconds < 0:
        return
    place = bisect.bisect_left(BOUNDS_S, seconds)
    bucket = f"{BOUNDS_S[place]:g}" if place < len(BOUNDS_S) else BEYOND
    transaction.command("HINCRBY", keys.STAGE_DURATIONS, f"{stage}:{bucket}", 1)
    transaction.command("HINCRBYFLOAT", keys.STAGE_DURATIONS, f"{stage}:sum", f"{seconds:.6f}")


async def read(redis: Redis) -> dict[Stage, Histogram]:
    """Return all histograms. That of a stage without durations contains zeros."""
    fields = await read_hash(redis, keys.STAGE_DURATIONS)
    parser = FieldParser(keys.STAGE_DURATIONS, fields)
    names = [*(f"{bound:g}" for bound in BOUNDS_S), BEYOND]
    return {
        stage: Histogram(
            counts=[parser.integer(f"{stage}:{name}") for name in names],
            total_s=parser.time(f"{stage}:sum"),
        )
        for stage in Stage
    }
