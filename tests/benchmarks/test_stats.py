from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.stats import Summary, quantile, summarize


def test_quantiles_are_measured_values() -> None:
    ordered = [float(number) for number in range(1, 101)]
    assert [quantile(ordered, share) for share in (0.5, 0.9, 0.99, 1.0)] == [50, 90, 99, 100]


def test_one_value_is_all_its_quantiles() -> None:
    assert {quantile([7.0], share) for share in (0.01, 0.5, 0.99, 1.0)} == {7.0}


@pytest.mark.parametrize("share", [0.0, -0.1, 1.1])
def test_a_share_out_of_range_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match="is not above 0"):
        quantile([1.0], share)


@given(st.lists(st.floats(allow_nan=False), min_size=1), st.floats(min_value=0.01, max_value=1))
def test_a_quantile_leaves_its_share_below(values: list[float], share: float) -> None:
    found = quantile(sorted(values), share)
    assert sum(value <= found for value in values) >= share * len(values)


def test_a_summary_needs_no_order_and_keeps_what_is_missing() -> None:
    summary = summarize([3.0, 1.0, 2.0], missing=4)
    assert (summary.median, summary.p99, summary.longest) == (2, 3, 3)
    assert (summary.count, summary.missing) == (3, 4)


def test_of_nothing_there_is_no_number() -> None:
    summary = summarize([], missing=2)
    assert summary.count == 0
    assert math.isnan(summary.median)
    assert math.isnan(summary.longest)


def test_what_is_no_number_survives_its_file() -> None:
    read = Summary.model_validate_json(summarize([], missing=2).model_dump_json())
    assert math.isnan(read.median)
    assert read.missing == 2
