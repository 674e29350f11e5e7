"""A figure that grows is found, one that is only restless is not."""

from __future__ import annotations

import pytest

from ccarchiver_sim.soak.sample import Sample
from ccarchiver_sim.soak.slope import theil_sen, trends


def test_the_slope_of_a_line() -> None:
    assert theil_sen([(x, 3.0 * x + 1.0) for x in range(10)]) == pytest.approx(3.0)


def test_a_few_wild_samples_do_not_move_it() -> None:
    points = [(float(x), 5.0) for x in range(20)]
    points[3], points[17] = (3.0, 900.0), (17.0, 900.0)
    assert theil_sen(points) == 0.0


def test_no_slope_without_two_points() -> None:
    assert theil_sen([]) == 0.0
    assert theil_sen([(1.0, 1.0)]) == 0.0


def test_a_leak_is_found_and_what_settles_is_not() -> None:
    samples = [
        Sample(float(at), {"sal open files": 20.0 + at, "bridge open files": min(20.0 + at, 30.0)}) for at in range(60)
    ]
    verdicts = {trend.name: trend.is_flat for trend in trends(samples)}
    assert verdicts == {"sal open files": False, "bridge open files": True}


def test_a_saw_tooth_is_flat() -> None:
    samples = [Sample(float(at), {"ledger": 100.0 + at % 15}) for at in range(60)]
    assert all(trend.is_flat for trend in trends(samples))
