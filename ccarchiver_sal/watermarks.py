"""Up to where the events of each topic are in the ledger, so that a CSC that was away takes the rest from the history.

An event is known again by what it is (its sender, its number, its stamp), never by being older or newer than another:
the sender's clock may have been set back meanwhile. What comes after it is told by its place: DDS keeps the order in
which a sender put its events.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ccarchiver_core import keys

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ccarchiver_core.store.transaction import Transaction
    from ccarchiver_sal.adapter import Sample

PREFIX = "heard:"
"""Fields of the CSC's hash: for each topic, as JSON, each sender's newest event that is in the ledger."""

MAX_SENDERS = 8
"""Senders remembered for each topic: a camera is one; each of its restarts is another, and its history goes with it."""


@dataclass(frozen=True)
class Watermark:
    """Which event it was; the stamp is its sender's (TAI, Unix seconds)."""

    number: int
    stamp: float

    @staticmethod
    def of(sample: Sample) -> Watermark:
        """Mark an event."""
        return Watermark(sample.sequence, sample.sent_at)


class Watermarks:
    """Each sender's newest known event of each topic."""

    def __init__(self) -> None:
        self._newest: dict[str, dict[str, Watermark]] = {}

    def load(self, fields: dict[str, str]) -> None:
        """Read what an earlier process wrote; what has been marked since this one began stays."""
        for name, text in fields.items():
            if name.startswith(PREFIX):
                earlier = {sender: Watermark(*values) for sender, values in json.loads(text).items()}
                topic = name.removeprefix(PREFIX)
                self._newest[topic] = {**earlier, **self._newest.get(topic, {})}

    def copy(self) -> Watermarks:
        """Give what is known now, to go back to if it does not become true."""
        copied = Watermarks()
        copied._newest = {topic: dict(senders) for topic, senders in self._newest.items()}
        return copied

    def knows(self, topic: str) -> bool:
        """Tell whether an archiver was there before."""
        return topic in self._newest

    def split(self, topic: str, history: Sequence[Sample]) -> tuple[list[Sample], list[Sample]]:
        """Tell the events of a topic's history that an earlier process has written from those it has not.

        A sender of which no known event is left in the history is a new process, or has sent more than DDS keeps: all
        that is there of it is new.
        """
        newest = self._newest.get(topic, {})
        up_to = {
            sample.origin: place
            for place, sample in enumerate(history)
            if newest.get(sample.origin) == Watermark.of(sample)
        }
        known: list[Sample] = []
        fresh: list[Sample] = []
        for place, sample in enumerate(history):
            (known if place <= up_to.get(sample.origin, -1) else fresh).append(sample)
        return known, fresh

    def newest_sent_at(self, topic: str) -> float | None:
        """Stamp of the event that was marked last; None if there was none."""
        marks = list(self._newest.get(topic, {}).values())
        return marks[-1].stamp if marks else None

    def advance(self, topic: str, sender: str, mark: Watermark) -> None:
        """Take in a sender's newest event; call it in the order of the events."""
        senders = self._newest.setdefault(topic, {})
        senders.pop(sender, None)
        senders[sender] = mark
        while len(senders) > MAX_SENDERS:
            del senders[next(iter(senders))]

    def write(self, transaction: Transaction, topics: Iterable[str]) -> None:
        """Write the marks of some topics within a step; a topic without events is known from then on."""
        for topic in topics:
            marks = {sender: (mark.number, mark.stamp) for sender, mark in self._newest.setdefault(topic, {}).items()}
            transaction.command("HSET", keys.CSC, f"{PREFIX}{topic}", json.dumps(marks))
