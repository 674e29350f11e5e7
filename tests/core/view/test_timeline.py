from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ccarchiver_core import keys, ledger
from ccarchiver_core.exposure import Order, Sent
from ccarchiver_core.mail import StatusTopic
from ccarchiver_core.statuses import field_of, value_of
from ccarchiver_core.step import Step
from ccarchiver_core.view.ccds import CcdState, ccds_of
from ccarchiver_core.view.timeline import last_step_at, timeline
from tests.core.place import looking_into, site
from tests.support.scribe import EXPOSURE_S, HOP_S, READY_S, Scribe, Way, status_of

if TYPE_CHECKING:
    from ccarchiver_core.settings import Settings
    from ccarchiver_sim.brokers import PrivateRedis

AT = 1_795_000_000.0


async def record_of(server: PrivateRedis, way: Way, *more: Step, files: int | None = None) -> dict[str, str]:
    settings = site(server.port)
    async with looking_into(settings) as redis:
        scribe = Scribe(redis, settings)
        await scribe.exposure("i", 1, AT, way, files)
        await scribe.write(*more)
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
    step = Step()
    ledger.record_past(step, "i", Order.XFER_PARAMS, Sent(ack_id="a:1", session_id="s", epoch=0, at=AT + 0.02))

    moments = timeline(await record_of(fresh_redis, Way.PLACED, step), settings_of(fresh_redis))

    sent = [moment.what for moment in moments if moment.what.startswith("CC_FWDR_XFER_PARAMS")]
    assert sent[0] == "CC_FWDR_XFER_PARAMS (earlier pairing) sent"


@pytest.mark.parametrize(
    ("way", "after"),
    [(Way.HEARD, HOP_S), (Way.PLACED, 4 * HOP_S), (Way.TOLD, READY_S + 2 * HOP_S)],
)
async def test_the_next_step_is_owed_since_the_last_one(fresh_redis: PrivateRedis, way: Way, after: float) -> None:
    assert last_step_at(await record_of(fresh_redis, way)) == pytest.approx(AT + after, abs=0.002)


async def test_an_operators_retry_is_a_step(fresh_redis: PrivateRedis) -> None:
    step = Step().set_fields(keys.image("i"), {ledger.RETRIED_AT: AT + 900, ledger.REPLAYED_AT: AT + 950})

    record = await record_of(fresh_redis, Way.HEARD, step)

    assert last_step_at(record) == AT + 950
    assert [moment.worker for moment in timeline(record, settings_of(fresh_redis))][-2:] == [None, None]


async def test_ccds_are_those_of_the_focal_plane_and_how_far_each_is(fresh_redis: PrivateRedis) -> None:
    bad = status_of("i", StatusTopic.IN_OODS, "22", "S01", code=5620)
    step = Step().set_fields(keys.image("i"), {field_of(bad): value_of(bad, AT + EXPOSURE_S + 9)})

    ccds = ccds_of(await record_of(fresh_redis, Way.COMPLETE, step, files=2), settings_of(fresh_redis))

    assert [ccd.sensor for ccd in ccds] == ["S00", "S01", "S02", "S10", "S11", "S12", "S20", "S21", "S22"]
    assert [ccd.state for ccd in ccds[:3]] == [CcdState.INGESTED, CcdState.FAILED, CcdState.RETRIEVED]
    assert ccds[1].code == 5620
