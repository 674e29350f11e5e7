"""Gaps in the numbers of image names."""

from __future__ import annotations

import pytest

from ccarchiver_core.domain.number_gaps import LONGEST_GAP, number_gaps


def of(*numbers: int, prefix: str = "CC_O_20261122_") -> list[str]:
    return [f"{prefix}{number:06d}" for number in numbers]


@pytest.mark.parametrize(
    ("names", "missing"),
    [
        (of(1, 2, 3), []),
        (of(3, 1), of(2)),
        (of(1, 4, 6), of(2, 3, 5)),
        (of(17, 18), []),
        ([*of(1, 2), *of(9, prefix="CC_O_20261123_")], []),
        ([*of(1), *of(3, prefix="CC_C_20261122_")], []),
        ([*of(1), "CC_O_20261122_3"], []),
        (["nameless", "other"], []),
        ([], []),
    ],
    ids=[
        "none",
        "any sequence",
        "several",
        "first number",
        "next night",
        "other source",
        "other width",
        "no number",
        "no names",
    ],
)
def test_missing_numbers_are_found_between_names_of_one_sequence(
    names: list[str], missing: list[str]
) -> None:
    gaps = list(number_gaps(names))

    assert [name for gap in gaps for name in gap.names] == missing
    assert sum(gap.size for gap in gaps) == len(missing)
    assert all(gap.next_name in names for gap in gaps)


def test_run_of_too_many_missing_numbers_is_no_gap() -> None:
    assert [gap.size for gap in number_gaps(of(1, LONGEST_GAP + 2))] == [LONGEST_GAP]
    assert list(number_gaps(of(1, LONGEST_GAP + 3))) == []
