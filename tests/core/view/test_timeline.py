from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ccarchiver_core import keys
from ccarchiver_core.domain.exposure import Instruction, SentInstruction
from ccarchiver_core.domain.worker_messages import StatusTopic
from ccarchiver_core.status.ccds import CcdState, ccds_of
from ccarchiver_core.status.timeline import last_progress_at, timeline
from ccarchiver_core.store import ledger
from ccarchiver_core.store.file_status_fields import field_of, value_of
from ccarchiver_core.store.transaction import Transaction
from tests.core.redis_helpers import looking_into, site
from tests.support.ledger_builder import EXPOSURE_S, HOP_S, READY_S, LedgerBuilder, Way, status_of

if TYPE_CHECKING:
    from ccarchiver_core.config.settings import Settings
    from ccarchiver_sim.testbed.brokers import PrivateRedis

AT = 1_795_000_000.0


async def record_of(server: PrivateRedis, way: Way, *more: Transaction, files: int | None = None) -> dict[str, str]:
    settings = site(server.port)
    async with looking_into(settings) as redis:
        ledger_builder = LedgerBuilder(redis, settings)
        await ledger_builder.exposure("i", 1, AT, way, files)
        await ledger_builder.write(*more)
        return await ledger.read_record(redis, "i")


def settings_of(server: PrivateRedis) -> Settings:
    return site(server.port)


async def test_steps_are_in_order_with_what_each_took(fresh_redis: PrivateRedis) -> None:
    moments = timeline(await record_of(fresh_redis, Way.COMPLETE), settings_of(fresh_redis))

    assert [moment.at for moment in moments] == sorted(moment.at for moment in moments)
    assert len(moments) == 3 + 2 * 4 + 2 * 9 + 1
    took = {moment.what: moment.took_s for moment in moments}
    assert took["NEW_CC_ARCHIVE_ITEM sent"] == pytest.approx(HOP_S, abs=0.002)
    assert took["NEW_CC_ARCHIVE_ITEM answered"] == pytest.approx(HOP_S, abs=0.002)
    assert took["CC_FWDR_END_READOUT sent"] == pytest.approx(HOP_S, abs=0.002)
    assert moments[-1].what == "complete"
    assert moments[-1].took_s == pytest.approx(moments[-1].at - AT - READY_S, abs=0.002)


async def test_an_order_of_an_earlier_pairing_is_told_too(fresh_redis: PrivateRedis) -> None:
    transaction = Transaction()
    ledger.record_superseded(
        transaction,
        "i",
        Instruction.XFER_PARAMS,
        SentInstruction(ack_id="a:1", session_id="s", epoch=0, sent_at=AT + 0.02),
    )

    moments = timeline(await record_of(fresh_redis, Way.PLACED, transaction), settings_of(fresh_redis))

    sent = [moment.what for moment in moments if moment.what.startswith("CC_FWDR_XFER_PARAMS")]
    assert sent[0] == "CC_FWDR_XFER_PARAMS (earlier pairing) sent"


@pytest.mark.parametrize(
    ("way", "after"),
    [(Way.HEARD, HOP_S), (Way.PLACED, 4 * HOP_S), (Way.TOLD, READY_S + 2 * HOP_S)],
)
async def test_the_next_step_is_owed_since_the_last_one(fresh_redis: PrivateRedis, way: Way, after: float) -> None:
    assert last_progress_at(await record_of(fresh_redis, way)) == pytest.approx(AT + after, abs=0.002)


async def test_an_operators_retry_is_a_step(fresh_redis: PrivateRedis) -> None:
    transaction = Transaction().set_fields(keys.image("i"), {ledger.RETRIED_AT: AT + 900, ledger.REPLAYED_AT: AT + 950})

    record = await record_of(fresh_redis, Way.HEARD, transaction)

    assert last_progress_at(record) == AT + 950
    assert [moment.worker for moment in timeline(record, settings_of(fresh_redis))][-2:] == [None, None]


async def test_ccds_are_those_of_the_focal_plane_and_how_far_each_is(fresh_redis: PrivateRedis) -> None:
    bad = status_of("i", StatusTopic.IN_OODS, "22", "S01", code=5620)
    transaction = Transaction().set_fields(keys.image("i"), {field_of(bad): value_of(bad, AT + EXPOSURE_S + 9)})

    ccds = ccds_of(await record_of(fresh_redis, Way.COMPLETE, transaction, files=2), settings_of(fresh_redis))

    assert [ccd.sensor for ccd in ccds] == ["S00", "S01", "S02", "S10", "S11", "S12", "S20", "S21", "S22"]
    assert [ccd.state for ccd in ccds[:3]] == [CcdState.INGESTED, CcdState.FAILED, CcdState.RETRIEVED]
    assert ccds[1].code == 5620
