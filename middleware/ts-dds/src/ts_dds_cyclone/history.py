"""History for readers that join late: wait for it, and recognise samples of it that arrive later.

Cyclone's own ``wait_for_historical_data`` returns at once. History is sent by the live writers, a
moment after each of them is discovered. The only way to wait for it is to wait until no new writer
is discovered. If that wait was too short, or if a peer was lost and found again, samples of history
arrive after it and must be recognised.
"""

from __future__ import annotations

import functools
import itertools
import logging
import time
from typing import TYPE_CHECKING

from ts_dds_cyclone import native
from ts_dds_cyclone.errors import BAD_PARAMETER, checked
from ts_dds_cyclone.jobs import note_job_of_this_thread
from ts_dds_cyclone.settings import is_mixed_bus
from ts_dds_cyclone.shutdown import must_stop

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ts_dds_cyclone.reader import DataReader

__all__ = ["DuplicateFilter", "LateHistory", "note_missing_history", "settle"]

_log = logging.getLogger("dds")

SETTLE_PARTICIPANT = 0.5
"""Seconds after a participant was created in which others are discovered. With 0.25 s some of the
commands written right after a start were lost, with 0.5 s none."""
SETTLE_MATCH = 0.15
"""Seconds after the newest match in which its history arrives (about 0.1 s was measured)."""
SETTLE_AT_MOST = 3.0
"""Limit of the delay of a start by peers that join and leave again and again, in seconds.

It counts from the end of SETTLE_PARTICIPANT."""
POLL_INTERVAL = 0.01
"""Seconds between two checks for new matches."""
REMEMBERED = 8192
"""Samples that a reader stores to recognise duplicates. A writer that is found again repeats its
last 100 samples of each instance, so this is enough for 80 writers and instances of one topic."""
FORGOTTEN_AT_ONCE = 1024
"""Samples removed when too many are stored: one large removal is faster than many small ones."""
LATE_WINDOW = 2.0
"""Seconds after a writer's first old sample in which its old samples are history. Later ones are
live samples from a host whose clock is behind ours."""
LATE_QUIET = 0.05
"""Seconds without further history after which history counts as complete."""
LATE_AT_MOST = 0.5
"""Seconds by which collecting late history may delay the live samples of a reader."""


def settle(readers: Iterable[DataReader], participant_created: float, limit: float) -> bool:
    """Wait until no new writer is discovered; live samples do not prolong the wait.

    Parameters
    ----------
    readers
        Readers whose matches count.
    participant_created
        When their participant was created, in seconds of the monotonic clock.
    limit
        When to give up, by the same clock.

    Returns
    -------
    settled
        False if the limit was reached first or the program is ending.
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
        if now >= earliest and (
            now >= last_match + SETTLE_MATCH or now >= earliest + SETTLE_AT_MOST
        ):
            return True
        if now >= limit or must_stop() is not None:
            return False
        time.sleep(POLL_INTERVAL)


@functools.cache
def note_missing_history() -> None:
    """Log once that the history of OpenSplice's writers is missing."""
    if is_mixed_bus():
        _log.info(
            "events that OpenSplice peers sent before this program started do not arrive: they are "
            "in OpenSplice's durability service, which Cyclone cannot query"
        )


def _has_new_match(reader: DataReader) -> bool:
    result, status = native.take_status(reader.handle, native.SUBSCRIPTION_MATCHED)
    if result == BAD_PARAMETER and not reader.is_open:
        return False  # closed in another thread meanwhile
    checked(result, "read a reader's status")
    return bool(status)


class DuplicateFilter:
    """Filter for samples that arrive a second time.

    A peer that paused for longer than its lease is dropped and found again. Its writers then send
    all their history again. A repeated sample is recognised by its source timestamp and its
    content, because handles and sequence numbers of DDS change when a peer is lost.
    """

    def __init__(self) -> None:
        self._seen: dict[tuple[int, int], None] = {}

    def is_new(self, source_timestamp: int, sample: bytes) -> bool:
        """Return whether a sample has not been seen before, and store it."""
        key = source_timestamp, hash(sample)
        if key in self._seen:
            return False
        self._seen[key] = None
        if len(self._seen) > REMEMBERED:
            for old in list(itertools.islice(self._seen, FORGOTTEN_AT_ONCE)):
                del self._seen[old]
        return True


class LateHistory:
    """Distinction of live samples from history that arrives after a reader has settled."""

    def __init__(self) -> None:
        self._reader_created = time.time_ns()
        self._writers: dict[int, float] = {}

    def is_late(self, source_timestamp: int, writer: int) -> bool:
        """Return whether a sample, taken now, was written before the reader was created."""
        if source_timestamp >= self._reader_created:
            # A writer sends its history first. After a live sample it sends none, even if its clock
            # is set back.
            self._writers.setdefault(writer, -LATE_WINDOW)
            return False
        now = time.monotonic()
        return now < self._writers.setdefault(writer, now) + LATE_WINDOW
