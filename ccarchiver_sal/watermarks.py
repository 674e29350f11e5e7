"""Watermarks: for each topic and sender, the newest event that is in the ledger.

A restarted CSC processes the events after it from the DDS history. An event is identified by its
sender, number and time of sending, never by being older or newer than another one: the sender's
clock may have been set back in between. The events after it are found by their place in the
history: DDS keeps the order in which a sender put its events.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ccarchiver_core import keys
from ccarchiver_core.store.csc_state import WATERMARK_PREFIX, read_watermarks

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ccarchiver_core.store.transaction import Transaction
    from ccarchiver_sal.adapter import Sample

MAX_ORIGINS = 8
"""Senders remembered for each topic.

A camera is one sender, and each of its restarts is another one. The history of a sender is lost
when it ends.
"""


@dataclass(frozen=True)
class Watermark:
    """Number of an event and the time at which it was sent, by its origin's clock (TAI, Unix s)."""

    sequence: int
    sent_at: float

    @staticmethod
    def of(sample: Sample) -> Watermark:
        """Return the watermark of an event."""
        return Watermark(sample.sequence, sample.sent_at)


class Watermarks:
    """Newest known event of each sender, for each topic."""

    def __init__(self) -> None:
        self._newest: dict[str, dict[str, Watermark]] = {}

    def load(self, fields: dict[str, str]) -> None:
        """Load the watermarks of an earlier process; those of this process take precedence."""
        for topic, values in read_watermarks(fields).items():
            earlier = {origin: Watermark(*one) for origin, one in values.items()}
            self._newest[topic] = {**earlier, **self._newest.get(topic, {})}

    def copy(self) -> Watermarks:
        """Return a copy, to be restored if newer watermarks are not recorded."""
        copied = Watermarks()
        copied._newest = {topic: dict(origins) for topic, origins in self._newest.items()}
        return copied

    def knows(self, topic: str) -> bool:
        """Return whether an archiver has recorded this topic before."""
        return topic in self._newest

    def split(self, topic: str, history: Sequence[Sample]) -> tuple[list[Sample], list[Sample]]:
        """Split a topic's history into events that an earlier process has recorded and new ones.

        A sender without a known event in the history is a new process, or has sent more events than
        DDS keeps. All its events in the history are then new.
        """
        newest = self._newest.get(topic, {})
        up_to = {
            sample.origin: index
            for index, sample in enumerate(history)
            if newest.get(sample.origin) == Watermark.of(sample)
        }
        known: list[Sample] = []
        new: list[Sample] = []
        for index, sample in enumerate(history):
            (known if index <= up_to.get(sample.origin, -1) else new).append(sample)
        return known, new

    def newest_sent_at(self, topic: str) -> float | None:
        """Return when the event that was recorded last was sent; None if there is none."""
        watermarks = list(self._newest.get(topic, {}).values())
        return watermarks[-1].sent_at if watermarks else None

    def sequences(self, topic: str) -> dict[str, int]:
        """Return the number of the newest event of each sender."""
        return {origin: mark.sequence for origin, mark in self._newest.get(topic, {}).items()}

    def advance(self, topic: str, origin: str, watermark: Watermark) -> None:
        """Record a sender's newest event; call it in the order of the events."""
        origins = self._newest.setdefault(topic, {})
        origins.pop(origin, None)
        origins[origin] = watermark
        while len(origins) > MAX_ORIGINS:
            del origins[next(iter(origins))]

    def write(self, transaction: Transaction, topics: Iterable[str]) -> None:
        """Add the watermarks of some topics to a transaction.

        A topic without events is known from then on.
        """
        for topic in topics:
            watermarks = {
                origin: (watermark.sequence, watermark.sent_at)
                for origin, watermark in self._newest.setdefault(topic, {}).items()
            }
            transaction.command(
                "HSET", keys.CSC, f"{WATERMARK_PREFIX}{topic}", json.dumps(watermarks)
            )
