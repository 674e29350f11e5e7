"""Equality of the values of two fields, in place of numpy's function of this name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeGuard


def array_equal(first: object, second: object, *, equal_nan: bool = False) -> bool:
    """Return whether two scalars, texts or sequences are equal, sequences element by element.

    Parameters
    ----------
    first, second
        The values.
    equal_nan
        Whether two values that are not a number are equal.
    """
    if _is_sequence(first) and _is_sequence(second):
        return len(first) == len(second) and all(
            array_equal(one, other, equal_nan=equal_nan)
            for one, other in zip(first, second, strict=True)
        )
    if _is_sequence(first) or _is_sequence(second):
        return False
    if equal_nan and first != first and second != second:  # noqa: PLR0124  only NaN is unequal to itself
        return True
    return bool(first == second)


def _is_sequence(value: object) -> TypeGuard[Sequence[object]]:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)
