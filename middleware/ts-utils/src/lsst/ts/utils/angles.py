"""Differences and wrapping of angles; a plain number is an angle in degrees.

The package imports this module on first use: astropy needs 38 MB, and a CSC uses no angle.
"""

from __future__ import annotations

from typing import TypeAlias

import astropy.units as u
from astropy.coordinates import Angle

__all__ = [
    "AngleOrDegType",
    "angle_diff",
    "angle_wrap_center",
    "angle_wrap_nonnegative",
    "assert_angles_almost_equal",
]

AngleOrDegType: TypeAlias = Angle | float

_HALF_TURN = Angle(180, u.deg)
_FULL_TURN = Angle(360, u.deg)


def angle_wrap_center(angle: AngleOrDegType) -> Angle:
    """Return the angle in the range -180 <= angle < 180 degrees."""
    return Angle(angle, u.deg).wrap_at(_HALF_TURN)


def angle_wrap_nonnegative(angle: AngleOrDegType) -> Angle:
    """Return the angle in the range 0 <= angle < 360 degrees."""
    return Angle(angle, u.deg).wrap_at(_FULL_TURN)


def angle_diff(angle1: AngleOrDegType, angle2: AngleOrDegType) -> Angle:
    """Return angle1 - angle2 in the range -180 <= difference < 180 degrees."""
    return angle_wrap_center(Angle(angle1, u.deg) - Angle(angle2, u.deg))


def assert_angles_almost_equal(
    angle1: AngleOrDegType, angle2: AngleOrDegType, max_diff: AngleOrDegType = 1e-5
) -> None:
    """Raise AssertionError if two angles differ by more than ``max_diff``, whatever their wrap."""
    difference = abs(angle_diff(angle1, angle2))
    if difference > Angle(max_diff, u.deg):
        message = f"{angle1} and {angle2} differ by {difference}, which is more than {max_diff}"
        raise AssertionError(message)
