"""Estimated times of missed images: in their night, and between their neighbours."""

from __future__ import annotations

import datetime as dt

import pytest

from ccarchiver_core.domain.image_name import day_of
from ccarchiver_core.status.images import bounds_of
from ccarchiver_health.reconcile.exposure_times import ExposureTimes

DAY = dt.date(2026, 11, 22)
BEGIN, END = bounds_of(DAY)
KNOWN = {"CC_O_20261122_000003": BEGIN + 300, "CC_O_20261122_000007": BEGIN + 700}


@pytest.mark.parametrize(
    ("obsid", "at"),
    [
        ("CC_O_20261122_000005", BEGIN + 300),
        ("CC_O_20261122_000009", BEGIN + 700),
        ("CC_O_20261122_000001", BEGIN + 300),
        ("CC_C_20261122_000005", END - 1),
        ("CC_O_20261123_000001", END + 5000),
        ("CC_O_00000000_000001", END + 5000),
        ("CC_nameless", END + 5000),
    ],
    ids=["between", "after", "before", "other sequence", "next night", "no date", "no number"],
)
def test_missed_image_gets_the_time_of_its_neighbour_or_of_its_night(obsid: str, at: float) -> None:
    assert ExposureTimes(KNOWN, now=END + 5000).estimate(obsid) == at


@pytest.mark.parametrize(
    ("name", "day"),
    [
        ("CC_O_20261122_000017", DAY),
        ("CC_O_20261322_000017", None),
        ("20261122_000017", None),
        ("CC_O_20261122", None),
    ],
)
def test_observing_day_is_read_from_a_name(name: str, day: dt.date | None) -> None:
    assert day_of(name) == day
