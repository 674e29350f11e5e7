"""The other functions of lsst.ts.utils."""

from __future__ import annotations

import asyncio
import itertools
import os

import pytest
from astropy.coordinates import Angle
from hypothesis import given
from hypothesis import strategies as st
from lsst.ts import utils

DEGREES = st.floats(-1e4, 1e4)


@given(DEGREES, DEGREES)
def test_angles_are_wrapped_and_subtracted(first: float, second: float) -> None:
    assert -180 <= utils.angle_wrap_center(first).deg < 180
    assert 0 <= utils.angle_wrap_nonnegative(first).deg < 360
    difference = utils.angle_diff(first, second).deg
    assert -180 <= difference < 180
    turns = (first - second - difference) / 360
    assert turns == pytest.approx(round(turns), abs=1e-6)


def test_assert_angles_almost_equal_fails_beyond_the_limit() -> None:
    utils.assert_angles_almost_equal(359.999999, Angle("0d"))
    utils.assert_angles_almost_equal(10, 12, max_diff=3)
    with pytest.raises(AssertionError, match="differ by"):
        utils.assert_angles_almost_equal(10, 12)


def test_index_generator_wraps_around() -> None:
    assert list(itertools.islice(utils.index_generator(1, 3, i0=2), 6)) == [2, 3, 1, 2, 3, 1]
    assert next(utils.index_generator()) == 1
    for arguments in (
        {"imin": 2, "imax": 2},
        {"imin": 1, "imax": 5, "i0": 6},
        {"imin": 1, "imax": 5, "i0": 0},
    ):
        with pytest.raises(ValueError, match="must be"):
            utils.index_generator(**arguments)


def test_make_done_future_returns_a_finished_future() -> None:
    async def main() -> None:
        future = utils.make_done_future()
        assert future.done()
        await future

    asyncio.run(main())


def test_modify_environ_restores_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TO_REMOVE", "x")
    before = dict(os.environ)
    with utils.modify_environ(TO_REMOVE=None, TO_ADD="y", NOT_THERE=None):
        assert "TO_REMOVE" not in os.environ
        assert os.environ["TO_ADD"] == "y"
    assert dict(os.environ) == before
    with pytest.raises(RuntimeError, match="TO_ADD"), utils.modify_environ(TO_ADD=3):
        pass
