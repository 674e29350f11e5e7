"""The comparison of fields gives the results of numpy's function of the same name."""

from __future__ import annotations

import numpy as np
import pytest

from ccarchiver_core.runtime.array_equal import array_equal

NAN = float("nan")
PAIRS: tuple[tuple[object, object], ...] = (
    (1, 1),
    (1, 2),
    (1, 1.0),
    (1.5, 1.5),
    (True, 1),
    (0.0, -0.0),
    ("a", "a"),
    ("a", "b"),
    ("", ""),
    ([1, 2], [1, 2]),
    ([1, 2], (1, 2)),
    ([1, 2], [1, 3]),
    ([1, 2], [1, 2, 3]),
    ([1], 1),
    ([], []),
    (["a"], ["a"]),
    ([0.5, 1.0], [0.5, 1]),
)


@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_same_result_as_numpy(first: object, second: object) -> None:
    expected = bool(np.array_equal(first, second))  # type: ignore[arg-type]  # any value
    assert array_equal(first, second) is expected
    assert array_equal(second, first) is expected


@pytest.mark.parametrize("equal_nan", [True, False])
@pytest.mark.parametrize(
    ("first", "second"), [(NAN, NAN), (NAN, 1.0), ([NAN, 1.0], [NAN, 1.0]), ([NAN], [1.0])]
)
def test_not_a_number_as_with_numpy(first: object, second: object, *, equal_nan: bool) -> None:
    expected = bool(np.array_equal(first, second, equal_nan=equal_nan))  # type: ignore[arg-type]
    assert array_equal(first, second, equal_nan=equal_nan) is expected
