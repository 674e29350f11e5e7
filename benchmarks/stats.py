"""Statistics of durations: their median, the tail, and how many are missing."""

import math
from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict

NS_PER_MS = 1e6
MEDIAN = 0.5
MOST = 0.9
NEARLY_ALL = 0.99


class Figures(BaseModel):
    """Model that is written to a JSON file; NaN becomes a string, because JSON has no NaN."""

    model_config = ConfigDict(ser_json_inf_nan="strings")


class Summary(Figures):
    """Durations of one kind, in milliseconds; NaN if there are none."""

    count: int
    missing: int
    """Messages that were sent and did not arrive."""
    median: float
    p90: float
    p99: float
    longest: float


def quantile(ordered: Sequence[float], share: float) -> float:
    """Return the smallest value that at least this share of the values does not exceed.

    This is the nearest rank.

    Parameters
    ----------
    ordered
        The values, smallest first; the result is NaN if there are none.
    share
        More than 0 and at most 1: 0.5 for the median.

    Raises
    ------
    ValueError
        If the share is not in that range.
    """
    if not 0 < share <= 1:
        raise ValueError(f"a share of {share} is not above 0 and up to 1")
    if not ordered:
        return math.nan
    return ordered[math.ceil(share * len(ordered)) - 1]


def summarize(durations_ms: Sequence[float], missing: int = 0) -> Summary:
    """Return the summary of durations in milliseconds."""
    ordered = sorted(durations_ms)
    return Summary(
        count=len(ordered),
        missing=missing,
        median=quantile(ordered, MEDIAN),
        p90=quantile(ordered, MOST),
        p99=quantile(ordered, NEARLY_ALL),
        longest=ordered[-1] if ordered else math.nan,
    )
