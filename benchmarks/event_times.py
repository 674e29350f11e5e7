"""Times of events that the processes of a benchmark record, all by the same clock."""

import time
from collections.abc import Iterable, Sequence

EventTime = tuple[str, str, int]
"""Kind of event, image or file, and time (CLOCK_MONOTONIC in ns, shared by all processes)."""

PUT, GOT, OWN = "put:", "got:", "own:"
"""Prefixes of the kinds: passed to the first hop; received; the peer's own work finished."""


def now() -> int:
    """Return the current time in nanoseconds."""
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC)


def file_key(image: str, raft: str, sensor: str) -> str:
    """Return the key of one file of an image."""
    return f"{image}|{raft}|{sensor}"


class EventTimes:
    """Recorded times of all processes, by kind of event."""

    def __init__(self) -> None:
        self._first: dict[str, dict[str, int]] = {}
        self.repeated: dict[str, int] = {}
        """Repetitions of an event for the same image or file, by kind."""

    def add(self, items: Iterable[EventTime]) -> None:
        """Add recorded times; of a repeated event the first time counts."""
        for kind, key, at in items:
            known = self._first.setdefault(kind, {})
            if key in known:
                self.repeated[kind] = self.repeated.get(kind, 0) + 1
            else:
                known[key] = at

    def record(self, kind: str, key: str, at: int | None = None) -> None:
        """Record one event, with the current time if none is given."""
        self.add([(kind, key, now() if at is None else at)])

    def of(self, kind: str) -> dict[str, int]:
        """Return the times of one kind by image or file, in the sequence of their recording."""
        return self._first.get(kind, {})

    def missing(self, kind: str, keys: Iterable[str]) -> list[str]:
        """Return the images or files for which no event of a kind is recorded."""
        known = self.of(kind)
        return [key for key in keys if key not in known]

    def durations_ms(
        self, begin: str, end: str, keys: Sequence[str], *, less: tuple[str, str] | None = None
    ) -> list[float]:
        """Return the milliseconds between two events, for each key that has both.

        Parameters
        ----------
        begin, end
            Kinds of the two events.
        keys
            Images or files.
        less
            Two kinds between which a peer worked. That time is not the archiver's and is
            subtracted.
        """
        first, last = self.of(begin), self.of(end)
        found = []
        for key in keys:
            if key in first and key in last:
                span = last[key] - first[key]
                if less is not None:
                    span -= self.of(less[1])[key] - self.of(less[0])[key]
                found.append(span / 1e6)
        return found
