"""Estimation of the time of an exposure of which no event was received.

The time puts the image into its night, and between its neighbours in a list.
"""

from __future__ import annotations

import bisect
from typing import TYPE_CHECKING

from ccarchiver_core.domain.image_name import NameSequence, day_of, numbered
from ccarchiver_core.status.images import bounds_of

if TYPE_CHECKING:
    from collections.abc import Mapping


class ExposureTimes:
    """Times of exposures, estimated from those of known images.

    Parameters
    ----------
    known : `~collections.abc.Mapping`
        Unix time (UTC, seconds) of each known image, by its name.
    now : `float`
        The present Unix time.
    """

    def __init__(self, known: Mapping[str, float], now: float) -> None:
        self._now = now
        self._times: dict[NameSequence, list[tuple[int, float]]] = {}
        for name, at in known.items():
            found = numbered(name)
            if found is not None:
                sequence, number = found
                self._times.setdefault(sequence, []).append((number, at))
        for times in self._times.values():
            times.sort()

    def estimate(self, obsid: str) -> float:
        """Return the Unix time of an image.

        It is that of the nearest image of a lower number, or else of a higher one. Without a
        neighbour it is the present, or the end of the observing day in the name if that is over.
        """
        found = numbered(obsid)
        neighbours = self._times.get(found[0], []) if found is not None else []
        if found is not None and neighbours:
            place = bisect.bisect_left(neighbours, (found[1], 0.0))
            return neighbours[max(0, place - 1)][1]
        day = day_of(obsid)
        if day is None:
            return self._now
        begin, end = bounds_of(day)
        return min(max(self._now, begin), end - 1.0)
