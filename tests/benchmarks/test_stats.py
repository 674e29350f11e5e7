from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.stats import Summary, quantile, summarize


def test_quantiles_are_measured_values() -> None:
    ordered = [float(number) for number in range(1, 101)]
    assert [quantile(ordered, share) for share in (0.5, 0.9, 0.99, 1.0)] == [50, 90, 99, 100]


def test_every_quantile_of_one_value_is_that_value() -> None:
    assert {quantile([7.0], share) for share in (0.01, 0.5, 0.99, 1.0)} == {7.0}


@pytest.mark.parametrize("share", [0.0, -0.1, 1.1])
def test_quantile_with_a_share_out_of_range_raises_value_error(share: float) -> None:
    with pytest.raises(ValueError, match="is not above 0"):
        quantile([1.0], share)


@given(st.lists(st.floats(allow_nan=False), min_size=1), st.floats(min_value=0.01, max_value=1))
def test_quantile_has_its_share_of_the_values_at_or_below_it(
    values: list[float], share: float
) -> None:
    found = quantile(sorted(values), share)
    assert sum(value <= found for value in values) >= share * len(values)


def test_summarize_accepts_any_order_and_keeps_the_missing_count() -> None:
    summary = summarize([3.0, 1.0, 2.0], missing=4)
    assert (summary.median, summary.p99, summary.longest) == (2, 3, 3)
    assert (summary.count, summary.missing) == (3, 4)


def test_summary_of_no_values_has_nan() -> None:
    summary = summarize([], missing=2)
    assert summary.count == 0
    assert math.isnan(summary.median)
    assert math.isnan(summary.longest)


def test_nan_survives_the_json_of_a_summary() -> None:
    read = Summary.model_validate_json(summarize([], missing=2).model_dump_json())
    assert math.isnan(read.median)
    assert read.missing == 2
