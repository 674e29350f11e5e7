"""Durations are counted in the step that ends them, and only what the archiver or a peer took for one step."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ccarchiver_core import measures
from ccarchiver_core.exposure import EventKind, Exposure, Order, Sent
from ccarchiver_core.keys import Worker
from ccarchiver_core.measures import BOUNDS_S, Measure
from ccarchiver_core.step import Step
from tests.core.place import holding, looking_into, site

if TYPE_CHECKING:
    from ccarchiver_sim.brokers import PrivateRedis


async def test_durations_are_counted_in_their_buckets(fresh_redis: PrivateRedis) -> None:
    settings = site(fresh_redis.port)
    step = Step()
    for seconds in (0.0, 0.005, 0.0051, 1.0, 301.0, -0.5):
        measures.observe(step, Measure.IMAGE, seconds)
    async with holding(Worker.SAL, settings) as context, looking_into(settings) as redis:
        await context.runner.apply(step)
        found = await measures.read(redis)

    image = found[Measure.IMAGE]
    in_buckets = dict(zip([*BOUNDS_S, None], image.counts, strict=True))
    assert {bound: count for bound, count in in_buckets.items() if count} == {0.005: 2, 0.01: 1, 1.0: 1, None: 1}
    assert image.count == 5, "what a stepped clock made negative is left out"
    assert image.total_s == pytest.approx(302.0101)
    assert found[Measure.INGEST].count == 0


def exposure(*, asked_answered: float = 0.0, params: float = 0.0, **heard_at: float) -> Exposure:
    sent = {
        Order.NEW_ITEM: Sent(ack_id="1", session_id="s", epoch=0, at=1.0, acked_at=asked_answered),
        Order.XFER_PARAMS: Sent(ack_id="2", session_id="s", epoch=1, at=params),
    }
    return Exposure(obsid="i", job=1, sent=sent, heard_at={EventKind(kind): at for kind, at in heard_at.items()})


@pytest.mark.parametrize(
    ("order", "since"),
    [
        (Order.NEW_ITEM, 1.0),
        (Order.XFER_PARAMS, 5.0),
        (Order.END_READOUT, 7.0),  # heard before it could be sent
        (Order.HEADER_READY, 9.0),  # sent as soon as it was heard
    ],
)
def test_an_order_is_possible_since_the_last_thing_it_needs(order: Order, since: float) -> None:
    image = exposure(asked_answered=5.0, params=7.0, startIntegration=1.0, endReadout=6.0, largeFileObjectAvailable=9.0)

    assert image.possible_since(order) == since


@pytest.mark.parametrize("order", list(Order))
def test_an_order_whose_needs_have_no_time_is_not_measured(order: Order) -> None:
    assert exposure().possible_since(order) is None
