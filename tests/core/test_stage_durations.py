"""Stage durations are counted in the transaction that ends the stage."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ccarchiver_core.domain.exposure import EventKind, Exposure, Instruction, SentInstruction
from ccarchiver_core.keys import Worker
from ccarchiver_core.store import stage_durations
from ccarchiver_core.store.stage_durations import BOUNDS_S, Stage
from ccarchiver_core.store.transaction import Transaction
from tests.core.redis_helpers import holding, looking_into, site

if TYPE_CHECKING:
    from ccarchiver_sim.testbed.brokers import PrivateRedis


async def test_durations_are_counted_in_their_buckets(fresh_redis: PrivateRedis) -> None:
    settings = site(fresh_redis.port)
    transaction = Transaction()
    for seconds in (0.0, 0.005, 0.0051, 1.0, 301.0, -0.5):
        stage_durations.observe(transaction, Stage.IMAGE, seconds)
    async with holding(Worker.SAL, settings) as context, looking_into(settings) as redis:
        await context.transactions.apply(transaction)
        found = await stage_durations.read(redis)

    image = found[Stage.IMAGE]
    in_buckets = dict(zip([*BOUNDS_S, None], image.counts, strict=True))
    assert {bound: count for bound, count in in_buckets.items() if count} == {
        0.005: 2,
        0.01: 1,
        1.0: 1,
        None: 1,
    }
    assert image.count == 5, "a duration that a clock jump made negative is omitted"
    assert image.total_s == pytest.approx(302.0101)
    assert found[Stage.INGEST].count == 0


def exposure(*, new_item_acked: float = 0.0, params: float = 0.0, **received_at: float) -> Exposure:
    sent = {
        Instruction.NEW_ITEM: SentInstruction(
            ack_id="1", session_id="s", epoch=0, sent_at=1.0, acked_at=new_item_acked
        ),
        Instruction.XFER_PARAMS: SentInstruction(
            ack_id="2", session_id="s", epoch=1, sent_at=params
        ),
    }
    return Exposure(
        obsid="i",
        job=1,
        sent=sent,
        received_at={EventKind(kind): at for kind, at in received_at.items()},
    )


@pytest.mark.parametrize(
    ("instruction", "since"),
    [
        (Instruction.NEW_ITEM, 1.0),
        (Instruction.XFER_PARAMS, 5.0),
        (Instruction.END_READOUT, 7.0),  # received before it could be sent
        (Instruction.HEADER_READY, 9.0),  # ready when the event was received
    ],
)
def test_instruction_is_ready_when_the_last_of_its_inputs_arrived(
    instruction: Instruction, since: float
) -> None:
    image = exposure(
        new_item_acked=5.0,
        params=7.0,
        startIntegration=1.0,
        endReadout=6.0,
        largeFileObjectAvailable=9.0,
    )

    assert image.ready_at(instruction) == since


@pytest.mark.parametrize("instruction", list(Instruction))
def test_instruction_without_input_times_has_no_ready_time(instruction: Instruction) -> None:
    assert exposure().ready_at(instruction) is None
