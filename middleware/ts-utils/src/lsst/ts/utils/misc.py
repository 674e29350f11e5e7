"""Small helper functions."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator

__all__ = ["index_generator", "make_done_future"]

MAX_SAL_INDEX = (1 << 31) - 1
"""Largest SAL index: the largest value of a 32-bit signed integer."""


def index_generator(
    imin: int = 1, imax: int = MAX_SAL_INDEX, i0: int | None = None
) -> Generator[int, None, None]:
    """Return an infinite generator of i0, i0 + 1, ... imax, imin, imin + 1 ...

    Parameters
    ----------
    imin, imax
        Smallest and largest number, both included.
    i0
        First number; ``imin`` if None.

    Raises
    ------
    ValueError
        If imin >= imax or i0 is not between the two. The call raises it, not the generator.
    """
    first, last = int(imin), int(imax)
    start = first if i0 is None else int(i0)
    if first >= last:
        message = f"imin={imin} must be less than imax={imax}"
        raise ValueError(message)
    if not first <= start <= last:
        message = f"i0={i0} must be between imin={imin} and imax={imax}"
        raise ValueError(message)

    def numbers() -> Generator[int, None, None]:
        yield from range(start, last + 1)
        for _ in itertools.count():
            yield from range(first, last + 1)

    return numbers()


def make_done_future() -> asyncio.Future[None]:
    """Return a completed future with the result None."""
    future: asyncio.Future[None] = asyncio.Future()
    future.set_result(None)
    return future
