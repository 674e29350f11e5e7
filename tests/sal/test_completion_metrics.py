"""The stage durations that are measured when an image is complete."""

from __future__ import annotations

import pytest

from ccarchiver_core import keys
from ccarchiver_core.domain.exposure import EventKind, Instruction, SentInstruction
from ccarchiver_core.domain.image_record import ImageRecord, ImageState
from ccarchiver_core.store.stage_durations import Stage
from ccarchiver_core.store.transaction import Transaction
from ccarchiver_sal import completion_metrics

EVENT_TIMES = dict(zip(EventKind, (10.0, 20.0, 21.0), strict=True))


def sent(at: float) -> SentInstruction:
    return SentInstruction(ack_id="a", session_id="s", epoch=1, sent_at=at)


def image(
    *, end_readout: float | None = None, header_ready: float = 22.0, retrieved: float = 0.0
) -> ImageRecord:
    instructions = {}
    if end_readout is not None:
        instructions[Instruction.END_READOUT] = sent(end_readout)
        instructions[Instruction.HEADER_READY] = sent(header_ready)
    return ImageRecord(
        "i",
        ImageState.ACCEPTED,
        event_times=EVENT_TIMES,
        instructions=instructions,
        retrieved_at=retrieved,
    )


def sums(record: ImageRecord, now: float) -> dict[str, float]:
    """Return what is added to the sum of each stage."""
    transaction = Transaction()
    completion_metrics.measure(transaction, record, now)
    written = [words for words in transaction.commands if words[0] == "HINCRBYFLOAT"]
    assert {words[1] for words in written} <= {keys.STAGE_DURATIONS}
    return {str(words[2]).removesuffix(":sum"): float(words[3]) for words in written}


def test_each_stage_is_measured_from_the_end_of_the_one_before_it() -> None:
    found = sums(image(end_readout=20.5, retrieved=24.0), now=25.5)

    assert found == pytest.approx({Stage.IMAGE: 4.5, Stage.RETRIEVE: 2.0, Stage.INGEST: 1.5})


def test_stage_without_a_recorded_begin_is_not_measured() -> None:
    without_time = image(end_readout=0.0, retrieved=24.0)  # from a version that recorded no times
    assert sums(without_time, now=25.5).keys() == {Stage.IMAGE, Stage.INGEST}
    assert sums(image(), now=25.5).keys() == {Stage.IMAGE}
    assert sums(ImageRecord("i", ImageState.UNANNOUNCED), now=25.5) == {}
