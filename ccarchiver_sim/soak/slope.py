"""Detection of growth by the median slope of the second half, which outliers do not change."""

import itertools
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ccarchiver_sim.soak.sample import Sample

HOUR_S = 3600.0

TOLERANCES: dict[str, float] = {
    # Caches still fill: the CSC's 500 records of 11 kB within 170 s at 3 images/s, before the
    # second half of a run of six minutes, names and the bridge's 1,000 images later, 2 MB in all. A
    # shorter run shows them as growth.
    "rss, MB": 4.0,
    # A connection that is being replaced has two descriptors for a moment.
    "open files": 2.0,
    "threads": 1.0,
    # The buffers of the append-only file and of the clients vary with the load.
    "redis memory, MB": 1.5,
    # One message under load.
    "mailbox of": 3.0,
    "dead letters": 0.0,
    # Images in progress: several a second, each with up to four pending acks.
    "pending acks": 8.0,
    "unfinished": 4.0,
    # Housekeeping prunes images every 5 s: as many as arrive in one round.
    "ledger": 40.0,
    "keys": 45.0,
}
"""Allowed growth of a figure in the second half of a run, by a part of its name, with the
reasons."""


@dataclass(frozen=True)
class Trend:
    """Trend of one figure in the second half."""

    name: str
    first: float
    last: float
    per_hour: float
    """Median of the slopes between all pairs of samples (Theil and Sen)."""
    growth: float
    """Slope times the length of the second half."""
    tolerance: float

    @property
    def is_flat(self) -> bool:
        """Whether it grew no more than allowed."""
        return self.growth <= self.tolerance

    def as_json(self) -> dict[str, Any]:
        """Return the trend for a JSON file."""
        return asdict(self) | {"is_flat": self.is_flat}


def theil_sen(points: Sequence[tuple[float, float]]) -> float:
    """Return the median of the slopes between all pairs of points; 0 for fewer than two.

    Parameters
    ----------
    points
        Pairs of time and value, with ascending times.
    """
    slopes = [
        (y2 - y1) / (x2 - x1) for (x1, y1), (x2, y2) in itertools.combinations(points, 2) if x2 > x1
    ]
    return statistics.median(slopes) if slopes else 0.0


def trends(samples: Sequence[Sample]) -> list[Trend]:
    """Return the trend of each figure over the second half of the samples."""
    half = samples[len(samples) // 2 :]
    names = sorted({name for sample in half for name in sample.figures})
    return [
        _trend(name, [(s.at, s.figures[name]) for s in half if name in s.figures]) for name in names
    ]


def _trend(name: str, points: Sequence[tuple[float, float]]) -> Trend:
    slope = theil_sen(points)
    tolerance = next(value for part, value in TOLERANCES.items() if part in name)
    span = points[-1][0] - points[0][0]
    return Trend(
        name=name,
        first=round(points[0][1], 2),
        last=round(points[-1][1], 2),
        per_hour=round(slope * HOUR_S, 2),
        growth=round(slope * span, 3),
        tolerance=tolerance,
    )
