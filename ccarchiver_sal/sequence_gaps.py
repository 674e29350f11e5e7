"""Gaps in the numbers of received events: events that were sent and never arrived.

A sender numbers the events of each topic without gaps (``private_seqNum``). DDS keeps the last 100
events of a topic for a reader that was cut off, and gives it no notice of those before them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ccarchiver_sal.watermarks import MAX_ORIGINS

if TYPE_CHECKING:
    from ccarchiver_sal.adapter import Sample


class SequenceGaps:
    """The number of the last event of each sender, for each topic."""

    def __init__(self) -> None:
        self._last: dict[str, dict[str, int]] = {}

    def continue_from(self, topic: str, sequences: dict[str, int]) -> None:
        """Continue from the last events that an earlier process has received."""
        self._last[topic] = dict(sequences)

    def missing_before(self, sample: Sample) -> int:
        """Return how many events are missing between the last one and this one.

        It is 0 for the first event of a sender and for one that is repeated or older.
        """
        origins = self._last.setdefault(sample.topic, {})
        last = origins.pop(sample.origin, None)
        origins[sample.origin] = sample.sequence
        while len(origins) > MAX_ORIGINS:
            del origins[next(iter(origins))]
        return 0 if last is None else max(0, sample.sequence - last - 1)
