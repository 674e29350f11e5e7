"""The soak test finds a growing value, not one that only fluctuates."""

from __future__ import annotations

import pytest

from ccarchiver_sim.soak.sample import Sample
from ccarchiver_sim.soak.slope import theil_sen, trends


def test_theil_sen_returns_the_slope_of_a_line() -> None:
    assert theil_sen([(x, 3.0 * x + 1.0) for x in range(10)]) == pytest.approx(3.0)


def test_theil_sen_ignores_a_few_outliers() -> None:
    points = [(float(x), 5.0) for x in range(20)]
    points[3], points[17] = (3.0, 900.0), (17.0, 900.0)
    assert theil_sen(points) == 0.0


def test_theil_sen_returns_zero_for_fewer_than_two_points() -> None:
    assert theil_sen([]) == 0.0
    assert theil_sen([(1.0, 1.0)]) == 0.0


def test_trends_find_a_leak_but_not_a_value_that_levels_off() -> None:
    samples = [
        Sample(float(at), {"sal open files": 20.0 + at, "bridge open files": min(20.0 + at, 30.0)})
        for at in range(60)
    ]
    verdicts = {trend.name: trend.is_flat for trend in trends(samples)}
    assert verdicts == {"sal open files": False, "bridge open files": True}


def test_saw_tooth_is_a_flat_trend() -> None:
    samples = [Sample(float(at), {"ledger": 100.0 + at % 15}) for at in range(60)]
    assert all(trend.is_flat for trend in trends(samples))
