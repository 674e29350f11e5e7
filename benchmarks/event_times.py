"""Who saw what when: the notes that all processes of a benchmark take, on the clock that all of them share."""

import time
from collections.abc import Iterable, Sequence

Receipt = tuple[str, str, int]
"""What happened, to which image or file, and when (CLOCK_MONOTONIC, ns: one clock for all processes of a machine)."""

PUT, GOT, OWN = "put:", "got:", "own:"
"""How the names of what happens begin: given to the first hop; received; the peer's own work on it done."""


def now() -> int:
    """Read the clock."""
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC)


def file_key(image: str, raft: str, sensor: str) -> str:
    """Name one file of an image."""
    return f"{image}|{raft}|{sensor}"


class EventTimes:
    """Notes put together."""

    def __init__(self) -> None:
        self._first: dict[str, dict[str, int]] = {}
        self.repeated: dict[str, int] = {}
        """How often something came that had come before."""

    def add(self, items: Iterable[Receipt]) -> None:
        """Take notes in; of what happened twice the first counts."""
        for kind, key, at in items:
            known = self._first.setdefault(kind, {})
            if key in known:
                self.repeated[kind] = self.repeated.get(kind, 0) + 1
            else:
                known[key] = at

    def note(self, kind: str, key: str, at: int | None = None) -> None:
        """Take one note, now if no time is given."""
        self.add([(kind, key, now() if at is None else at)])

    def of(self, kind: str) -> dict[str, int]:
        """Give the times of one kind, in the order in which they were noted."""
        return self._first.get(kind, {})

    def missing(self, kind: str, keys: Iterable[str]) -> list[str]:
        """Tell which of some images or files something did not happen to."""
        known = self.of(kind)
        return [key for key in keys if key not in known]

    def durations_ms(
        self, begin: str, end: str, keys: Sequence[str], *, less: tuple[str, str] | None = None
    ) -> list[float]:
        """Give the milliseconds between two happenings, where both were seen.

        Parameters
        ----------
        begin, end
            The two.
        keys
            Images or files.
        less
            Two happenings between which a peer worked: not the archiver's time, so it is taken off.
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
