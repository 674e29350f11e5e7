"""History for readers that join late: waiting for it, and keeping old samples from coming as new.

Cyclone's own ``wait_for_historical_data`` returns at once. History comes from the living writers,
a moment after each of them was discovered, so all one can do is to wait until discovery has come
to rest. Where that was too short, and after a peer was lost and found again, a sample that is
history must be recognised.
"""

from __future__ import annotations

import itertools
import time
from typing import TYPE_CHECKING

from ts_dds_cyclone import native
from ts_dds_cyclone.errors import BAD_PARAMETER, checked
from ts_dds_cyclone.jobs import note_job_of_this_thread
from ts_dds_cyclone.shutdown import must_stop

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ts_dds_cyclone.reader import DataReader

__all__ = ["DuplicateFilter", "LateHistory", "settle"]

SETTLE_PARTICIPANT = 0.5
"""Seconds after a participant was made in which others are discovered. With 0.25 s some of the
commands written right after a start were lost, with 0.5 s none."""
SETTLE_MATCH = 0.15
"""Seconds after the newest match in which its history arrives (about 0.1 s were seen)."""
SETTLE_AT_MOST = 3.0
"""Seconds over which peers that come and go without end may hold up a start, beyond the participant's."""
POLL_INTERVAL = 0.01
"""Seconds between two looks for new matches."""
REMEMBERED = 8192
"""Samples a reader remembers to recognise duplicates. A writer that is found again repeats its last
100 samples of each instance, so this serves 80 writers and instances on one topic."""
FORGOTTEN_AT_ONCE = 1024
"""Samples dropped when too many are remembered: dropping in blocks is cheaper than one by one."""
LATE_WINDOW = 2.0
"""Seconds after a writer's first old sample in which its old samples are history. Later ones can
only be live, from a machine whose clock is behind ours."""
LATE_QUIET = 0.05
"""Seconds without further history after which the newest sample of it is taken to be there."""
LATE_AT_MOST = 0.5
"""Seconds that collecting late history may hold up the live samples of a reader."""


def settle(readers: Iterable[DataReader], participant_created: float, limit: float) -> bool:
    """Wait until discovery has come to rest; live samples do not prolong it.

    Parameters
    ----------
    readers
        Readers whose matches count.
    participant_created, limit
        When their participant was made, and when to give up, in seconds of the monotonic clock.

    Returns
    -------
    settled
        False if the limit came first, or the program is ending.
    """
    note_job_of_this_thread()  # a wait set that is triggered meanwhile need not wait for this job
    readers = list(readers)
    earliest = participant_created + SETTLE_PARTICIPANT
    last_match = 0.0
    while True:
        now = time.monotonic()
        for reader in readers:
            if reader.is_open and _has_new_match(reader):
                last_match = now
        if now >= earliest and (now >= last_match + SETTLE_MATCH or now >= earliest + SETTLE_AT_MOST):
            return True
        if now >= limit or must_stop() is not None:
            return False
        time.sleep(POLL_INTERVAL)


def _has_new_match(reader: DataReader) -> bool:
    result, status = native.take_status(reader.handle, native.SUBSCRIPTION_MATCHED)
    if result == BAD_PARAMETER and not reader.is_open:
        return False  # closed in another thread meanwhile
    checked(result, "read a reader's status")
    return bool(status)


class DuplicateFilter:
    """Recognises samples that come a second time.

    A peer that paused for longer than its lease is dropped and found again, and then its writers
    give all their history once more. The time of writing with the content tells a repeated sample;
    handles and sequence numbers of DDS do not outlive the loss.
    """

    def __init__(self) -> None:
        self._seen: dict[tuple[int, int], None] = {}

    def is_new(self, source_timestamp: int, sample: bytes) -> bool:
        """Tell whether a sample was not seen before, and remember it."""
        key = source_timestamp, hash(sample)
        if key in self._seen:
            return False
        self._seen[key] = None
        if len(self._seen) > REMEMBERED:
            for old in list(itertools.islice(self._seen, FORGOTTEN_AT_ONCE)):
                del self._seen[old]
        return True


class LateHistory:
    """Tells live samples from history that arrives after a reader has settled."""

    def __init__(self) -> None:
        self._reader_created = time.time_ns()
        self._writers: dict[int, float] = {}

    def is_late(self, source_timestamp: int, writer: int) -> bool:
        """Tell whether a sample, taken now, was written before the reader was made."""
        if source_timestamp >= self._reader_created:
            # A writer gives its history first: after a live sample of it there is none, even if its clock is set back.
            self._writers.setdefault(writer, -LATE_WINDOW)
            return False
        now = time.monotonic()
        return now < self._writers.setdefault(writer, now) + LATE_WINDOW
