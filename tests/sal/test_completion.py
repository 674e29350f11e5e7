"""What the last status of an image tells: each part of its way measured by itself."""

from __future__ import annotations

import pytest

from ccarchiver_core import keys
from ccarchiver_core.domain.exposure import EventKind, Instruction, SentInstruction
from ccarchiver_core.store.stage_durations import Stage
from ccarchiver_core.store.transaction import Transaction
from ccarchiver_sal import completion_metrics

HEARD = {f"at:{kind}": str(at) for kind, at in zip(EventKind, (10.0, 20.0, 21.0), strict=True)}


def sent(at: float) -> str:
    return SentInstruction(ack_id="a", session_id="s", epoch=1, sent_at=at).model_dump_json()


def sums(record: dict[str, str], now: float) -> dict[str, float]:
    """Give what is added to each measure's sum."""
    transaction = Transaction()
    completion_metrics.measure(transaction, record, now)
    written = [words for words in transaction.commands if words[0] == "HINCRBYFLOAT"]
    assert {words[1] for words in written} <= {keys.STAGE_DURATIONS}
    return {str(words[2]).removesuffix(":sum"): float(words[3]) for words in written}


def test_each_part_is_measured_from_what_it_followed() -> None:
    told = {Instruction.END_READOUT.value: sent(20.5), Instruction.HEADER_READY.value: sent(22.0)}

    found = sums(HEARD | told | {"at:retrieved": "24.0"}, now=25.5)

    assert found == pytest.approx({Stage.IMAGE: 4.5, Stage.RETRIEVE: 2.0, Stage.INGEST: 1.5})


def test_what_is_not_known_is_not_measured() -> None:
    told = {
        Instruction.END_READOUT.value: sent(0.0),
        Instruction.HEADER_READY.value: sent(22.0),
    }  # of a version without times

    assert sums(HEARD | told | {"at:retrieved": "24.0"}, now=25.5).keys() == {Stage.IMAGE, Stage.INGEST}
    assert sums(HEARD, now=25.5).keys() == {Stage.IMAGE}
    assert sums({}, now=25.5) == {}
